//! Control.

pub mod health;

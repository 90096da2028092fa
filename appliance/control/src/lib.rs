//! Control.

pub mod health;
pub mod settings;

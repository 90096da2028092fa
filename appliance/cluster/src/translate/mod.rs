//! From the API's objects to what the box serves.

pub mod refused;

pub use refused::{RefusalReason, Refused};

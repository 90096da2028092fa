//! What the tests that count bytes share: frames as text, captures, cables, and a box of one's own.
//!
//! A [`crate::Lab`] has real TCP stacks at its ends, which say what they please. Here the ends are
//! the test's own: nothing is on the wire but what the test put there and what the box made of it.

pub mod appliance;
pub mod cable;
pub mod hex;
pub mod pcap;
pub mod readdress;

pub use appliance::Appliance;

use std::fmt::Display;

use crate::error::LabError;

/// Adapter for `map_err`: an error of another library with what was attempted.
pub fn failed<E: Display>(attempt: impl Into<String>) -> impl FnOnce(E) -> LabError {
    let attempt = attempt.into();
    move |error| LabError::Expectation(format!("{attempt}: {error}"))
}

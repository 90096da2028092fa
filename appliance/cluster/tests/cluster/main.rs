//! The pure core, from the API's JSON to what the data plane takes.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper of tests that fails is a test that fails"
)]

mod laws;
mod world;

mod cost;
mod fixtures;
mod hostile;
mod incremental;
mod rules;

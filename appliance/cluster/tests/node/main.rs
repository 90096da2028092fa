//! What a node serves, from the API's JSON to what its maps are made of.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper of tests that fails is a test that fails"
)]

mod world;

mod fixtures;
mod hostile;
mod incremental;
mod rules;

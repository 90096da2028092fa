//! From the API's objects to what the box serves.
//!
//! ```text
//! Service ─read→ Spec ─request→ AddressBook ─Assignment→ settle → Front ┐
//!                                     EndpointSlices, Nodes ────────────┴ build → lb::Service
//! ```
//! Every step that says no says why, in [`Refused`]. [`crate::cluster`] calls the steps and remembers their
//! results.

pub(crate) mod build;
pub(crate) mod endpoints;
pub(crate) mod fronts;
pub(crate) mod ports;
pub mod promise;
pub mod refused;
pub(crate) mod spec;

pub use promise::{Promise, Promised};
pub use refused::{RefusalReason, Refused};

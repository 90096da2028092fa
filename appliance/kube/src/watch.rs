//! The watch: one task for each kind of object, and one channel for what they hear.
//!
//! ```text
//! read everything ─ older than known? ─ shrunk? ─→ Replace ─→ follow ─→ Upsert, Delete
//!       ↑                 │ wait          │ hold                │ cut, end: go on from the same position
//!       └─────────────────┴───────────────┴──────── doubt, 410, every ten minutes, another endpoint
//! ```
//!
//! Invariants: a read is applied whole or not at all. What is served only ever comes from a complete read and an
//! unbroken chain of events after it. No object, however odd, stops a stream.

pub(crate) mod event;
pub(crate) mod guard;
pub(crate) mod mirror;
pub(crate) mod notice;
pub(crate) mod raw;
pub(crate) mod shelf;
pub(crate) mod task;
pub(crate) mod version;
pub(crate) mod wire;

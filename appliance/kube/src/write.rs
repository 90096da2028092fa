//! Writing back: patches of Services, and the events that tell of them.
//!
//! Invariants: one patch at a time for an object, and the newest plan wins. A patch carries the version that it
//! was planned from, so one that comes late or twice fails with 409 and harms nothing. An API server that
//! forbids writing makes the box read-only, says so once, and is asked again each minute.

pub(crate) mod event;
pub(crate) mod patch;
pub(crate) mod queue;
pub(crate) mod writer;

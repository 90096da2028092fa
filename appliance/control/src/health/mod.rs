//! The health engine: which backend is asked when, and what the answers mean.
//!
//! Pure: time is an argument ([`Moment`]), jitter comes from a seed, and nothing here opens a
//! socket. Somebody else carries out each [`ProbeRequest`] and reports its outcome.
//!
//! Invariants:
//! - Only *consecutive* results count. A success clears the failures and the other way round.
//! - One probe is out at most once, and at most [`Engine::in_flight_max`] are out together.
//! - The same probe (kind, address, clockwork) is asked once, however many services share it.
//!
//! A backend starts as [`State::Unknown`], as a server of HAProxy does: it serves, so that the box
//! refuses nobody while the first answers are out, and one failed check takes it down at once. Its
//! first success makes it firmly [`State::Up`]; from then on `fall` failures are needed.
//!
//! A dead backend is down at most `fall * interval * (1 + jitter) + timeout` after its last good
//! answer, while `timeout` is not longer than the shortest interval and not more than
//! [`Engine::in_flight_max`] probes hang at once.

mod engine;
mod jitter;
mod moment;
mod probe;
mod target;

pub use engine::{Engine, IN_FLIGHT_MAX, ProbeId, ProbeRequest, Row, Transition};
pub use moment::Moment;
pub use probe::{ProbeError, State};
pub use target::{Target, TargetError, TargetId, targets};

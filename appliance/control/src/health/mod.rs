//! Health: what is asked when, what the answers mean, and which backends serve for it.
//!
//! Pure: time is an argument ([`Moment`]), jitter comes from a seed, and nothing here opens a
//! socket. Two nouns:
//!
//! | noun | knows | answers |
//! |---|---|---|
//! | [`Engine`] | checks and their schedule, not whose they are | a [`ProbeRequest`] when one is due, a [`Turn`] when its meaning changes |
//! | [`Judge`] | Services, and the latest turn of each of their checks | a standing for each backend of a Service |
//!
//! # The engine
//!
//! - Only *consecutive* results count. A success clears the failures and the other way round.
//! - One check is out at most once, and at most [`Engine::in_flight_max`] are out together.
//! - Equal checks are one probe. More than a budget per second are never asked: every interval is
//!   then stretched by the same share, see [`Engine::stretch`].
//!
//! A check starts as [`State::Unknown`], which counts as well, so that the box refuses nobody while
//! the first answers are out. Two failures in a row take it down then, or one where `fall` is 1: a
//! single one could be the box's own start. Once it was [`State::Up`], `fall` failures are needed.
//!
//! A node's "no endpoints" is an answer and no failure. It is believed at once, and so is the next
//! answer with endpoints; failures in between change nothing until there are `fall` in a row.
//!
//! With a hold-down, a check that falls again before it has been up for ten times as long stays
//! down for the hold-down at least, then twice as long with each further fall, up to five minutes.
//!
//! A dead backend is down at most `fall * interval * (1 + jitter) + timeout` after its last good
//! answer, while `timeout` is not longer than the shortest interval, not more than
//! [`Engine::in_flight_max`] probes hang at once and nothing is stretched.
//!
//! # The judge
//!
//! A backend is well when all of its checks are. How many of those that fail may leave, how fast,
//! and what happens when all of them do, is each Service's [`Ejection`](spillway_lb::model::Ejection);
//! [`Judge`] has the rules.

mod check;
mod engine;
mod jitter;
mod judge;
mod moment;
mod record;
#[cfg(test)]
mod stopwatch;

pub use check::{Answer, Check, ProbeError, State};
pub use engine::{Engine, IN_FLIGHT_MAX, PROBES_PER_SECOND_MAX, ProbeId, ProbeRequest, Row, Turn};
pub use judge::{Extremes, Judge, JudgeView, Judgement};
pub use moment::Moment;

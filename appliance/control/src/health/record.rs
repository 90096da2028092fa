//! What the answers to one check come to: counts, state, and how long one that flaps stays out.

use std::time::Duration;

use spillway_lb::model::Clockwork;

use super::{Answer, Moment, ProbeError, State};

/// Failures in a row that take down one that has never been well; fewer when `fall` is less. One
/// could be the box's own start, or a neighbour that was not known yet.
const FIRST_FALL: u32 = 2;

/// One that has been up for so many times its hold-down is forgiven.
const FORGIVEN_AFTER: u32 = 10;

/// The longest that a flapping one is held, unless a single hold-down is longer.
const HOLD_MAX: Duration = Duration::from_mins(5);

/// What the answers so far have shown.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) state: State,
    /// Of the latest good answer.
    pub(super) weight: Option<u16>,
    /// Consecutive; at most one of the two is not 0.
    pub(super) successes: u32,
    pub(super) failures: u32,
    pub(super) last_error: Option<ProbeError>,
    pub(super) last_latency: Option<Duration>,
    pub(super) last_check: Option<Moment>,
    /// When the present state began.
    pub(super) since: Moment,
    /// Times that serving began or ended.
    pub(super) transitions: u64,
    /// Falls from [`State::Up`] since it was last forgiven.
    falls: u32,
    /// While down, not to rise before.
    held_until: Moment,
}

impl Record {
    pub(super) const fn new(now: Moment) -> Self {
        Self {
            state: State::Unknown,
            weight: None,
            successes: 0,
            failures: 0,
            last_error: None,
            last_latency: None,
            last_check: None,
            since: now,
            transitions: 0,
            falls: 0,
            held_until: Moment::ZERO,
        }
    }

    /// The record under another clockwork: the state stays, the counts begin anew.
    pub(super) fn inherited(&self) -> Self {
        Self { successes: 0, failures: 0, ..self.clone() }
    }

    /// Until when it stays down however well it answers.
    pub(super) fn held_until(&self) -> Option<Moment> {
        let held = !self.state.is_serving() && self.held_until > self.since;
        held.then_some(self.held_until)
    }

    /// Takes one answer in; true when its meaning has changed: the state, but not another error of
    /// one that is down, or the weight.
    pub(super) fn take(
        &mut self,
        clockwork: &Clockwork,
        now: Moment,
        answer: Result<Answer, ProbeError>,
    ) -> bool {
        self.last_check = Some(now);
        let weight = self.weight;
        let next = match answer {
            Ok(Answer { latency, weight }) => {
                self.last_latency = Some(latency);
                self.weight = weight;
                self.failures = 0;
                self.successes = self.successes.saturating_add(1);
                self.after_success(clockwork, now)
            }
            Err(error @ ProbeError::NoEndpoints) => {
                self.last_error = Some(error);
                (self.successes, self.failures) = (0, 0);
                State::Down(error)
            }
            Err(error) => {
                self.last_error = Some(error);
                self.successes = 0;
                self.failures = self.failures.saturating_add(1);
                self.after_failure(clockwork, error)
            }
        };
        let before = std::mem::replace(&mut self.state, next);
        if before == State::Up
            && let State::Down(error) = next
            && error != ProbeError::NoEndpoints
        {
            self.fell(clockwork, now);
        }
        self.transitions += u64::from(before.is_serving() != next.is_serving());
        let turned = !before.is_like(next);
        if turned {
            self.since = now;
        }
        turned || (next == State::Up && weight != self.weight)
    }

    fn after_success(&self, clockwork: &Clockwork, now: Moment) -> State {
        let State::Down(error) = self.state else { return State::Up };
        // One without endpoints was well all the time: there is nothing to be proved.
        let rises = error == ProbeError::NoEndpoints || self.successes >= u32::from(clockwork.rise);
        if rises && now >= self.held_until { State::Up } else { self.state }
    }

    fn after_failure(&self, clockwork: &Clockwork, error: ProbeError) -> State {
        let fall = u32::from(clockwork.fall);
        match self.state {
            State::Unknown if self.failures < fall.min(FIRST_FALL) => State::Unknown,
            State::Up if self.failures < fall => State::Up,
            // What the node said of itself holds until it is as good as gone.
            State::Down(ProbeError::NoEndpoints) if self.failures < fall => self.state,
            State::Unknown | State::Up | State::Down(_) => State::Down(error),
        }
    }

    /// Sees to the hold-down of one that was up until now: none for the first fall, then the
    /// check's, then twice as long with each further one.
    fn fell(&mut self, clockwork: &Clockwork, now: Moment) {
        if now.since(self.since) >= clockwork.hold_down.saturating_mul(FORGIVEN_AFTER) {
            self.falls = 0;
        }
        let hold = match self.falls {
            0 => Duration::ZERO,
            again => clockwork.hold_down.saturating_mul(1 << (again - 1).min(16)),
        };
        self.falls = self.falls.saturating_add(1);
        self.held_until = now.plus(hold.min(HOLD_MAX.max(clockwork.hold_down)));
    }
}

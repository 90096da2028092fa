//! How long to wait: jittered exponential back-off, and the small generator behind all jitter. Pure.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use crate::settings::Clockwork;

/// Splitmix64: enough for jitter, which has no secrets.
#[derive(Clone, Debug)]
pub(crate) struct Jitter(u64);

impl Jitter {
    /// From a seed and what it is for, so that two users of one seed do not move in step.
    pub(crate) fn new(seed: Option<u64>, purpose: u64) -> Self {
        let seed = seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        Self(seed ^ purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Somewhere in `low..high` percent of a duration.
    pub(crate) fn percent(&mut self, of: Duration, low: u32, high: u32) -> Duration {
        let spread = u64::from(high.saturating_sub(low)).max(1);
        let percent = u64::from(low) + self.next() % spread;
        of * u32::try_from(percent).unwrap_or(high) / 100
    }
}

/// What kind of failure is waited for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nobody answers: connecting, TLS or the first byte failed.
    Unreachable,
    /// The API server answers, but not with what was asked for; or what it says cannot be right.
    Answered,
}

/// Waits of one task: doubling from `backoff_min`, between half and the whole of it.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    jitter: Jitter,
    min: Duration,
    max: Duration,
    unreachable_max: Duration,
    failures: u32,
    last: Option<Trouble>,
}

impl Backoff {
    pub(crate) fn new(clockwork: &Clockwork, jitter: Jitter) -> Self {
        Self {
            jitter,
            min: clockwork.backoff_min,
            max: clockwork.backoff_max,
            unreachable_max: clockwork.backoff_unreachable_max,
            failures: 0,
            last: None,
        }
    }

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
        self.last = None;
    }

    /// The wait after one more failure. Another kind of trouble starts from the beginning: an API server that
    /// is back and still starting is not punished for the time it was away.
    pub(crate) fn after(&mut self, trouble: Trouble) -> Duration {
        if self.last != Some(trouble) {
            self.failures = 0;
            self.last = Some(trouble);
        }
        let max = match trouble {
            Trouble::Unreachable => self.unreachable_max.min(self.max),
            Trouble::Answered => self.max,
        };
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1).min(16);
        let wait = self.min.checked_mul(factor).unwrap_or(max).min(max);
        self.jitter.percent(wait, 50, 101)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff() -> Backoff {
        Backoff::new(&Clockwork::default(), Jitter::new(Some(7), 1))
    }

    #[test]
    fn waits_double_up_to_the_limit_and_are_never_shorter_than_half() {
        let mut backoff = backoff();
        for exponent in 0..12_u32 {
            let whole = Duration::from_millis(800 * (1 << exponent)).min(Duration::from_secs(30));
            let wait = backoff.after(Trouble::Answered);
            assert!(wait >= whole / 2 && wait <= whole, "{exponent}: {wait:?} of {whole:?}");
        }
    }

    #[test]
    fn a_server_that_nobody_can_reach_is_asked_again_within_four_seconds_for_ever() {
        let mut backoff = backoff();
        for _ in 0..100 {
            assert!(backoff.after(Trouble::Unreachable) <= Duration::from_secs(4));
        }
    }

    #[test]
    fn a_server_that_answers_again_starts_from_the_shortest_wait() {
        let mut backoff = backoff();
        for _ in 0..10 {
            backoff.after(Trouble::Unreachable);
        }
        assert!(backoff.after(Trouble::Answered) <= Duration::from_millis(800));
    }

    #[test]
    fn success_starts_from_the_shortest_wait() {
        let mut backoff = backoff();
        for _ in 0..10 {
            backoff.after(Trouble::Answered);
        }
        backoff.reset();
        assert!(backoff.after(Trouble::Answered) <= Duration::from_millis(800));
    }

    #[test]
    fn two_users_of_one_seed_do_not_wait_in_step() {
        let waits = |purpose| {
            let mut backoff = Backoff::new(&Clockwork::default(), Jitter::new(Some(7), purpose));
            (0..8).map(|_| backoff.after(Trouble::Answered)).collect::<Vec<_>>()
        };
        assert_ne!(waits(1), waits(2));
    }
}

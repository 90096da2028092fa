//! The clock of the control side: an argument, never read here.

use std::fmt;
use std::time::Duration;

/// A point on the monotonic clock: microseconds since the box started. Good for 584,000 years.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// The start of the box.
    pub const ZERO: Self = Self(0);

    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// `elapsed` is the time since the start of the box, for example `Instant::elapsed`.
    pub fn from_elapsed(elapsed: Duration) -> Self {
        Self(micros(elapsed))
    }

    /// Microseconds since the start.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// The moment `duration` later; the end of time when that is out of range.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }

    /// Time since `earlier`; zero when `earlier` is in the future.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Moment {
    /// Seconds since the start, as a log line wants them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_neither_wraps_nor_runs_backwards() {
        let end = Moment::from_micros(u64::MAX);
        assert_eq!(end.plus(Duration::from_secs(1)), end);
        assert_eq!(Moment::ZERO.since(end), Duration::ZERO);
        assert_eq!(
            Moment::from_millis(1_500).since(Moment::from_micros(500_000)).as_millis(),
            1_000
        );
    }

    #[test]
    fn a_moment_shows_as_seconds() {
        assert_eq!(Moment::from_micros(12_000_034).to_string(), "12.000034");
    }
}

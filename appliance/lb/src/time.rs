//! The core's clock: an argument, never read.

use std::time::Duration;

/// A point on the monotonic clock in units of 100 ms. Wraps after 13 years.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(u32);

/// Length of one tick.
pub const TICK: Duration = Duration::from_millis(100);

impl Tick {
    pub const fn new(ticks: u32) -> Self {
        Self(ticks)
    }

    pub const fn get(self) -> u32 {
        self.0
    }

    /// Ticks since `earlier`; 0 when `earlier` is in the future.
    pub const fn since(self, earlier: Self) -> u32 {
        self.0.saturating_sub(earlier.0)
    }

    #[must_use]
    pub const fn plus(self, ticks: u32) -> Self {
        Self(self.0.saturating_add(ticks))
    }
}

/// Ticks in a duration, rounded up, so that nothing expires early.
pub fn ticks(duration: Duration) -> u32 {
    let ticks = duration.as_nanos().div_ceil(TICK.as_nanos());
    u32::try_from(ticks).unwrap_or(u32::MAX)
}

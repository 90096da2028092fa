//! The worker's clock: ticks from the time stamp counter, one read per burst, no division.

use std::time::Duration;

use capsule::Tsc;
use spillway_lb::time::{TICK, Tick};

/// Counts [`Tick`]s of the monotonic clock.
#[derive(Debug)]
pub struct TickClock {
    tsc: Tsc,
    per_tick: u64,
    next: u64,
    now: Tick,
}

impl TickClock {
    /// `since_boot`: time of the monotonic clock at this moment.
    pub fn new(tsc: Tsc, since_boot: Duration) -> Self {
        let ticks = since_boot.as_millis() / TICK.as_millis();
        let per_tick = tsc.hz() * u64::try_from(TICK.as_millis()).unwrap_or(100) / 1000;
        let now = Tick::new(u32::try_from(ticks).unwrap_or(u32::MAX));
        Self { next: tsc.now() + per_tick, tsc, per_tick, now }
    }

    /// The tick of the last read.
    pub fn now(&self) -> Tick {
        self.now
    }

    /// Reads the counter: cycles, and the tick that they fall into.
    #[inline]
    pub fn read(&mut self) -> (u64, Tick) {
        let cycles = self.tsc.now();
        while cycles >= self.next {
            self.next += self.per_tick;
            self.now = self.now.plus(1);
        }
        (cycles, self.now)
    }
}

//! What a worker does when there is nothing to do.

use std::time::Duration;

use spillway_control::settings::Poll;

/// Empty polls before an adaptive worker lets go of its core.
const SPINS: u32 = 64;
/// Empty polls, after those, in which it only yields.
const YIELDS: u32 = 64;
/// First and longest sleep. The longest bounds the delay that an idle box adds to a first packet.
const SLEEP_MIN: Duration = Duration::from_micros(20);
const SLEEP_MAX: Duration = Duration::from_micros(250);

/// Busy: never rests. Adaptive: spins, then yields, then sleeps ever longer until a packet comes.
#[derive(Debug)]
pub(crate) struct Idle {
    poll: Poll,
    empty: u32,
    sleep: Duration,
}

impl Idle {
    pub(crate) fn new(poll: Poll) -> Self {
        Self { poll, empty: 0, sleep: SLEEP_MIN }
    }

    /// To be called once per round of the loop, with the frames that the round handled.
    #[inline]
    pub(crate) fn after(&mut self, handled: usize) {
        if handled > 0 {
            self.empty = 0;
            self.sleep = SLEEP_MIN;
            return;
        }
        match self.poll {
            Poll::Busy => std::hint::spin_loop(),
            Poll::Adaptive => self.rest(),
        }
    }

    fn rest(&mut self) {
        self.empty = self.empty.saturating_add(1);
        if self.empty <= SPINS {
            std::hint::spin_loop();
        } else if self.empty <= SPINS + YIELDS {
            std::thread::yield_now();
        } else {
            std::thread::sleep(self.sleep);
            self.sleep = (self.sleep * 2).min(SLEEP_MAX);
        }
    }
}

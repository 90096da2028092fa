//! Frames on their way to another thread of the box.

use capsule::{Burst, Mbuf, Multi, Sender};
use spillway_lb::verdict::DropReason;

/// A ring and the burst that is being filled for it.
#[derive(Debug)]
pub(crate) struct HandOver {
    ring: Sender<Multi>,
    burst: Burst,
    full: DropReason,
}

impl HandOver {
    /// `full`: how to count what does not fit.
    pub(crate) fn new(ring: Sender<Multi>, full: DropReason) -> Self {
        Self { ring, burst: Burst::new(), full }
    }

    /// How frames are counted that did not fit.
    #[inline]
    pub(crate) fn full(&self) -> DropReason {
        self.full
    }

    /// Adds a frame; a full burst goes into the ring first. Returns frames that were lost.
    pub(crate) fn push(&mut self, mbuf: Mbuf) -> usize {
        let lost = if self.burst.is_full() { self.flush() } else { 0 };
        lost + usize::from(self.burst.push(mbuf).is_err())
    }

    /// Empties the burst into the ring. Returns frames that were lost.
    #[inline]
    pub(crate) fn flush(&mut self) -> usize {
        if self.burst.is_empty() {
            return 0;
        }
        self.ring.enqueue(&mut self.burst);
        let lost = self.burst.len();
        self.burst.clear();
        lost
    }
}

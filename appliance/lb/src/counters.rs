//! What one worker has done, in numbers that add up.
//!
//! `received + generated + from_host = transmitted + local + handed_over + dropped`: every frame
//! that came in, and every frame that we made up, is accounted for exactly once. What is handed over counts as
//! received again (`taken_over` tells how much) by the worker that owns it.

use crate::ids::ServiceId;
use crate::verdict::DropReason;

/// Services of one Generation whose flows are counted one by one; further ones are only in the totals.
pub const SERVICES_COUNTED: usize = 65_536;

/// What one Service's clients got from one worker.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceCount {
    /// Whose numbers these are: the place of a Service that is gone is given to another one, and a
    /// worker notes that only when it first counts there.
    pub service: ServiceId,
    pub flows_created: u64,
    /// First packets from outside the source ranges, and those that found no backend, port or record.
    pub refused: u64,
}

impl ServiceCount {
    /// The numbers of `service` in this place; those of another one are forgotten.
    pub(crate) fn of(&mut self, service: ServiceId) -> &mut Self {
        if self.service != service {
            *self = Self { service, ..Self::default() };
        }
        self
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Frames taken from ports and from other workers.
    pub received: u64,
    /// Of those: frames that another worker handed over.
    pub taken_over: u64,
    /// Frames that the ports' transmit queues accepted.
    pub transmitted: u64,
    /// Frames given to the host stack.
    pub local: u64,
    /// Frames given to the worker that owns their flow.
    pub handed_over: u64,
    /// Refusals made up by us (RST, ICMP unreachable).
    pub generated: u64,
    /// Frames that the host stack gave us to transmit.
    pub from_host: u64,
    /// Echo requests to our addresses, answered in place.
    pub echo_answered: u64,
    pub flows_created: u64,
    /// Flows that are gone: silent for too long, or over and replaced by their client's next one.
    pub flows_expired: u64,
    dropped: [u64; DropReason::COUNT],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            received: 0,
            taken_over: 0,
            transmitted: 0,
            local: 0,
            handed_over: 0,
            generated: 0,
            from_host: 0,
            echo_answered: 0,
            flows_created: 0,
            flows_expired: 0,
            dropped: [0; DropReason::COUNT],
        }
    }
}

impl Counters {
    #[inline]
    pub fn count_drop(&mut self, reason: DropReason) {
        if let Some(count) = self.dropped.get_mut(reason.index()) {
            *count += 1;
        }
    }

    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped.get(reason.index()).copied().unwrap_or(0)
    }

    pub fn dropped_in_all(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Frames that are not accounted for; 0 unless a worker is in the middle of a burst.
    pub fn imbalance(&self) -> i128 {
        let into = [self.received, self.generated, self.from_host];
        let out = [self.transmitted, self.local, self.handed_over, self.dropped_in_all()];
        let sum = |counts: &[u64]| counts.iter().map(|count| i128::from(*count)).sum::<i128>();
        sum(&into) - sum(&out)
    }
}

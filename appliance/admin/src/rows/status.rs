//! The box as a whole: workers, totals, and what was dropped.

use serde::{Deserialize, Serialize};

use crate::rows::cluster::ClusterStatus;
use crate::values::{PollMode, Source};

/// The box at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Name of the box.
    pub name: String,
    /// Version of the daemon.
    pub version: String,
    pub pid: u32,
    pub uptime_seconds: u64,
    /// Number of the Snapshot that was published last.
    pub generation: u64,
    pub poll: PollMode,
    pub source: Source,
    /// `None` in static mode.
    pub cluster: Option<ClusterStatus>,
    pub workers: Vec<WorkerRow>,
    /// Live flows of all workers (gauge).
    pub flows: u64,
    /// Flows that fit.
    pub flows_max: u64,
    pub services: u32,
    pub frontends: u32,
    /// Backends that take new flows (gauge).
    pub backends_serving: u32,
    pub backends: u32,
    pub packets: PacketTotals,
}

/// One worker. The packet counters obey the balance of [`PacketTotals`] over all workers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerRow {
    pub id: u16,
    /// CPU that it is bound to.
    pub core: u32,
    /// Live flows that it owns (gauge).
    pub flows: u64,
    pub flows_max: u64,
    /// Number of the Snapshot that it works with.
    pub generation: u64,
    /// Share of the last second spent on packets, in percent, 0 to 100; `None` when not measured.
    pub busy_percent: Option<f64>,
    pub rx_packets: u64,
    pub tx_packets: u64,
    /// Packets given to the host stack.
    pub local_packets: u64,
    /// Packets that this worker made itself: refusals, answers to ARP, health checks.
    pub originated: u64,
    /// Packets handed to the worker that owns their flow; counted further only there.
    pub handed_over: u64,
    /// Packets dropped with a reason. A refusal (RST, ICMP) counts here, and its answer as
    /// originated.
    pub dropped: u64,
    /// Packets that the device did not take and that are not in `dropped`.
    pub lost_on_tx: u64,
}

/// Packets of all workers since the daemon started.
///
/// `rx + originated = tx + local + dropped + lost_on_tx`, short of what is under way at the
/// moment: in a ring between workers, or waiting for a neighbor.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketTotals {
    pub rx: u64,
    pub tx: u64,
    /// Given to the host stack.
    pub local: u64,
    /// Made by the box itself.
    pub originated: u64,
    /// Handed from one worker to another; not part of the balance.
    pub handed_over: u64,
    /// Dropped with a reason: the sum of all [`DropRow::count`].
    pub dropped: u64,
    /// Not taken by the device and not in `dropped`.
    pub lost_on_tx: u64,
}

impl PacketTotals {
    /// Packets that came in or were made and have not met their end yet. Negative when the
    /// counters were read while they moved, or when a packet was counted twice.
    pub fn under_way(&self) -> i128 {
        let sum = |counts: &[u64]| counts.iter().map(|&count| i128::from(count)).sum::<i128>();
        sum(&[self.rx, self.originated])
            - sum(&[self.tx, self.local, self.dropped, self.lost_on_tx])
    }
}

/// Every DropReason, and the balance that they are part of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropReport {
    pub balance: PacketTotals,
    /// In the order of their numbers, those that never happened too.
    pub drops: Vec<DropRow>,
}

/// One DropReason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropRow {
    /// Stable, never reused; shared with metrics and the BPF programs.
    pub number: u16,
    /// Name in kebab case, e.g. `no-backend`.
    pub reason: String,
    /// Packets of all workers.
    pub count: u64,
    /// Packets per worker, indexed by the worker's id.
    pub workers: Vec<u64>,
    /// A sentence for people.
    pub description: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_under_way_are_what_came_and_has_not_met_its_end() {
        let totals = PacketTotals {
            rx: 10,
            originated: 3,
            tx: 5,
            local: 2,
            dropped: 1,
            lost_on_tx: 1,
            handed_over: 100,
        };
        assert_eq!(totals.under_way(), 4);
        assert_eq!(PacketTotals { rx: 5, ..totals }.under_way(), -1);
        let full = PacketTotals { rx: u64::MAX, originated: u64::MAX, ..PacketTotals::default() };
        assert_eq!(full.under_way(), 2 * i128::from(u64::MAX));
    }
}

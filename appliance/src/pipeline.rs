//! A burst's way through one worker: from received frames to transmit queues and rings.
//!
//! ```text
//! Inlet::receive → Pipeline::process ─┬─ Transmit, Refuse → L2 header → the port's burst ─┐
//!                                     ├─ Local, no MAC    → ring to the host stack ───────┤→ flush
//!                                     ├─ HandOver         → ring to the owning worker ────┘
//!                                     └─ Drop             → counted
//! ```
//! This is the only part of the daemon that others may use: the bench measures exactly what a
//! worker runs.

use std::sync::Arc;

use capsule::{Burst, Mbuf, Multi, Sender, TxQueue};
use spillway_host::neighbors::Neighbors;
use spillway_lb::batch::Verdicts;
use spillway_lb::forward::{Forwarder, Origin};
use spillway_lb::ids::{PortId, WorkerId};
use spillway_lb::tables::Tables;
use spillway_lb::time::Tick;
use spillway_lb::verdict::{DropReason, Egress, Verdict};

pub use crate::clock::TickClock;
use crate::egress::{Flushed, ForHost, Transmit, dress};
use crate::hand_over::HandOver;
pub use crate::rx::Inlet;
use crate::rx::Received;

/// Where frames can go.
#[derive(Debug)]
pub struct Outlets {
    /// This worker's transmit queue of every port, in the order of [`PortId`].
    pub ports: Vec<TxQueue>,
    /// The other workers' rings, by [`WorkerId`]; `None` for ourselves.
    pub workers: Vec<Option<Sender<Multi>>>,
    /// The host stack's ring.
    pub host: Sender<Multi>,
}

/// Decides over bursts and sends them on. One per worker, never shared.
///
/// Every frame that comes in is counted once as what became of it: see
/// [`spillway_lb::counters::Counters::imbalance`].
#[derive(Debug)]
pub struct Pipeline {
    forwarder: Forwarder<'static>,
    neighbors: Arc<Neighbors>,
    transmit: Transmit,
    workers: Vec<Option<HandOver>>,
    host: HandOver,
}

impl Pipeline {
    pub fn new(forwarder: Forwarder<'static>, neighbors: Arc<Neighbors>, outlets: Outlets) -> Self {
        let to_worker = |ring| HandOver::new(ring, DropReason::HandOverFull);
        Self {
            forwarder,
            neighbors,
            transmit: Transmit::new(outlets.ports),
            workers: outlets.workers.into_iter().map(|ring| ring.map(to_worker)).collect(),
            host: HandOver::new(outlets.host, DropReason::LocalFull),
        }
    }

    /// Gives every frame its verdict and puts it where that says; [`Pipeline::flush`] sends it. The
    /// burst is empty afterwards, and `verdicts` tells what was decided.
    #[inline]
    pub fn process(
        &mut self,
        now: Tick,
        origin: Origin,
        burst: &mut Burst,
        verdicts: &mut Verdicts,
    ) {
        let frames = burst.len() as u64;
        self.forwarder.counters.received += frames;
        match origin {
            Origin::Port => {}
            Origin::Worker => self.forwarder.counters.taken_over += frames,
        }
        self.forwarder.forward(now, origin, &mut Received(burst), verdicts);
        for (mbuf, verdict) in burst.drain().zip(verdicts.iter()) {
            match *verdict {
                Verdict::Transmit(egress) => self.send(mbuf, egress),
                Verdict::Local => self.give_to_host(mbuf, ForHost::Local),
                Verdict::HandOver(owner) => self.hand_over(mbuf, owner),
                Verdict::Refuse(reason, egress) => {
                    self.forwarder.counters.count_drop(reason);
                    self.forwarder.counters.generated += 1;
                    self.send(mbuf, egress);
                }
                Verdict::Drop(reason) => self.forwarder.counters.count_drop(reason),
            }
        }
    }

    /// Transmits frames of the host stack, which are ready to go as they are, by the port that each
    /// names.
    pub fn send_for_host(&mut self, burst: &mut Burst) {
        self.forwarder.counters.from_host += burst.len() as u64;
        for mbuf in burst.drain() {
            self.transmit.push(PortId::new(mbuf.port()), mbuf);
        }
    }

    /// Sends and hands on whatever the round has collected.
    #[inline]
    pub fn flush(&mut self) {
        let Flushed { sent, lost } = self.transmit.flush();
        self.forwarder.counters.transmitted += sent;
        for _ in 0..lost {
            self.forwarder.counters.count_drop(DropReason::TransmitFull);
        }
        for peer in self.workers.iter_mut().flatten() {
            let lost = peer.flush();
            count_lost(&mut self.forwarder, lost, peer.full(), false);
        }
        let lost = self.host.flush();
        count_lost(&mut self.forwarder, lost, self.host.full(), true);
    }

    /// Frames that the next [`Pipeline::flush`] transmits by a port, whole and ready.
    pub fn pending(&self, port: PortId) -> &[Mbuf] {
        self.transmit.pending(port)
    }

    /// Lets go of silent flows: a bounded slice, once per round.
    #[inline]
    pub fn expire(&mut self, now: Tick) {
        self.forwarder.expire(now);
    }

    /// Takes over a new Generation; only between bursts.
    pub fn adopt(&mut self, tables: Arc<Tables>) {
        self.forwarder.adopt(tables);
    }

    /// The core, for looking at: counters, flows, SNAT ports.
    pub fn forwarder(&self) -> &Forwarder<'static> {
        &self.forwarder
    }

    #[inline]
    fn send(&mut self, mut mbuf: Mbuf, egress: Egress) {
        let Some(identity) = self.forwarder.settings().ports.get(egress.port.index()) else {
            return self.forwarder.counters.count_drop(DropReason::NoRoute);
        };
        let mac = self.neighbors.lookup(egress.port, egress.next_hop);
        if let Err(reason) = dress(&mut mbuf, identity, mac.unwrap_or_default()) {
            return self.forwarder.counters.count_drop(reason);
        }
        if mac.is_none() {
            // Whole but for its destination MAC: the host stack asks for that, and sends it.
            return self.give_to_host(mbuf, ForHost::Resolve(egress));
        }
        self.transmit.push(egress.port, mbuf);
    }

    fn hand_over(&mut self, mbuf: Mbuf, owner: WorkerId) {
        match self.workers.get_mut(owner.index()) {
            Some(Some(peer)) => {
                let lost = peer.push(mbuf);
                self.forwarder.counters.handed_over += 1;
                count_lost(&mut self.forwarder, lost, peer.full(), false);
            }
            Some(None) | None => self.forwarder.counters.count_drop(DropReason::HandOverFull),
        }
    }

    fn give_to_host(&mut self, mut mbuf: Mbuf, what: ForHost) {
        what.mark(&mut mbuf);
        let lost = self.host.push(mbuf);
        self.forwarder.counters.local += 1;
        count_lost(&mut self.forwarder, lost, self.host.full(), true);
    }
}

/// Frames that a full ring refused were counted as given away; they are drops instead.
fn count_lost(forwarder: &mut Forwarder<'_>, lost: usize, reason: DropReason, local: bool) {
    for _ in 0..lost {
        let given =
            if local { &mut forwarder.counters.local } else { &mut forwarder.counters.handed_over };
        *given -= 1;
        forwarder.counters.count_drop(reason);
    }
}

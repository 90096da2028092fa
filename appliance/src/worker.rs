//! One worker: one lcore, one loop, nothing shared on the packets' way.
//!
//! ```text
//! ports → forward → tx          every port's queue of ours, a burst at a time
//! other workers → forward → tx  frames of our flows that arrived elsewhere
//! host stack → tx               ARP, health checks, frames that waited for a neighbour
//! then, once per round: adopt newer tables, let silent flows go, answer one question
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use capsule::Burst;
use capsule::Mbuf;
use capsule::RxQueue;
use capsule::{Multi, Receiver, Sender, Single};
use spillway_host::neighbors::Neighbors;
use spillway_lb::batch::Verdicts;
use spillway_lb::forward::{Forwarder, Origin};
use spillway_lb::ids::{PortId, WorkerId};
use spillway_lb::time::Tick;
use spillway_lb::verdict::{DropReason, Egress, Verdict};

use crate::clock::TickClock;
use crate::egress::{Flushed, ForHost, Transmit, dress};
use crate::idle::Idle;
use crate::mailbox::{Mailbox, Question, Report, WALK_MAX};
use crate::publish::Slot;
use crate::rx::Received;

/// Everything that a worker owns. Built on the control side, moved to its lcore, never shared.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) forwarder: Forwarder<'static>,
    /// Our receive queue of every port that has one for us.
    pub(crate) receive: Vec<(PortId, RxQueue)>,
    pub(crate) transmit: Transmit,
    pub(crate) neighbors: Arc<Neighbors>,
    /// Frames of our flows that other workers received.
    pub(crate) taken_over: Receiver<Single>,
    /// The other workers' rings, by [`WorkerId`]; `None` for ourselves.
    pub(crate) hand_over: Vec<Option<HandOver>>,
    pub(crate) to_host: HandOver,
    /// Frames that the host stack sends; one worker has it.
    pub(crate) from_host: Option<Receiver<Single>>,
    pub(crate) slot: Arc<Slot>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) clock: TickClock,
    pub(crate) idle: Idle,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) busy: Busy,
}

/// A ring and the burst that is being filled for it.
#[derive(Debug)]
pub(crate) struct HandOver {
    ring: Sender<Multi>,
    burst: Burst,
    /// How to count what does not fit.
    full: DropReason,
}

/// Cycles by what they were spent on.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Busy {
    handling: u64,
    all: u64,
    last: u64,
}

impl HandOver {
    pub(crate) fn new(ring: Sender<Multi>, full: DropReason) -> Self {
        Self { ring, burst: Burst::new(), full }
    }
}

impl Worker {
    /// Runs until told to stop.
    pub(crate) fn run(mut self) {
        let mut burst = Burst::new();
        let mut verdicts = Verdicts::new();
        while !self.stop.load(Ordering::Relaxed) {
            let (cycles, now) = self.clock.read();
            let mut handled = 0;
            for at in 0..self.receive.len() {
                handled += self.receive_port(at, now, &mut burst, &mut verdicts);
            }
            handled += self.take_over(now, &mut burst, &mut verdicts);
            handled += self.send_for_host(&mut burst);
            self.flush();
            self.between_bursts(now);
            self.busy.note(cycles, handled);
            self.idle.after(handled);
        }
    }

    #[inline]
    fn receive_port(
        &mut self,
        at: usize,
        now: Tick,
        burst: &mut Burst,
        verdicts: &mut Verdicts,
    ) -> usize {
        let Some((port, queue)) = self.receive.get_mut(at) else { return 0 };
        let received = queue.receive(burst);
        if received > 0 {
            // DPDK numbers ports as it finds them; from here on they have the box's numbers.
            let port = port.get();
            burst.iter_mut().for_each(|mbuf| mbuf.set_port(port));
            self.process(now, Origin::Port, burst, verdicts);
        }
        received
    }

    #[inline]
    fn take_over(&mut self, now: Tick, burst: &mut Burst, verdicts: &mut Verdicts) -> usize {
        let taken = self.taken_over.dequeue(burst);
        if taken > 0 {
            self.forwarder.counters.taken_over += taken as u64;
            self.process(now, Origin::Worker, burst, verdicts);
        }
        taken
    }

    /// A burst's way: verdicts, then each frame goes where its verdict says.
    #[inline]
    fn process(&mut self, now: Tick, origin: Origin, burst: &mut Burst, verdicts: &mut Verdicts) {
        self.forwarder.counters.received += burst.len() as u64;
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
        let flushed = self.transmit.push(egress.port, mbuf);
        self.count(flushed);
    }

    fn hand_over(&mut self, mbuf: Mbuf, owner: WorkerId) {
        match self.hand_over.get_mut(owner.index()) {
            Some(Some(peer)) => {
                let lost = peer.push(mbuf);
                self.forwarder.counters.handed_over += 1;
                count_lost(&mut self.forwarder, lost, peer.full, false);
            }
            Some(None) | None => self.forwarder.counters.count_drop(DropReason::HandOverFull),
        }
    }

    fn give_to_host(&mut self, mut mbuf: Mbuf, what: ForHost) {
        what.mark(&mut mbuf);
        let lost = self.to_host.push(mbuf);
        self.forwarder.counters.local += 1;
        count_lost(&mut self.forwarder, lost, self.to_host.full, true);
    }

    /// Frames of the host stack are ready to go as they are.
    #[inline]
    fn send_for_host(&mut self, burst: &mut Burst) -> usize {
        let Some(ring) = &mut self.from_host else { return 0 };
        let taken = ring.dequeue(burst);
        if taken > 0 {
            self.forwarder.counters.from_host += taken as u64;
            for mbuf in burst.drain() {
                let flushed = self.transmit.push(PortId::new(mbuf.port()), mbuf);
                self.count(flushed);
            }
        }
        taken
    }

    /// Sends and hands on whatever the round has collected.
    #[inline]
    fn flush(&mut self) {
        let flushed = self.transmit.flush();
        self.count(flushed);
        for peer in self.hand_over.iter_mut().flatten() {
            let lost = peer.flush();
            count_lost(&mut self.forwarder, lost, peer.full, false);
        }
        let lost = self.to_host.flush();
        count_lost(&mut self.forwarder, lost, self.to_host.full, true);
    }

    #[inline]
    fn count(&mut self, flushed: Flushed) {
        self.forwarder.counters.transmitted += flushed.sent;
        for _ in 0..flushed.lost {
            self.forwarder.counters.count_drop(DropReason::TransmitFull);
        }
    }

    /// The quiescent point: nothing is held here that newer tables would not know.
    #[inline]
    fn between_bursts(&mut self, now: Tick) {
        if let Some(tables) = self.slot.newer() {
            let generation = tables.generation;
            self.forwarder.adopt(tables);
            self.slot.acknowledge(generation);
        }
        self.forwarder.expire(now);
        if let Some(question) = self.mailbox.next() {
            let answer = self.answer(question, now);
            self.mailbox.answer(answer);
        }
    }

    fn answer(&self, question: Question, now: Tick) -> Question {
        match question {
            Question::Report(mut report) => {
                self.fill(&mut report, now);
                Question::Report(report)
            }
            Question::Flows { from, mut records, .. } => {
                records.clear();
                let next = self.forwarder.conntrack().walk(from, WALK_MAX, |record| {
                    records.push(*record);
                });
                Question::Flows { from, records, next, now }
            }
            Question::Snat { mut usage } => {
                usage.clear();
                let room = usage.capacity();
                usage.extend(self.forwarder.snat().usage().take(room));
                Question::Snat { usage }
            }
            Question::Services { mut counts } => {
                counts.clear();
                let room = counts.capacity();
                counts.extend(self.forwarder.service_counts().iter().take(room));
                Question::Services { counts }
            }
        }
    }

    fn fill(&self, report: &mut Report, now: Tick) {
        report.counters.clone_from(&self.forwarder.counters);
        report.generation = self.forwarder.tables().generation;
        report.flows = self.forwarder.conntrack().len();
        report.flows_max = self.forwarder.conntrack().capacity();
        report.now = now;
        report.busy_cycles = self.busy.handling;
        report.cycles = self.busy.all;
    }
}

impl HandOver {
    /// Adds a frame; a full burst goes into the ring first. Returns frames that were lost.
    fn push(&mut self, mbuf: Mbuf) -> usize {
        let lost = if self.burst.is_full() { self.flush() } else { 0 };
        lost + usize::from(self.burst.push(mbuf).is_err())
    }

    fn flush(&mut self) -> usize {
        if self.burst.is_empty() {
            return 0;
        }
        self.ring.enqueue(&mut self.burst);
        let lost = self.burst.len();
        self.burst.clear();
        lost
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

impl Busy {
    /// Books the cycles since the last round on what that round was.
    #[inline]
    fn note(&mut self, cycles: u64, handled: usize) {
        let spent = if self.last == 0 { 0 } else { cycles - self.last };
        self.last = cycles;
        self.all += spent;
        if handled > 0 {
            self.handling += spent;
        }
    }
}

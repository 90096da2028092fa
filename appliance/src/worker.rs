//! One worker: one lcore, one loop, nothing shared on the packets' way.
//!
//! ```text
//! ports → pipeline          every port's queue of ours, a burst at a time
//! other workers → pipeline  frames of our flows that arrived elsewhere
//! host stack → pipeline     ARP, health checks, frames that waited for a neighbour
//! then, once per round: send, adopt newer tables, let silent flows go, answer one question
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use capsule::{Burst, Receiver, Single};
use spillway_lb::batch::Verdicts;
use spillway_lb::forward::Origin;
use spillway_lb::time::Tick;

use crate::busy::Busy;
use crate::clock::TickClock;
use crate::idle::Idle;
use crate::mailbox::{Mailbox, Question, Report, WALK_MAX};
use crate::pipeline::Pipeline;
use crate::publish::Slot;
use crate::rx::Inlet;

/// Everything that a worker owns. Built on the control side, moved to its lcore, never shared.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) pipeline: Pipeline,
    /// Our receive queue of every port that has one for us.
    pub(crate) inlets: Vec<Inlet>,
    /// Frames of our flows that other workers received.
    pub(crate) taken_over: Receiver<Single>,
    /// Frames that the host stack sends; one worker has it.
    pub(crate) from_host: Option<Receiver<Single>>,
    pub(crate) slot: Arc<Slot>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) clock: TickClock,
    pub(crate) idle: Idle,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) busy: Busy,
}

impl Worker {
    /// Runs until told to stop.
    pub(crate) fn run(mut self) {
        let mut burst = Burst::new();
        let mut verdicts = Verdicts::new();
        while !self.stop.load(Ordering::Relaxed) {
            let (cycles, now) = self.clock.read();
            let mut handled = self.receive(now, &mut burst, &mut verdicts);
            handled += self.take_over(now, &mut burst, &mut verdicts);
            handled += self.send_for_host(&mut burst);
            self.pipeline.flush();
            self.adopt();
            self.pipeline.expire(now);
            self.answer(now);
            self.busy.note(cycles, handled);
            self.idle.after(handled);
        }
    }

    #[inline]
    fn receive(&mut self, now: Tick, burst: &mut Burst, verdicts: &mut Verdicts) -> usize {
        let mut all = 0;
        for inlet in &mut self.inlets {
            let received = inlet.receive(burst);
            if received > 0 {
                self.pipeline.process(now, Origin::Port, burst, verdicts);
                all += received;
            }
        }
        all
    }

    #[inline]
    fn take_over(&mut self, now: Tick, burst: &mut Burst, verdicts: &mut Verdicts) -> usize {
        let taken = self.taken_over.dequeue(burst);
        if taken > 0 {
            self.pipeline.process(now, Origin::Worker, burst, verdicts);
        }
        taken
    }

    #[inline]
    fn send_for_host(&mut self, burst: &mut Burst) -> usize {
        let Some(ring) = &mut self.from_host else { return 0 };
        let taken = ring.dequeue(burst);
        if taken > 0 {
            self.pipeline.send_for_host(burst);
        }
        taken
    }

    /// The quiescent point: nothing is held here that newer tables would not know.
    #[inline]
    fn adopt(&mut self) {
        if let Some(tables) = self.slot.newer() {
            let generation = tables.generation;
            self.pipeline.adopt(tables);
            self.slot.acknowledge(generation);
        }
    }

    /// Answers the control side, one question a round.
    #[inline]
    fn answer(&self, now: Tick) {
        if let Some(question) = self.mailbox.next() {
            self.mailbox.answer(self.answered(question, now));
        }
    }

    fn answered(&self, question: Question, now: Tick) -> Question {
        let forwarder = self.pipeline.forwarder();
        match question {
            Question::Report(mut report) => {
                self.fill(&mut report, now);
                Question::Report(report)
            }
            Question::Flows { from, mut records, .. } => {
                records.clear();
                let next = forwarder.conntrack().walk(from, WALK_MAX, |record| {
                    records.push(*record);
                });
                Question::Flows { from, records, next, now }
            }
            Question::Snat { mut usage } => {
                usage.clear();
                let room = usage.capacity();
                usage.extend(forwarder.snat().usage().take(room));
                Question::Snat { usage }
            }
            Question::Services { mut counts } => {
                counts.clear();
                let room = counts.capacity();
                counts.extend(forwarder.service_counts().iter().take(room));
                Question::Services { counts }
            }
        }
    }

    fn fill(&self, report: &mut Report, now: Tick) {
        let forwarder = self.pipeline.forwarder();
        report.counters.clone_from(&forwarder.counters);
        report.generation = forwarder.tables().generation;
        report.flows = forwarder.conntrack().len();
        report.flows_max = forwarder.conntrack().capacity();
        report.now = now;
        report.busy_permille = self.busy.permille();
    }
}

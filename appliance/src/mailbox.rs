//! Questions to a worker, answered between two bursts: how the control side looks into a flow
//! table without stopping anybody.
//!
//! The asker sends the memory for the answer along, so the worker neither allocates nor locks.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use spillway_lb::conntrack::FlowRecord;
use spillway_lb::counters::{Counters, ServiceCount};
use spillway_lb::ids::Generation;
use spillway_lb::snat::Usage;
use spillway_lb::time::Tick;

/// Records that one question may look at: bounds the pause between two bursts.
pub(crate) const WALK_MAX: u32 = 512;

/// A worker at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) counters: Counters,
    pub(crate) generation: Generation,
    pub(crate) flows: u32,
    pub(crate) flows_max: u32,
    pub(crate) now: Tick,
    /// See [`crate::busy::Busy::permille`].
    pub(crate) busy_permille: Option<u16>,
}

/// A question, which becomes its own answer.
#[derive(Debug)]
pub(crate) enum Question {
    Report(Box<Report>),
    /// Copies up to [`WALK_MAX`] records from index `from` on; `next` tells where to go on.
    Flows {
        from: u32,
        records: Vec<FlowRecord>,
        next: Option<u32>,
        now: Tick,
    },
    /// Copies up to `usage.capacity()` rows.
    Snat {
        usage: Vec<Usage>,
    },
    /// Copies up to `counts.capacity()` entries, in the order of the Services' places.
    Services {
        counts: Vec<ServiceCount>,
    },
}

/// The worker did not answer in time: it hangs, or has stopped.
#[derive(Debug, thiserror::Error)]
#[error("worker {0} does not answer")]
pub(crate) struct NoAnswer(pub(crate) usize);

/// Both ends' queues; the asker's end is used by one conversation at a time.
#[derive(Debug)]
pub(crate) struct Mailbox {
    questions: ArrayQueue<Question>,
    answers: ArrayQueue<Question>,
}

impl Mailbox {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { questions: ArrayQueue::new(1), answers: ArrayQueue::new(1) })
    }

    /// The worker's side: the next question, if any.
    #[inline]
    pub(crate) fn next(&self) -> Option<Question> {
        if self.questions.is_empty() { None } else { self.questions.pop() }
    }

    /// The worker's side: hands the answer back. An answer nobody fetched makes room.
    pub(crate) fn answer(&self, answer: Question) {
        drop(self.answers.force_push(answer));
    }

    /// The control side: asks, and waits up to a second. Callers take turns (see `Desk`).
    pub(crate) async fn ask(
        &self,
        worker: usize,
        question: Question,
    ) -> Result<Question, NoAnswer> {
        while self.answers.pop().is_some() {}
        drop(self.questions.force_push(question));
        for _ in 0..2000 {
            if let Some(answer) = self.answers.pop() {
                return Ok(answer);
            }
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        Err(NoAnswer(worker))
    }
}

//! The control side's view of the running box: what the admin socket answers from.

pub(crate) mod cluster;

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use spillway_control::health::Judge;
use spillway_control::settings::Settings;
use spillway_lb::conntrack::FlowRecord;
use spillway_lb::counters::ServiceCount;
use spillway_lb::ids::ServiceId;
use spillway_lb::snapshot::Snapshot;
use spillway_lb::snat::Usage;
use spillway_lb::time::Tick;
use tokio::sync::{Mutex, oneshot};

use self::cluster::ClusterDesk;
use crate::host_thread::{HostThread, Order, View};
use crate::mailbox::{Mailbox, NoAnswer, Question, Report, WALK_MAX};
use crate::ports::PortFacts;

/// Most SNAT bindings of one worker that are shown.
const SNAT_ROWS_MAX: usize = 65_536;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeskError {
    #[error(transparent)]
    Worker(#[from] NoAnswer),
    #[error("the host stack does not answer")]
    Host,
}

/// Shared by the admin connections.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) settings: Arc<Settings>,
    pub(crate) started: Instant,
    pub(crate) ports: Vec<PortFacts>,
    pub(crate) host: HostThread,
    /// `None` in static mode.
    pub(crate) cluster: Option<Arc<ClusterDesk>>,
    snapshot: RwLock<Arc<Snapshot>>,
    judge: Arc<std::sync::Mutex<Judge>>,
    /// One conversation with a worker at a time.
    mailboxes: Vec<Mutex<Arc<Mailbox>>>,
}

/// What is served, and by whose decision.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) judge: Arc<std::sync::Mutex<Judge>>,
}

/// One worker's slice of the flow table.
#[derive(Debug)]
pub(crate) struct FlowPage {
    pub(crate) records: Vec<FlowRecord>,
    pub(crate) now: Tick,
    pub(crate) next: Option<u32>,
}

impl Desk {
    pub(crate) fn new(
        settings: Arc<Settings>,
        started: Instant,
        ports: Vec<PortFacts>,
        host: HostThread,
        cluster: Option<Arc<ClusterDesk>>,
        served: Served,
        mailboxes: Vec<Arc<Mailbox>>,
    ) -> Self {
        let mailboxes = mailboxes.into_iter().map(Mutex::new).collect();
        let Served { snapshot, judge } = served;
        let snapshot = RwLock::new(snapshot);
        Self { settings, started, ports, host, cluster, snapshot, judge, mailboxes }
    }

    pub(crate) fn workers(&self) -> usize {
        self.mailboxes.len()
    }

    /// What is served now.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        let guard = self.snapshot.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&guard)
    }

    pub(crate) fn set_snapshot(&self, snapshot: Arc<Snapshot>) {
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = snapshot;
    }

    /// Why the backends serve, or do not. Not to be held while waiting.
    pub(crate) fn judge(&self) -> MutexGuard<'_, Judge> {
        self.judge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn reports(&self) -> Result<Vec<Report>, DeskError> {
        let mut reports = Vec::with_capacity(self.workers());
        for worker in 0..self.workers() {
            match self.ask(worker, Question::Report(Box::default())).await? {
                Question::Report(report) => reports.push(*report),
                Question::Flows { .. } | Question::Snat { .. } | Question::Services { .. } => {
                    return Err(NoAnswer(worker).into());
                }
            }
        }
        Ok(reports)
    }

    /// A slice of one worker's flows, from index `from` on.
    pub(crate) async fn flows(&self, worker: usize, from: u32) -> Result<FlowPage, DeskError> {
        let records = Vec::with_capacity(WALK_MAX as usize);
        let question = Question::Flows { from, records, next: None, now: Tick::default() };
        match self.ask(worker, question).await? {
            Question::Flows { records, next, now, .. } => Ok(FlowPage { records, now, next }),
            Question::Report(_) | Question::Snat { .. } | Question::Services { .. } => {
                Err(NoAnswer(worker).into())
            }
        }
    }

    pub(crate) async fn snat(&self, worker: usize) -> Result<Vec<Usage>, DeskError> {
        let rows = self.settings.dataplane.snat_backends_max as usize;
        let usage = Vec::with_capacity(rows.min(SNAT_ROWS_MAX));
        match self.ask(worker, Question::Snat { usage }).await? {
            Question::Snat { usage } => Ok(usage),
            Question::Report(_) | Question::Flows { .. } | Question::Services { .. } => {
                Err(NoAnswer(worker).into())
            }
        }
    }

    /// Per Service, summed over the workers.
    pub(crate) async fn service_counts(
        &self,
    ) -> Result<HashMap<ServiceId, ServiceCount>, DeskError> {
        let places =
            self.snapshot().services.iter().map(|service| service.place as usize + 1).max();
        let mut sums = HashMap::<ServiceId, ServiceCount>::new();
        for worker in 0..self.workers() {
            let counts = Vec::with_capacity(places.unwrap_or(0));
            let Question::Services { counts } =
                self.ask(worker, Question::Services { counts }).await?
            else {
                return Err(NoAnswer(worker).into());
            };
            for count in counts {
                let sum = sums.entry(count.service).or_default();
                sum.flows_created += count.flows_created;
                sum.refused += count.refused;
            }
        }
        Ok(sums)
    }

    pub(crate) async fn view(&self) -> Result<View, DeskError> {
        let (answer, view) = oneshot::channel();
        if !self.host.order(Order::View(answer)) {
            return Err(DeskError::Host);
        }
        view.await.map_err(|_| DeskError::Host)
    }

    async fn ask(&self, worker: usize, question: Question) -> Result<Question, NoAnswer> {
        let mailbox = self.mailboxes.get(worker).ok_or(NoAnswer(worker))?;
        let mailbox = mailbox.lock().await;
        mailbox.ask(worker, question).await
    }
}

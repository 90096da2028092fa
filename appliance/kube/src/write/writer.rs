//! The task that writes, and the handle to it.

use std::sync::Arc;
use std::time::Duration;

use spillway_cluster::ObjectKey;
use spillway_cluster::events::Draft;
use spillway_cluster::status::Write;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::connect::call::Failure;
use crate::connect::link::{Link, Live};
use crate::lead::Leader;
use crate::pace::{Jitter, Trouble};
use crate::settings::Clockwork;
use crate::watch::notice::{Closed, Notice};
use crate::write::patch::{self, Patch, Written};
use crate::write::queue::{Bucket, Queue};

/// Patches that are under way at once.
const FLIGHTS_MAX: usize = 8;
/// How often an API server that forbids writing is asked again.
const FORBIDDEN_RETRY: Duration = Duration::from_mins(1);
/// So many refusals in a row, and the box is read-only: one namespace with rules of its own does not stop the
/// others.
const FORBIDDEN_ROW: u32 = 3;

/// Takes writes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Writer {
    patches: mpsc::UnboundedSender<Patch>,
    drafts: mpsc::Sender<Draft>,
    read_only: watch::Receiver<bool>,
}

impl Writer {
    pub(crate) fn new(
        patches: mpsc::UnboundedSender<Patch>,
        drafts: mpsc::Sender<Draft>,
        read_only: watch::Receiver<bool>,
    ) -> Self {
        Self { patches, drafts, read_only }
    }

    /// Writes what a plan says, in place of what an earlier plan for the same object said. Events are told when
    /// the patch before them has succeeded. What becomes of the patch comes as [`crate::Notice::Written`].
    pub fn submit(&self, writes: Vec<Write>) {
        let mut open: Option<Patch> = None;
        for write in writes {
            match write {
                Write::PatchService { key, uid, is_status, body } => {
                    if let Some(patch) =
                        open.replace(Patch { key, uid, is_status, body, events: Vec::new() })
                    {
                        self.send(patch);
                    }
                }
                Write::Event(draft) => match &mut open {
                    Some(patch) => patch.events.push(draft),
                    // A flood of events is not worth any memory.
                    None => drop(self.drafts.try_send(draft)),
                },
            }
        }
        if let Some(patch) = open {
            self.send(patch);
        }
    }

    fn send(&self, patch: Patch) {
        // The task is gone only when the session is.
        drop(self.patches.send(patch));
    }

    /// Whether the API server forbids writing.
    pub fn is_read_only(&self) -> bool {
        *self.read_only.borrow()
    }
}

/// The task.
pub(crate) struct Scribe {
    pub(crate) link: Arc<Link>,
    pub(crate) clockwork: Clockwork,
    pub(crate) patches: mpsc::UnboundedReceiver<Patch>,
    pub(crate) drafts: mpsc::Sender<Draft>,
    pub(crate) read_only: watch::Sender<bool>,
    pub(crate) notices: mpsc::Sender<Notice>,
    /// `None`: there is no election.
    pub(crate) leader: Option<Leader>,
}

type Flight = (Patch, Option<Live>, Result<Written, Failure>);

impl Scribe {
    pub(crate) async fn run(mut self) {
        let jitter = Jitter::new(self.clockwork.seed, 4);
        let mut queue = Queue::new(self.clockwork.clone(), jitter);
        let mut bucket = Bucket::new(Instant::now().into_std());
        let mut flights: JoinSet<Flight> = JoinSet::new();
        let mut forbidden = Forbidden::default();
        loop {
            if self.give_up_unless_leader(&mut queue).await.is_err() {
                return;
            }
            let wake = self.launch(&mut queue, &mut bucket, &mut flights, &forbidden);
            let wake = wake.unwrap_or_else(|| Instant::now() + FORBIDDEN_RETRY);
            tokio::select! {
                patch = self.patches.recv() => {
                    let Some(patch) = patch else { return };
                    queue.put(patch.key.clone(), patch, Instant::now().into_std());
                }
                Some(flight) = flights.join_next() => {
                    let Ok(flight) = flight else { continue };
                    if self.land(flight, &mut queue, &mut forbidden).await.is_err() {
                        return;
                    }
                }
                () = sleep_until(wake) => {}
            }
        }
    }

    async fn give_up_unless_leader(&self, queue: &mut Queue<Patch>) -> Result<(), Closed> {
        if self.leader.as_ref().is_none_or(Leader::is_leader) {
            return Ok(());
        }
        for key in queue.drain() {
            self.tell(key, Written::NotLeader).await?;
        }
        Ok(())
    }

    /// Sends what may be sent. Says when to look again.
    fn launch(
        &self,
        queue: &mut Queue<Patch>,
        bucket: &mut Bucket,
        flights: &mut JoinSet<Flight>,
        forbidden: &Forbidden,
    ) -> Option<Instant> {
        loop {
            let now = Instant::now();
            let ready_at = Instant::from_std(queue.wake_at()?);
            // Read-only: one patch at a time finds out whether that is over.
            let flights_max = if forbidden.is_read_only() { 1 } else { FLIGHTS_MAX };
            let ready_at = ready_at.max(forbidden.until.unwrap_or(ready_at));
            if flights.len() >= flights_max {
                // The next landing wakes us.
                return None;
            }
            if ready_at > now {
                return Some(ready_at);
            }
            if let Err(at) = bucket.take(now.into_std()) {
                return Some(Instant::from_std(at));
            }
            let (_, patch) = queue.take(now.into_std())?;
            let (live, clockwork) = (self.link.live(), self.clockwork.clone());
            flights.spawn(async move {
                let outcome = match &live {
                    Some(live) => patch::send(live, &clockwork, &patch).await,
                    None => Err(Failure::Unreachable("there is no connection yet".to_owned())),
                };
                (patch, live, outcome)
            });
        }
    }

    async fn land(
        &self,
        (patch, live, outcome): Flight,
        queue: &mut Queue<Patch>,
        forbidden: &mut Forbidden,
    ) -> Result<(), Closed> {
        let (key, now) = (patch.key.clone(), Instant::now().into_std());
        let written = match outcome {
            Ok(written) => written,
            Err(failure) => {
                if let Some(live) = live.filter(|_| failure.is_of_endpoint()) {
                    self.link.failed(&live);
                }
                if failure.code() == Some(401) {
                    self.link.tell_unauthorized();
                }
                let wait_min = failure.retry_after().min(self.clockwork.backoff_max);
                queue.failed(key.clone(), patch, failure.trouble(), wait_min, now);
                let text = failure.text().to_owned();
                return self.tell(key, Written::Unavailable(text)).await;
            }
        };
        match &written {
            Written::Forbidden(text) => {
                forbidden.again(text);
                queue.failed(key.clone(), patch, Trouble::Answered, FORBIDDEN_RETRY, now);
            }
            Written::Done(_) => {
                queue.done(&key);
                forbidden.over();
                for draft in patch.events {
                    drop(self.drafts.try_send(draft));
                }
            }
            Written::Conflict(_)
            | Written::Gone
            | Written::Invalid(_)
            | Written::Unavailable(_)
            | Written::NotLeader => queue.done(&key),
        }
        self.read_only.send_if_modified(|known| {
            std::mem::replace(known, forbidden.is_read_only()) != forbidden.is_read_only()
        });
        self.tell(key, written).await
    }

    async fn tell(&self, key: ObjectKey, outcome: Written) -> Result<(), Closed> {
        self.notices.send(Notice::Written { key, outcome }).await.map_err(|_| Closed)
    }
}

/// Whether we may write at all.
#[derive(Debug, Default)]
struct Forbidden {
    row: u32,
    until: Option<Instant>,
}

impl Forbidden {
    fn is_read_only(&self) -> bool {
        self.row >= FORBIDDEN_ROW
    }

    fn again(&mut self, text: &str) {
        self.row = self.row.saturating_add(1);
        if self.row == FORBIDDEN_ROW {
            tracing::warn!("{text}; read-only until that is granted, asking again each minute");
        }
        if self.is_read_only() {
            self.until = Some(Instant::now() + FORBIDDEN_RETRY);
        }
    }

    fn over(&mut self) {
        if self.is_read_only() {
            tracing::info!("the API server lets us write again");
        }
        *self = Self::default();
    }
}

//! Runs for the Lease: carries out what the candidate says, and says whether this box leads.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::api::{GetParams, PostParams};
use kube::core::Request;
use serde_json::Value;
use spillway_cluster::ObjectKey;
use spillway_cluster::election::{Action, Answer, Candidate, Settings};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::connect::call;
use crate::connect::link::Link;
use crate::settings::LeaseSettings;
use crate::write::event::utc;

/// Leadership ends by time alone, so it is looked at so often.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A box that stops gives the Lease back, unless that takes longer.
const RELEASE_PATIENCE: Duration = Duration::from_secs(3);

/// Whether this box is the one that writes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Leader {
    candidate: Arc<Mutex<Candidate>>,
    start: Instant,
    changes: watch::Receiver<bool>,
}

impl Leader {
    /// Now. Ask before each write.
    pub fn is_leader(&self) -> bool {
        let candidate = self.candidate.lock().unwrap_or_else(PoisonError::into_inner);
        candidate.is_leader(self.start.elapsed())
    }

    /// Who holds the Lease, as far as is known; empty: nobody.
    pub fn holder(&self) -> String {
        let candidate = self.candidate.lock().unwrap_or_else(PoisonError::into_inner);
        candidate.holder().to_owned()
    }

    /// Wakes when this box begins or ceases to lead.
    pub fn changes(&self) -> watch::Receiver<bool> {
        self.changes.clone()
    }
}

/// The task.
#[derive(Clone)]
pub(crate) struct Runner {
    link: Arc<Link>,
    namespace: String,
    name: String,
    candidate: Arc<Mutex<Candidate>>,
    start: Instant,
    patience: Duration,
    is_leader: watch::Sender<bool>,
}

impl Runner {
    pub(crate) fn new(link: Arc<Link>, lease: LeaseSettings) -> (Self, Leader) {
        let LeaseSettings { namespace, name, identity, election } = lease;
        let key = ObjectKey { namespace: namespace.clone(), name: name.clone() };
        let patience = Settings::request_timeout(&election);
        let candidate = Arc::new(Mutex::new(Candidate::new(key, identity, election)));
        let (is_leader, changes) = watch::channel(false);
        let start = Instant::now();
        let leader = Leader { candidate: Arc::clone(&candidate), start, changes };
        (Self { link, namespace, name, candidate, start, patience, is_leader }, leader)
    }

    /// Runs for ever.
    pub(crate) async fn run(self) {
        loop {
            let action = self.with(|candidate| candidate.step(self.start.elapsed(), &utc()));
            self.look();
            self.carry_out(action).await;
            self.look();
        }
    }

    /// Gives the Lease back.
    pub(crate) async fn release(&self) {
        self.with(Candidate::release);
        self.look();
        let giving_back = async {
            loop {
                let action = self.with(|candidate| candidate.step(self.start.elapsed(), &utc()));
                if action == Action::Wait(Duration::MAX) {
                    return;
                }
                self.carry_out(action).await;
            }
        };
        drop(timeout(RELEASE_PATIENCE, giving_back).await);
    }

    fn with<T>(&self, work: impl FnOnce(&mut Candidate) -> T) -> T {
        work(&mut self.candidate.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells when leadership has begun or ended.
    fn look(&self) {
        let now = self.with(|candidate| candidate.is_leader(self.start.elapsed()));
        let is_news = self.is_leader.send_if_modified(|known| std::mem::replace(known, now) != now);
        if is_news {
            tracing::info!(lease = %self.name, is_leader = now, "leadership has changed");
        }
    }

    async fn carry_out(&self, action: Action) {
        let to = Request::new(format!(
            "/apis/coordination.k8s.io/v1/namespaces/{}/leases",
            self.namespace
        ));
        let params = PostParams::default();
        let bytes = |body: Value| body.to_string().into_bytes();
        let (ticket, request) = match action {
            Action::Wait(until) => {
                let wait = until.saturating_sub(self.start.elapsed());
                return sleep(wait.min(LOOK_EVERY)).await;
            }
            Action::Get(ticket) => (ticket, to.get(&self.name, &GetParams::default())),
            Action::Create(ticket, body) => (ticket, to.create(&params, bytes(body))),
            Action::Update(ticket, body) => (ticket, to.replace(&self.name, &params, bytes(body))),
        };
        let asking = async {
            match request {
                Ok(request) => self.ask(request).await,
                Err(_) => Answer::Failed,
            }
        };
        tokio::pin!(asking);
        let answer = loop {
            match timeout(LOOK_EVERY, &mut asking).await {
                Ok(answer) => break answer,
                Err(_) => self.look(),
            }
        };
        self.with(|candidate| candidate.observe(ticket, answer, self.start.elapsed()));
    }

    async fn ask(&self, request: http::Request<Vec<u8>>) -> Answer {
        let Some(live) = self.link.live() else { return Answer::Failed };
        match call::whole(&live, request, self.patience).await {
            Ok(answer) => serde_json::from_slice(&answer).map_or(Answer::Failed, Answer::Lease),
            Err(failure) => {
                if failure.is_of_endpoint() {
                    self.link.failed(&live);
                }
                match failure.code() {
                    Some(404) => Answer::NotFound,
                    Some(409) => Answer::Conflict,
                    Some(_) | None => {
                        tracing::debug!("lease {}: {}", self.name, failure.text());
                        Answer::Failed
                    }
                }
            }
        }
    }
}

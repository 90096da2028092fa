//! Says whether this node takes traffic, exactly as kube-proxy does, so that whoever probed kube-proxy need not change.
//!
//! ```text
//! :10256/healthz               200 while the maps follow and the node stays (KEP-3836), else 503
//! :10256/livez                 the same, whether the node stays or not
//! :healthCheckNodePort/...     200 while that is so and the Service has endpoints here, else 503; how many in a header
//! ```
//! [`answer`] is what is said, [`http`] how. Ports open and close as Services come and go; one that somebody else has
//! is a complaint, and is tried again.

pub mod answer;
mod http;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use spillway_cluster::node::{HealthPort, NodeView};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use answer::Question;

/// How long what is wanted may not be in the maps before the node calls itself sick: twice kube-proxy's sync period.
const BEHIND_MAX: Duration = Duration::from_mins(1);
/// Between two tries to open a port that somebody else has.
const RETRY: Duration = Duration::from_secs(5);

/// What the answers depend on.
#[derive(Debug, Default)]
pub struct State {
    is_eligible: bool,
    /// By their port.
    services: BTreeMap<u16, HealthPort>,
    /// When the maps last held what was wanted; `None`: never yet.
    updated: Option<SystemTime>,
    /// Since when they do not.
    behind: Option<Instant>,
    /// Why a port is not open.
    complaints: BTreeMap<Question, String>,
}

impl State {
    /// Takes in what is wanted, and whether the maps hold it.
    pub fn set(&mut self, view: &NodeView, is_written: bool, now: (Instant, SystemTime)) {
        self.is_eligible = view.is_eligible;
        self.services = view.health_ports.iter().map(|it| (it.port, it.clone())).collect();
        if is_written {
            (self.updated, self.behind) = (Some(now.1), None);
        } else {
            self.behind.get_or_insert(now.0);
        }
    }

    /// kube-proxy's `isHealthy`.
    pub fn is_healthy(&self, now: Instant) -> bool {
        let is_late = |since: Instant| now.saturating_duration_since(since) >= BEHIND_MAX;
        self.updated.is_some() && !self.behind.is_some_and(is_late)
    }
}

type Shared = Arc<Mutex<State>>;

/// A reader that panicked has changed nothing.
fn lock(state: &Shared) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The ports that answer. They close when it is dropped.
#[derive(Debug)]
pub struct Health {
    state: Shared,
    /// `None`: nothing is answered.
    host: Option<IpAddr>,
    ports: BTreeMap<Question, Open>,
}

/// A port that is open, or to be.
#[derive(Debug)]
struct Open(JoinHandle<()>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Health {
    /// Opens the node's own port; the others are opened on the same address. Inside of a tokio runtime.
    pub fn start(listen: Option<SocketAddr>) -> Self {
        let state = Shared::default();
        let node = listen.map(|socket| (Question::Node, open(socket, Question::Node, &state)));
        Self { state, host: listen.map(|socket| socket.ip()), ports: node.into_iter().collect() }
    }

    /// Answers for `view` from now on. `is_written`: whether the maps hold it.
    pub fn set(&mut self, view: &NodeView, is_written: bool) {
        let mut state = lock(&self.state);
        state.set(view, is_written, (Instant::now(), SystemTime::now()));
        let Some(host) = self.host else { return };
        let services: BTreeSet<Question> =
            state.services.keys().map(|port| Question::Service(*port)).collect();
        let stays = |it: &Question| *it == Question::Node || services.contains(it);
        self.ports.retain(|it, _| stays(it));
        state.complaints.retain(|it, _| stays(it));
        drop(state);
        for question in services {
            let Question::Service(port) = question else { continue };
            let socket = SocketAddr::new(host, port);
            self.ports.entry(question).or_insert_with(|| open(socket, question, &self.state));
        }
    }

    /// Ports that could not be opened, a sentence each.
    pub fn complaints(&self) -> Vec<String> {
        lock(&self.state).complaints.values().cloned().collect()
    }
}

/// Opens a port and answers on it, as soon as nobody else has it.
fn open(socket: SocketAddr, question: Question, state: &Shared) -> Open {
    let state = Arc::clone(state);
    Open(tokio::spawn(async move {
        let listener = loop {
            match TcpListener::bind(socket).await {
                Ok(listener) => break listener,
                Err(error) => complain(&state, socket, question, &error),
            }
            tokio::time::sleep(RETRY).await;
        };
        if lock(&state).complaints.remove(&question).is_some() {
            tracing::info!("health: {socket} is answered now");
        }
        http::serve(listener, question, state).await;
    }))
}

/// Says once why a port does not open.
fn complain(state: &Shared, socket: SocketAddr, question: Question, error: &io::Error) {
    let mut state = lock(state);
    let is_taken = error.kind() == io::ErrorKind::AddrInUse;
    let hint = if is_taken { "; does kube-proxy run beside?" } else { "" };
    let what = match question {
        Question::Node => "/healthz and /livez".to_owned(),
        Question::Service(port) => match state.services.get(&port) {
            Some(it) => format!("healthCheckNodePort of Service {}/{}", it.namespace, it.name),
            None => return,
        },
    };
    let sentence = format!("health: {socket} for {what} cannot be opened: {error}{hint}");
    if state.complaints.insert(question, sentence.clone()).as_ref() != Some(&sentence) {
        tracing::warn!("{sentence}");
    }
}

//! The way to the API server that works now.
//!
//! All tasks of a session share one link. Whoever finds that an endpoint does not work says so, and the next
//! one is taken; who says it late, about an endpoint that has been left already, changes nothing.

use std::sync::{Arc, Mutex, PoisonError};

use kube::Client;
use tokio::sync::{Notify, watch};

use crate::connect::client::Endpoint;

/// A client, and how to refer to it.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) client: Client,
    pub(crate) url: Arc<str>,
    /// Grows with each change of endpoint or client.
    turn: u64,
}

impl Live {
    /// Of an endpoint that is not in use.
    pub(crate) fn to(endpoint: Endpoint) -> Self {
        Self { client: endpoint.client, url: endpoint.url, turn: 0 }
    }
}

#[derive(Default)]
struct Choice {
    endpoints: Vec<Endpoint>,
    chosen: usize,
    turn: u64,
    /// Why there is no client at all.
    error: Option<String>,
}

/// Shared by everything that talks to the API server.
pub(crate) struct Link {
    choice: Mutex<Choice>,
    live: watch::Sender<Option<Live>>,
    /// Somebody was told 401: credentials may have been replaced.
    unauthorized: Notify,
}

impl Link {
    /// Without a client yet.
    pub(crate) fn new() -> Self {
        Self {
            choice: Mutex::default(),
            live: watch::Sender::new(None),
            unauthorized: Notify::new(),
        }
    }

    pub(crate) fn with(endpoints: Vec<Endpoint>) -> Self {
        let link = Self::new();
        link.replace(endpoints, None);
        link
    }

    pub(crate) fn live(&self) -> Option<Live> {
        self.live.borrow().clone()
    }

    /// Wakes when the client or the endpoint changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Live>> {
        self.live.subscribe()
    }

    /// Why there is no client.
    pub(crate) fn error(&self) -> Option<String> {
        self.choice.lock().unwrap_or_else(PoisonError::into_inner).error.clone()
    }

    pub(crate) fn set_error(&self, error: String) {
        self.choice.lock().unwrap_or_else(PoisonError::into_inner).error = Some(error);
    }

    /// Clients with new credentials. Begins with the endpoint `at`, else with the one that was in use.
    pub(crate) fn replace(&self, endpoints: Vec<Endpoint>, at: Option<&str>) {
        let mut choice = self.choice.lock().unwrap_or_else(PoisonError::into_inner);
        let before = choice.endpoints.get(choice.chosen).map(|endpoint| Arc::clone(&endpoint.url));
        let wanted = at.or(before.as_deref());
        let position = |url| endpoints.iter().position(|endpoint| endpoint.url.as_ref() == url);
        choice.chosen = wanted.and_then(position).unwrap_or(0);
        choice.endpoints = endpoints;
        choice.error = None;
        self.announce(&mut choice);
    }

    /// The endpoint of `live` does not work. `true` when another one is tried now.
    pub(crate) fn failed(&self, live: &Live) -> bool {
        let mut choice = self.choice.lock().unwrap_or_else(PoisonError::into_inner);
        if choice.turn != live.turn || choice.endpoints.len() < 2 {
            return choice.turn != live.turn;
        }
        choice.chosen = (choice.chosen + 1) % choice.endpoints.len();
        self.announce(&mut choice);
        true
    }

    pub(crate) fn tell_unauthorized(&self) {
        self.unauthorized.notify_one();
    }

    pub(crate) async fn unauthorized(&self) {
        self.unauthorized.notified().await;
    }

    fn announce(&self, choice: &mut Choice) {
        choice.turn += 1;
        let turn = choice.turn;
        let live = choice.endpoints.get(choice.chosen).map(|endpoint| Live {
            client: endpoint.client.clone(),
            url: Arc::clone(&endpoint.url),
            turn,
        });
        self.live.send_replace(live);
    }
}

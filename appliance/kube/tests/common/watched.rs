//! A session together with what it is compared to.

use std::time::Duration;

use spillway_apiserver::ApiServer;
use spillway_kube::{Notice, Session};
use tokio::sync::mpsc;

use super::{Heard, truth};

/// A session, the server behind it, and what was heard so far.
pub struct Watched {
    pub server: ApiServer,
    pub session: Session,
    pub notices: mpsc::Receiver<Notice>,
    pub heard: Heard,
    patience: Duration,
}

impl Watched {
    /// `patience`: how long anything may take.
    pub fn new(
        server: &ApiServer,
        (session, notices): (Session, mpsc::Receiver<Notice>),
        patience: Duration,
    ) -> Self {
        Self { server: server.clone(), session, notices, heard: Heard::default(), patience }
    }

    /// Listens until it is as wanted; says how long that took.
    pub async fn until(&mut self, is_there: impl Fn(&Heard) -> bool) -> Duration {
        self.heard.until(&mut self.notices, self.patience, is_there).await.unwrap()
    }

    /// Listens until what was told is what the server holds.
    pub async fn in_step(&mut self) -> Duration {
        self.try_in_step().await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Like [`Self::in_step`]; what was told instead is the error.
    pub async fn try_in_step(&mut self) -> Result<Duration, String> {
        let truth = truth(&self.server);
        let is_there = |heard: &Heard| heard.is_synced() && heard.world == truth;
        let waited = self.heard.until(&mut self.notices, self.patience, is_there).await;
        waited.map_err(|error| {
            let wanted: Vec<_> = truth.keys().collect();
            let told: Vec<_> = self.heard.world.keys().collect();
            format!("{error}\nwanted {wanted:?}\ntold   {told:?}")
        })
    }

    /// Takes in whatever comes meanwhile.
    pub async fn listen_for(&mut self, time: Duration) {
        drop(self.heard.until(&mut self.notices, time, |_| false).await);
    }
}

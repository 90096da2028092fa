//! Everything that talks to one cluster, started and stopped together.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use spillway_cluster::Kind;
use spillway_cluster::events::{Recorder, Source};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cache;
use crate::connect::access::{self, AccessError, Pod};
use crate::connect::client::Endpoint;
use crate::connect::link::Link;
use crate::connect::rotate::Keeper;
use crate::lead::{Leader, Runner};
use crate::pace::Jitter;
use crate::settings::SessionSettings;
use crate::watch::notice::Notice;
use crate::watch::shelf::Shelf;
use crate::watch::task::{Accepts, Common, Feeder};
use crate::write::event::Teller;
use crate::write::writer::{Scribe, Writer};

/// Notices that wait for the daemon. More than that, and the watch waits too.
const NOTICES_MAX: usize = 1024;
/// Events that wait to be told; more are dropped.
const DRAFTS_MAX: usize = 256;

/// A cluster that is watched. Dropping it stops everything at once.
pub struct Session {
    link: Arc<Link>,
    accepted: watch::Sender<Accepts>,
    version: watch::Receiver<Option<String>>,
    cache: Option<cache::Keeper>,
    lease: Option<(Runner, Leader)>,
    writer: Writer,
    tasks: JoinSet<()>,
}

impl Session {
    /// Starts to watch. Must be called inside of a tokio runtime.
    ///
    /// An API server that cannot be reached is no error: what the cache holds is served, and it is tried for
    /// ever.
    ///
    /// # Errors
    /// [`AccessError`] when the access can never work, such as an `http://` server.
    pub fn start(settings: SessionSettings) -> Result<(Self, mpsc::Receiver<Notice>), AccessError> {
        let pod = Pod::from_environment();
        if let Err(error) = access::plan(&settings.access, &pod)
            && !error.is_passing()
        {
            return Err(error);
        }
        let link = Arc::new(Link::new());
        let version = watch::Sender::new(None);
        let keeper = Keeper::new(
            settings.access.clone(),
            pod,
            settings.clockwork.clone(),
            Arc::clone(&link),
            version.clone(),
        );
        let (mut session, notices) = Self::over(link, version.subscribe(), settings);
        session.tasks.spawn(keeper.run());
        Ok((session, notices))
    }

    /// Starts over clients that somebody else has made, tried in turn: for tests, and for whoever brings a
    /// transport of his own.
    pub fn with_clients(
        clients: Vec<(String, Client)>,
        settings: SessionSettings,
    ) -> (Self, mpsc::Receiver<Notice>) {
        let endpoint = |(url, client): (String, Client)| Endpoint { url: url.into(), client };
        let link = Link::with(clients.into_iter().map(endpoint).collect());
        Self::over(Arc::new(link), watch::Sender::new(None).subscribe(), settings)
    }

    fn over(
        link: Arc<Link>,
        version: watch::Receiver<Option<String>>,
        settings: SessionSettings,
    ) -> (Self, mpsc::Receiver<Notice>) {
        let (sender, notices) = mpsc::channel(NOTICES_MAX);
        let accepted = watch::Sender::new(Accepts::new());
        let shelf = Arc::new(Shelf::new());
        let mut tasks = JoinSet::new();
        let cache = settings.cache.map(|path| cache::Keeper {
            path,
            cluster: cache::cluster_of(&settings.access),
            shelf: Arc::clone(&shelf),
            every: settings.clockwork.cache_every,
        });
        if let Some(cache) = &cache {
            cache.load();
            tasks.spawn(cache.clone().run());
        }
        let common = Common {
            link: Arc::clone(&link),
            clockwork: settings.clockwork,
            notices: sender,
            shelf,
            accepted: accepted.subscribe(),
        };
        for kind in Kind::ALL {
            tasks.spawn(Feeder::new(kind, common.clone()).run());
        }
        let lease = settings.lease.map(|lease| Runner::new(Arc::clone(&link), lease));
        if let Some((runner, _)) = &lease {
            tasks.spawn(runner.clone().run());
        }
        let leader = lease.as_ref().map(|(_, leader)| leader.clone());
        let writer = Self::write(&mut tasks, common, settings.source, leader);
        (Self { link, accepted, version, cache, lease, writer, tasks }, notices)
    }

    fn write(
        tasks: &mut JoinSet<()>,
        common: Common,
        source: Source,
        leader: Option<Leader>,
    ) -> Writer {
        let (patches, patch_queue) = mpsc::unbounded_channel();
        let (drafts, draft_queue) = mpsc::channel(DRAFTS_MAX);
        let (read_only, is_read_only) = watch::channel(false);
        let Common { link, clockwork, notices, .. } = common;
        let start = Instant::now();
        let seed = Jitter::new(clockwork.seed, 5).next();
        tasks.spawn(
            Teller {
                link: Arc::clone(&link),
                clockwork: clockwork.clone(),
                recorder: Recorder::new(source, seed, Duration::ZERO),
                drafts: draft_queue,
                start,
            }
            .run(),
        );
        let scribe = Scribe {
            link,
            clockwork,
            patches: patch_queue,
            drafts: drafts.clone(),
            read_only,
            notices,
            leader,
        };
        tasks.spawn(scribe.run());
        Writer::new(patches, drafts, is_read_only)
    }

    /// Takes writes.
    pub fn writer(&self) -> Writer {
        self.writer.clone()
    }

    /// Whether this box is the one that writes; `None`: there is no election.
    pub fn leader(&self) -> Option<Leader> {
        self.lease.as_ref().map(|(_, leader)| leader.clone())
    }

    /// Applies the read of this kind that is kept back because it lost too much. One that is kept back later
    /// needs a word of its own.
    pub fn accept(&self, kind: Kind) {
        self.accepted.send_modify(|accepts| *accepts.entry(kind).or_default() += 1);
    }

    /// What the API server says that it is, such as `v1.36.2`.
    pub fn server_version(&self) -> Option<String> {
        self.version.borrow().clone()
    }

    /// The API server in use.
    pub fn endpoint(&self) -> Option<String> {
        self.link.live().map(|live| live.url.to_string())
    }

    /// Stops all tasks, gives the Lease back, and saves what is known.
    pub async fn shutdown(mut self) {
        self.tasks.shutdown().await;
        if let Some((runner, _)) = &self.lease {
            runner.release().await;
        }
        if let Some(cache) = &self.cache {
            cache.flush_or_warn().await;
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("endpoint", &self.endpoint()).finish_non_exhaustive()
    }
}

//! The server in a process: the store behind a lock, its clock, its users, its faults.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::auth::{Authority, Identity};
use crate::faults::{FaultPlan, Rule};
use crate::http::Connection;
use crate::replay::Replay;
use crate::status::Status;
use crate::store::{Store, StoreConfig};
use crate::time::Timestamp;

/// How a server is set up.
#[derive(Clone, Debug)]
pub struct Options {
    pub store: StoreConfig,
    /// Between two bookmarks of a watch.
    pub bookmark_every: Duration,
    /// Answers from recordings where they have one.
    pub replay: Option<Replay>,
}

impl Default for Options {
    fn default() -> Self {
        let bookmark_every = Duration::from_mins(1);
        Self { store: StoreConfig::default(), bookmark_every, replay: None }
    }
}

/// What concerns connections and streams that are open already.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Live {
    /// Every stream that was opened before this changed breaks off.
    pub cuts: u64,
    /// Streams stay open and say nothing.
    pub is_stalled: bool,
    /// Nobody is served: the process seems to be gone.
    pub is_down: bool,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub store: Mutex<Store>,
    pub authority: Mutex<Authority>,
    pub faults: Mutex<FaultPlan>,
    /// The store's version, for those who wait for changes.
    pub changed: watch::Sender<u64>,
    pub live: watch::Sender<Live>,
    pub bookmark_every: Duration,
    pub replay: Option<Replay>,
    epoch: SystemTime,
    started: Instant,
}

/// An API server. Clones are the same server.
#[derive(Clone, Debug)]
pub struct ApiServer {
    pub(crate) shared: Arc<Shared>,
}

impl Default for ApiServer {
    fn default() -> Self {
        Self::new(Options::default())
    }
}

/// A test that panicked while it held the lock has failed already.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ApiServer {
    pub fn new(options: Options) -> Self {
        let (epoch, started) = (SystemTime::now(), Instant::now());
        let store = Store::new(options.store, epoch.into());
        let (changed, _) = watch::channel(store.version());
        let (live, _) = watch::channel(Live::default());
        let shared = Shared {
            store: Mutex::new(store),
            authority: Mutex::default(),
            faults: Mutex::default(),
            changed,
            live,
            bookmark_every: options.bookmark_every,
            replay: options.replay,
            epoch,
            started,
        };
        Self { shared: Arc::new(shared) }
    }

    /// A connection of somebody with a client certificate, or of nobody: a tower service, which
    /// `kube::Client::new` takes as it is. Tokens work on either.
    pub fn connect(&self, certificate: Option<Identity>) -> Connection {
        Connection::new(self.clone(), certificate)
    }

    /// A connection of `system:admin`.
    pub fn admin(&self) -> Connection {
        self.connect(Some(Identity::new("system:admin")))
    }

    /// The server's clock. It follows tokio's, and so stands still where that is paused.
    pub fn now(&self) -> Timestamp {
        (self.shared.epoch + self.shared.started.elapsed()).into()
    }

    /// Works on the store directly, and tells the watches if something changed.
    pub fn edit<T>(&self, work: impl FnOnce(&mut Store, Timestamp) -> T) -> T {
        let mut store = lock(&self.shared.store);
        let result = work(&mut store, self.now());
        let version = store.version();
        drop(store);
        self.shared.changed.send_if_modified(|known| std::mem::replace(known, version) != version);
        result
    }

    /// Creates an object, or every item of a `List`, with its status.
    pub fn load(&self, object: &Value) -> Result<(), Status> {
        if let Some(Value::Array(items)) = object.get("items") {
            return items.iter().try_for_each(|item| self.load(item));
        }
        self.edit(|store, now| store.load(object, now)).map(|_| ())
    }

    /// Who may come in, and what they may not do.
    pub fn authority(&self) -> MutexGuard<'_, Authority> {
        lock(&self.shared.authority)
    }

    /// Adds a fault.
    pub fn add_fault(&self, rule: Rule) {
        lock(&self.shared.faults).add(rule);
    }

    /// Takes all faults back. What they have done to open streams stays done.
    pub fn clear_faults(&self) {
        lock(&self.shared.faults).clear();
    }

    /// Are there faults that have not happened yet?
    pub fn has_faults(&self) -> bool {
        !lock(&self.shared.faults).is_empty()
    }

    /// Forgets history: watches and lists of an older version get 410.
    pub fn compact(&self) {
        self.edit(|store, _| store.compact());
    }

    /// Breaks off every stream that is open now.
    pub fn cut_streams(&self) {
        self.shared.live.send_modify(|live| live.cuts += 1);
    }

    /// Keeps every stream open and silent, or lets them speak again.
    pub fn stall_streams(&self, is_stalled: bool) {
        self.shared.live.send_modify(|live| live.is_stalled = is_stalled);
    }

    /// Goes away for clients: streams break off, connections are refused. The store stays.
    pub fn set_down(&self, is_down: bool) {
        self.shared.live.send_modify(|live| {
            live.is_down = is_down;
            live.cuts += u64::from(is_down);
        });
    }
}

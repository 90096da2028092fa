//! What a session is told: where the cluster is, where to keep the cache, who we are for the Lease, and how
//! fast its clockwork runs.

use std::path::PathBuf;
use std::time::Duration;

use spillway_cluster::events::Source;
use spillway_cluster::{Access, election};

/// Everything that [`crate::Session::start`] needs.
#[derive(Clone, Debug)]
pub struct SessionSettings {
    pub access: Access,
    /// The file of the last good objects; `None`: nothing is kept over a restart.
    pub cache: Option<PathBuf>,
    /// `None`: there is no election, and this box writes whatever it is asked to.
    pub lease: Option<LeaseSettings>,
    /// Who tells events.
    pub source: Source,
    pub clockwork: Clockwork,
}

impl SessionSettings {
    /// A session without cache and election, at the usual pace.
    pub fn new(access: Access) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let source = Source { component: "spillway".to_owned(), host: host.trim().to_owned() };
        Self { access, cache: None, lease: None, source, clockwork: Clockwork::default() }
    }
}

/// The Lease that decides which box writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseSettings {
    pub namespace: String,
    pub name: String,
    /// This run of this box: unique among all that share the Lease, and among the runs of one.
    pub identity: String,
    pub election: election::Settings,
}

/// Intervals and limits. The defaults are for a real cluster; tests run them faster.
#[derive(Clone, Debug)]
pub struct Clockwork {
    /// For TCP and TLS to be up.
    pub connect_timeout: Duration,
    /// For an answer to begin, and between two pieces of a LIST.
    pub answer_timeout: Duration,
    /// A watch that says nothing for so long is dead. The API server is asked to end it a little earlier.
    pub idle_timeout: Duration,
    /// The first wait after a failure; each further one is twice as long.
    pub backoff_min: Duration,
    /// The longest wait while the API server answers, but with errors.
    pub backoff_max: Duration,
    /// The longest wait while nobody answers. Shorter: an API server that is back is to be seen within
    /// seconds, and a connection that is refused costs it nothing.
    pub backoff_unreachable_max: Duration,
    /// Everything is read again so often, whatever the watch says.
    pub relist_every: Duration,
    /// How long a suspiciously shrunk answer is kept back.
    pub hold: Duration,
    /// How often credentials on disk are looked at.
    pub rotation_every: Duration,
    /// The cache is written no more often than this.
    pub cache_every: Duration,
    /// Objects in one page of a LIST.
    pub page_size: u32,
    /// Ask for streamed lists (WatchList, Kubernetes 1.32 and later) before falling back to pages.
    pub streaming_lists: bool,
    /// Seed of all jitter; `None`: another one each time.
    pub seed: Option<u64>,
}

impl Default for Clockwork {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            backoff_min: Duration::from_millis(800),
            backoff_max: Duration::from_secs(30),
            backoff_unreachable_max: Duration::from_secs(4),
            relist_every: Duration::from_mins(10),
            hold: Duration::from_secs(30),
            rotation_every: Duration::from_secs(5),
            cache_every: Duration::from_secs(5),
            page_size: 500,
            streaming_lists: true,
            seed: None,
        }
    }
}

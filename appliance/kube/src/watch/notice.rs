//! What a session tells the daemon.

use std::time::{Instant, SystemTime};

use spillway_cluster::{Change, Kind, Object, ObjectKey};

use crate::watch::guard::Held;
use crate::write::patch::Written;

/// One thing to know, in the order in which it became true.
#[derive(Clone, Debug)]
pub enum Notice {
    /// The cluster is now so.
    Change(Change<Object>),
    /// The watch of this kind is now so.
    Feed { kind: Kind, state: FeedState },
    /// What became of a patch of this Service.
    Written { key: ObjectKey, outcome: Written },
}

/// Nobody listens any more.
#[derive(Debug)]
pub(crate) struct Closed;

/// How good our knowledge of one kind is. Whatever it says, the last known state goes on being served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedState {
    /// The API server's own state has been read completely at least once since the session started.
    pub synced: bool,
    /// When the API server last said anything about this kind; `None`: never in this session.
    pub last_contact: Option<Instant>,
    /// What is wrong at the moment.
    pub error: Option<String>,
    /// A read that is kept back because it lost too much.
    pub held: Option<Held>,
    /// What is served was loaded from the cache, and was true then.
    pub cached_at: Option<SystemTime>,
    /// Objects without a name that were passed over.
    pub nameless: u64,
}

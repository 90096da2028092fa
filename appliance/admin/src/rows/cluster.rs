//! The cluster: how the box stands with it, its nodes, the address pools, and what is not served.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::values::{FrontendKind, HealthState, ObjectKind};

/// How the box stands with its cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// API server in use, or tried last, e.g. `https://10.0.0.1:6443`.
    pub endpoint: String,
    /// What the API server says that it is, e.g. `v1.36.2`; `None` until it was reached.
    pub server_version: Option<String>,
    /// A feed is not synced, its last attempt failed, or it was silent for too long. What is known
    /// is served on.
    pub stale: bool,
    /// What is served comes from the snapshot on disk: the API server was not reached since the
    /// daemon started.
    pub from_cache: bool,
    /// One per kind of object.
    pub feeds: Vec<FeedStatus>,
    pub leader: LeaderStatus,
    pub writes: WriteCounts,
    /// Rows of `refused_list` (gauge).
    pub refused: u32,
}

/// The watch of one kind of object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeedStatus {
    pub kind: ObjectKind,
    /// All objects were listed since the daemon started.
    pub synced: bool,
    /// Objects that are known (gauge).
    pub objects: u64,
    /// Seconds since the API server last said anything about them; `None` when it never did.
    pub last_contact_seconds_ago: Option<f64>,
    /// What the last attempt met; `None` when it went well.
    pub error: Option<String>,
    /// Objects of a list that shrank too much to be believed at once; `None` when none is held.
    pub held: Option<u64>,
}

/// Which box writes to the cluster. All boxes forward.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderStatus {
    /// This box does.
    pub is_leader: bool,
    /// Name of the box that holds the Lease; `None` when nobody does, or it is not known.
    pub holder: Option<String>,
}

/// What the box has written to the cluster since the daemon started.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteCounts {
    pub done: u64,
    pub failed: u64,
    /// Not done yet (gauge).
    pub pending: u64,
    /// The cluster forbids writing: Services are served and their status is not.
    pub read_only: bool,
}

/// A Service, or a part of one, that is not served, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedRow {
    /// `namespace/name`.
    pub service: String,
    /// Name or number of the port that is not served; `None`: the reason is not about a port.
    pub port: Option<String>,
    /// Kind of frontend that is missing; `None`: every kind.
    pub kind: Option<FrontendKind>,
    /// In kebab case, for programs, e.g. `no-address`.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}

/// One node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRow {
    pub name: String,
    /// Its InternalIPs.
    pub addresses: Vec<IpAddr>,
    /// It may take traffic, unless its health checks fail.
    pub eligible: bool,
    /// Why it may not, or what of it is not believed; `None` when there is nothing to say.
    pub reason: Option<String>,
    /// Prefixes of its pods, e.g. `10.244.1.0/24`.
    pub pod_cidrs: Vec<String>,
    /// What its Ready condition says; it changes nothing here. `None`: nothing.
    pub ready: Option<bool>,
    /// What the check of its kube-proxy says; `None` when none runs.
    pub kube_proxy: Option<HealthState>,
    /// What that check met when it failed last; `None` while it is up.
    pub kube_proxy_error: Option<String>,
    /// Services with a backend on it (gauge).
    pub services: u32,
}

/// One pool of addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolRow {
    pub name: String,
    /// Prefixes and ranges, e.g. `198.51.100.0/28`, `192.0.2.10-192.0.2.20`.
    pub addresses: Vec<String>,
    /// Addresses that can be lent; `u64::MAX` when there are more.
    pub size: u64,
    /// Addresses that Services have (gauge).
    pub used: u64,
    /// Services that name no pool may get an address of this one.
    pub auto_assign: bool,
    /// The highest is tried first.
    pub priority: u32,
    /// Namespaces whose Services may use it; empty: all.
    pub namespaces: Vec<String>,
    /// Labels that a Service must carry, `key=value` or `key`; empty: none.
    pub labels: Vec<String>,
}

/// A list that was held by the shrink guard and is now taken as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedRow {
    pub kind: ObjectKind,
    /// Objects that were served until now.
    pub objects_before: u64,
    /// Objects of the list that was held.
    pub objects: u64,
}

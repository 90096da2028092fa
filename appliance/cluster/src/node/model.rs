//! Desired state of one node. Plain values: the maps follow from them.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use spillway_lb::model::{Affinity, Protocol, Scheduler, ServiceKind};

use crate::addresses::Family;

/// An endpoint of a Service.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeBackend {
    pub address: IpAddr,
    pub port: u16,
    /// Share of new flows relative to the other backends of a pool; 0 takes none.
    pub weight: u16,
    /// Runs on this node.
    pub is_local: bool,
    /// Is going away: new flows only where a pool has no others (KEP-1669).
    pub is_terminating: bool,
}

/// Where a frontend is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    Address(IpAddr),
    /// Every address of this node that NodePorts are served on.
    Node,
}

/// Backends that new flows may get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// Indices of [`NodeService::backends`], ascending.
    pub members: Arc<[u16]>,
    /// All of them terminate: there are no others.
    pub is_terminating: bool,
    /// Only backends of this node may be in it, by policy.
    pub is_local: bool,
}

/// An `address:port` that the node answers on.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct NodeFrontend {
    pub kind: ServiceKind,
    pub place: Place,
    pub port: u16,
    /// Index of [`NodeService::pools`] for the pods and the host of this node.
    pub internal: u8,
    /// The same for packets that come in from outside; `None`: not answered.
    pub external: Option<u8>,
    /// Whether `source_ranges` apply.
    pub is_guarded: bool,
}

/// One port of one Service, in one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeService {
    /// Unique together with `family`: `namespace/name:port`, or the bare name of a static one.
    pub name: String,
    pub family: Family,
    pub protocol: Protocol,
    pub scheduler: Scheduler,
    pub affinity: Affinity,
    /// Clients that guarded frontends serve; empty: all.
    pub source_ranges: Vec<IpNet>,
    /// Everything that serves, sorted: those that terminate too, as long as they are there.
    pub backends: Vec<NodeBackend>,
    /// At most four.
    pub pools: Vec<Pool>,
    /// Sorted by place and port; no two of the same.
    pub frontends: Vec<NodeFrontend>,
}

/// A Service whose `healthCheckNodePort` this node answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HealthPort {
    pub namespace: String,
    pub name: String,
    pub port: u16,
    /// Endpoints of the Service on this node that serve.
    pub local_endpoints: usize,
}

/// Everything that this node is to serve, at one moment. What did not change is the same allocation as before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeView {
    /// In the order of name and family.
    pub services: Vec<Arc<NodeService>>,
    /// In the order of their ports.
    pub health_ports: Vec<HealthPort>,
    /// InternalIPs of this node, as its Node object has them: NodePorts are served there unless the configuration
    /// names others.
    pub node_addresses: Vec<IpAddr>,
    /// Whether the node stays: kube-proxy's `nodeEligible`.
    pub is_eligible: bool,
    /// What is not served and why: sentences, each with the name of its object.
    pub refused: Vec<String>,
}

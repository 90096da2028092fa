//! Desired state, as the operator or the cluster states it. Plain values; nothing is compiled yet.
//!
//! The configuration file, and later the Kubernetes watch, build a [`Model`]; the health engine
//! says which backends serve; together they become a [`crate::snapshot::Snapshot`].

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};

/// Transport protocol of a frontend.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    /// IANA protocol number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// What kind of frontend a Service declares. Only ever shown; forwarding is the same for all.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum ServiceKind {
    ClusterIp,
    NodePort,
    LoadBalancer,
    ExternalIp,
}

impl fmt::Display for ServiceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ClusterIp => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
            Self::ExternalIp => "ExternalIP",
        })
    }
}

/// An `address:port/protocol` that the box answers on.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Frontend {
    pub address: IpAddr,
    pub port: u16,
    pub protocol: Protocol,
}

/// Which backend a new flow gets.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Scheduler {
    /// Uniform by weight, drawn anew for every flow (Cilium's default).
    #[default]
    Random,
    /// By consistent hash of the client's tuple (NSDI'16).
    Maglev,
}

/// Whether a client keeps its backend across its connections.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Affinity {
    /// Every flow for itself.
    #[default]
    None,
    /// All flows of a client address go to one backend, until none has come for `timeout`.
    ClientIp { timeout: Duration },
}

/// What a client hears when no backend can take its flow.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Refusal {
    /// TCP RST, or ICMP port unreachable.
    #[default]
    Reject,
    /// Silence.
    Drop,
}

/// A node or pod endpoint.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Backend {
    pub address: IpAddr,
    pub port: u16,
    /// Share of new flows relative to the other backends; 0 takes none and keeps what it has.
    pub weight: u16,
}

/// How a backend is asked whether it serves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CheckKind {
    /// A completed handshake.
    Tcp,
    /// `GET path` with an expected status.
    Http { path: String, host: Option<String>, expect: RangeInclusive<u16> },
    /// `GET /` on a Kubernetes `healthCheckNodePort`: 200 while the node has endpoints of the Service, whose
    /// number `X-Load-Balancing-Endpoint-Weight` is the backend's weight; 503 while it has none.
    NodeEndpoints,
}

/// How often a backend is asked, and how many answers take it out and bring it back.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Clockwork {
    pub interval: Duration,
    pub timeout: Duration,
    /// Consecutive failures that take a backend out, >= 1.
    pub fall: u8,
    /// Consecutive successes that bring it back, >= 1.
    pub rise: u8,
    /// Each interval is stretched or shrunk by up to this share, in percent, 0..=50.
    pub jitter_percent: u8,
    /// How long one that went out for the second time in short succession stays out at least; doubles
    /// with every further time. Zero: `rise` alone decides.
    pub hold_down: Duration,
}

impl Default for Clockwork {
    /// Every 2 s, out after three failures, back after two successes, no hold-down.
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            fall: 3,
            rise: 2,
            jitter_percent: 10,
            hold_down: Duration::ZERO,
        }
    }
}

/// What is asked of a Service's backends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HealthCheck {
    pub kind: CheckKind,
    /// Probed port; the backend's own when `None`.
    pub port: Option<u16>,
    pub clockwork: Clockwork,
}

/// How much of a Service the health checks may take away.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ejection {
    /// Most backends that may go out within `window`, in percent of those that could serve (neither
    /// drained nor without endpoints), rounded up; 100: no limit.
    /// A node that says itself that it has no endpoints goes in any case.
    pub percent_max: u8,
    pub window: Duration,
    /// With every backend failing, all of them serve: the fault is more likely ours.
    pub fail_open: bool,
}

impl Default for Ejection {
    /// No limit, and nothing serves when everything fails.
    fn default() -> Self {
        Self { percent_max: 100, window: Duration::from_secs(10), fail_open: false }
    }
}

/// One Service with its frontends and backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Unique together with `kind`: `namespace/name:port`, or the bare name in static mode.
    pub name: String,
    pub kind: ServiceKind,
    pub frontends: Vec<Frontend>,
    pub backends: Vec<Backend>,
    pub scheduler: Scheduler,
    pub affinity: Affinity,
    /// Clients that may open flows; empty: all may.
    pub source_ranges: Vec<IpNet>,
    pub no_backend: Refusal,
    /// All of them must pass; none: every backend is taken as serving.
    pub checks: Vec<HealthCheck>,
    pub ejection: Ejection,
}

impl Service {
    /// A Service with nothing but a name, and the defaults of everything else.
    pub fn new(name: impl Into<String>, kind: ServiceKind) -> Self {
        Self {
            name: name.into(),
            kind,
            frontends: Vec::new(),
            backends: Vec::new(),
            scheduler: Scheduler::default(),
            affinity: Affinity::default(),
            source_ranges: Vec::new(),
            no_backend: Refusal::default(),
            checks: Vec::new(),
            ejection: Ejection::default(),
        }
    }
}

/// The way to a prefix behind a neighbour, such as a node's pods.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Route {
    pub prefix: Ipv4Net,
    /// On the link of one of our ports, or behind a gateway.
    pub via: Ipv4Addr,
}

/// Everything that is to be served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// Shared, so that a new Generation copies only what changed.
    pub services: Vec<Arc<Service>>,
    pub routes: Vec<Route>,
}

/// A 48-bit MAC pinned to an address: never asked for, never changed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct StaticNeighbor {
    pub address: Ipv4Addr,
    pub mac: [u8; 6],
}

/// Source addresses towards backends, and the ports that may be lent from each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnatRange {
    pub address: Ipv4Addr,
    pub ports: RangeInclusive<u16>,
}

/// The IPv4 side of one port of the box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortNetwork {
    pub name: String,
    /// 802.1Q tag of every frame on this port; `None`: untagged.
    pub vlan: Option<u16>,
    /// Our addresses, each with its on-link prefix.
    pub addresses: Vec<Ipv4Net>,
    /// Router on this port for what is on no port's link.
    pub gateway: Option<Ipv4Addr>,
    pub neighbors: Vec<StaticNeighbor>,
}

/// Addresses and routes of the box. Fixed while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Indexed by [`crate::ids::PortId`].
    pub ports: Vec<PortNetwork>,
    pub snat: Vec<SnatRange>,
    /// Source ports of health checks on every SNAT address; never lent to flows.
    pub probe_ports: RangeInclusive<u16>,
}

impl Network {
    /// An address of a port, or one that SNAT ports are lent from.
    pub fn is_own(&self, address: Ipv4Addr) -> bool {
        let mut ports = self.ports.iter().flat_map(|port| &port.addresses);
        ports.any(|net| net.addr() == address) || self.snat.iter().any(|it| it.address == address)
    }
}

/// How long a flow may be silent before its record goes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// A SYN has been seen, the handshake is not complete.
    pub tcp_syn: Duration,
    /// RFC 5382, REQ-5: not less than 2 h 4 min.
    pub tcp_established: Duration,
    /// Both sides have sent FIN, or a RST was seen: the SNAT port rests.
    pub tcp_closing: Duration,
    /// The backend has not answered yet.
    pub udp_unreplied: Duration,
    /// RFC 4787, REQ-5: 5 minutes recommended.
    pub udp: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            tcp_syn: Duration::from_mins(1),
            tcp_established: Duration::from_mins(124),
            tcp_closing: Duration::from_mins(1),
            udp_unreplied: Duration::from_secs(30),
            udp: Duration::from_mins(5),
        }
    }
}

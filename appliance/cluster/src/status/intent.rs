//! What a Service's status is to say.

use std::net::IpAddr;

use spillway_lb::ids::Generation;

use crate::addresses::AddressError;
use crate::change::ObjectKey;
use crate::events::Reason;

/// What the status of one Service is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    pub service: ObjectKey,
    pub uid: String,
    pub state: IntentState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IntentState {
    /// The box serves it on these addresses.
    Serve {
        ingress: Vec<Ingress>,
        /// The Generation that serves it first. Nothing is promised before all workers have it.
        generation: Generation,
    },
    /// Ours, and not served.
    Pending { reason: PendingReason, message: String },
    /// Ours once, and no more: deleted, or of another type or class.
    CleanUp {
        /// The object is being deleted and its type and class say that it is ours. What is not being deleted, or
        /// not ours by its class, is cleaned up only as far as the mark and the pools prove that it was.
        is_deleted: bool,
        /// The first Generation without it.
        generation: Generation,
    },
}

/// One address of `status.loadBalancer.ingress`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingress {
    pub ip: IpAddr,
    pub ip_mode: IpMode,
    /// Every port of the Service, or none at all (the API's rule).
    pub ports: Vec<IngressPort>,
}

/// `ipMode` (KEP-1860).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum IpMode {
    /// Packets reach the node with the address as destination: forwarding mode `passthrough`.
    Vip,
    /// Packets reach the node with the node's or pod's own address: forwarding mode `nat`.
    Proxy,
}

/// Protocol of a Service's port, as far as the API knows.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Udp,
    Sctp,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct IngressPort {
    pub port: u16,
    pub protocol: Transport,
    /// Why this port is not served.
    pub error: Option<PortError>,
}

/// Why one port of a Service is not served. The API wants `domain/CamelCase`, at most 316 characters.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum PortError {
    SctpNotServed,
    NodePortRequired,
    /// Any other reason; the Service's condition and events say which.
    NotServed,
}

impl PortError {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SctpNotServed => "spillway.io/SctpNotServed",
            Self::NodePortRequired => "spillway.io/NodePortRequired",
            Self::NotServed => "spillway.io/NotServed",
        }
    }
}

/// Why a Service is not served: the `reason` of its condition.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum PendingReason {
    /// Another Service has the address.
    AddressConflict,
    /// The pools that it may use are full.
    PoolExhausted,
    /// It names a pool that is not configured.
    PoolUnknown,
    /// It asks for a pool or an address that it may not have.
    AddressRefused,
    /// A family that it requires is not to be had.
    FamilyUnavailable,
    /// Mode `node` has nowhere to send its traffic (`allocateLoadBalancerNodePorts: false`).
    NodePortRequired,
    /// Its specification cannot be served.
    Refused,
}

impl PendingReason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AddressConflict => "AddressConflict",
            Self::PoolExhausted => "PoolExhausted",
            Self::PoolUnknown => "PoolUnknown",
            Self::AddressRefused => "AddressRefused",
            Self::FamilyUnavailable => "FamilyUnavailable",
            Self::NodePortRequired => "NodePortRequired",
            Self::Refused => "ServiceRefused",
        }
    }

    /// The event that tells of it.
    pub const fn event(self) -> Reason {
        match self {
            Self::AddressConflict => Reason::AddressConflict,
            Self::NodePortRequired => Reason::NodePortRequired,
            Self::Refused => Reason::ServiceRefused,
            Self::PoolExhausted
            | Self::PoolUnknown
            | Self::AddressRefused
            | Self::FamilyUnavailable => Reason::SyncLoadBalancerFailed,
        }
    }
}

impl From<&AddressError> for PendingReason {
    fn from(error: &AddressError) -> Self {
        match error {
            AddressError::AddressTaken { .. } => Self::AddressConflict,
            AddressError::Exhausted { .. } => Self::PoolExhausted,
            AddressError::PoolUnknown { .. } => Self::PoolUnknown,
            AddressError::PoolForbidden { .. }
            | AddressError::AddressInNoPool { .. }
            | AddressError::AddressNotInPool { .. }
            | AddressError::AddressAvoided { .. }
            | AddressError::FamilyNotWanted { .. }
            | AddressError::TwoOfOneFamily { .. }
            | AddressError::NoPool { .. } => Self::AddressRefused,
            AddressError::NoFamily { .. }
            | AddressError::OneFamilyOnly { .. }
            | AddressError::HalfOnly { .. } => Self::FamilyUnavailable,
        }
    }
}

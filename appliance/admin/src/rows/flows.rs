//! The flow table and the source ports that it lends.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::values::{FlowState, PortRange, Protocol};

/// One flow: `client → frontend` on the client's side, `snat → backend` on the backend's.
///
/// For ICMP echo every port is the echo identifier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConntrackRow {
    pub protocol: Protocol,
    pub client: SocketAddr,
    pub frontend: SocketAddr,
    /// Our source address and port towards the backend.
    pub snat: SocketAddr,
    pub backend: SocketAddr,
    pub state: FlowState,
    /// Seconds since the last packet in either direction.
    pub idle_seconds: u64,
    /// Seconds until the record goes, if it stays silent.
    pub expires_seconds: u64,
    /// The worker that owns the flow.
    pub worker: u16,
    /// Name of the Service; `None` when it was removed while the flow lives.
    pub service: Option<String>,
}

/// Source ports of one SNAT address towards one backend.
///
/// A SNAT address without any flow has one row with neither backend nor protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnatRow {
    pub address: IpAddr,
    /// Ports that may be lent.
    pub ports: PortRange,
    pub backend: Option<SocketAddr>,
    pub protocol: Option<Protocol>,
    /// Ports lent now (gauge).
    pub in_use: u32,
    /// Ports that can be lent towards one backend.
    pub capacity: u32,
}

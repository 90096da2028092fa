//! What answers consist of. Every field has one meaning, one unit and one name, for good.
//!
//! Counters are packets or flows since the daemon started and never go down; gauges say so.

mod cluster;
mod flows;
mod network;
mod services;
mod status;

pub use cluster::{
    AcceptedRow, ClusterStatus, FeedStatus, LeaderStatus, NodeRow, PoolRow, RefusedRow, WriteCounts,
};
pub use flows::{ConntrackRow, SnatRow};
pub use network::{NeighborRow, PortRow};
pub use services::{BackendRow, HealthRow, ServiceBackendRow, ServiceRow};
pub use status::{DropReport, DropRow, PacketTotals, Status, WorkerRow};

use crate::response::{Kind, Row};

macro_rules! kinds {
    ($($row:ty => $kind:ident),+ $(,)?) => {
        $(impl Row for $row {
            const KIND: Kind = Kind::$kind;
        })+
    };
}

kinds!(
    Status => Status,
    ServiceRow => Services,
    BackendRow => Backends,
    ConntrackRow => Conntrack,
    SnatRow => Snat,
    NeighborRow => Neighbors,
    HealthRow => Health,
    PortRow => Ports,
    DropReport => Drops,
    RefusedRow => Refused,
    NodeRow => Nodes,
    PoolRow => Pools,
    AcceptedRow => Accepted,
);

//! One write to a map, and a plan of them.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use spillway_lb::model::Protocol;

use crate::layout::{Address, Backend, Frontend, FrontendKey, SourceRange};

/// Key of `source_ranges`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceKey {
    /// Bits that count: 32 of the service, then those of the address.
    pub bits: u32,
    pub range: SourceRange,
}

impl SourceKey {
    pub fn new(service: u32, source: IpNet) -> Self {
        // IPv4 is mapped into 128 bits.
        let mapped = match source {
            IpNet::V4(_) => 96,
            IpNet::V6(_) => 0,
        };
        Self {
            bits: 32 + mapped + u32::from(source.prefix_len()),
            range: SourceRange { service, source: Address::from(source.network()) },
        }
    }
}

/// One write, in the order of the plan. Programs read between any two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    WriteBackend {
        index: u32,
        row: Backend,
    },
    /// Fresh places only.
    WriteChoices {
        first: u32,
        rows: Vec<u32>,
    },
    PutSourceRange(SourceKey),
    PutFrontend {
        key: FrontendKey,
        row: Frontend,
    },
    DeleteFrontend(FrontendKey),
    /// Wait until every program that may have read an older frontend has ended.
    Settle,
    /// The row keeps everything but its state.
    FreeBackend {
        index: u32,
        row: Backend,
    },
    DeleteSourceRange(SourceKey),
}

impl Step {
    /// For counts of steps.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::WriteBackend { index: _, row: _ } => "backends written",
            Self::WriteChoices { first: _, rows: _ } => "pools written",
            Self::PutSourceRange(_) => "source ranges put",
            Self::PutFrontend { key: _, row: _ } => "frontends put",
            Self::DeleteFrontend(_) => "frontends deleted",
            Self::Settle => "settled",
            Self::FreeBackend { index: _, row: _ } => "backends freed",
            Self::DeleteSourceRange(_) => "source ranges deleted",
        }
    }

    /// The number of the service that it is for; 0: none.
    pub const fn service(&self) -> u32 {
        match self {
            Self::WriteBackend { index: _, row } | Self::FreeBackend { index: _, row } => {
                row.service
            }
            Self::PutFrontend { key: _, row } => row.service,
            Self::PutSourceRange(key) | Self::DeleteSourceRange(key) => key.range.service,
            Self::WriteChoices { first: _, rows: _ } | Self::DeleteFrontend(_) | Self::Settle => 0,
        }
    }
}

/// A Service, or a part of it, that the maps do not serve as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// `namespace/name:port`.
    pub service: String,
    /// A sentence that names it, the map and the setting.
    pub reason: String,
}

/// A backend that a service lost. Another may still have it: sockets that came by that one stay.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GoneBackend {
    pub protocol: Protocol,
    pub address: SocketAddr,
    /// As rows of `backends` have it.
    pub service: u32,
}

/// The way from what the maps hold to what they should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub steps: Vec<Step>,
    pub failed: Vec<Failed>,
    /// Once the steps are carried out.
    pub gone: Vec<GoneBackend>,
    /// Services that were looked at closely.
    pub touched: usize,
    /// Something failed for want of places, and the next are free then; at once, if it is the time of the plan.
    pub retry_at: Option<Duration>,
    /// Numbers or names of services are others than before.
    pub names_changed: bool,
}

//! Desired state plus health, immutable and numbered: what one Generation serves.
//!
//! What did not change is the same object as in the Generation before, so that a change costs what it
//! changes: [`crate::tables::Tables::compile_after`] compiles only what is new.

mod identities;

use std::net::SocketAddr;
use std::sync::Arc;

use crate::ids::{BackendId, Generation, ServiceId};
use crate::model::{Backend, Route, Service};

pub use identities::Identities;

/// What the health checks say of one backend of one Service.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub serving: bool,
    /// Instead of the backend's own weight, when a check reported one.
    pub weight: Option<u16>,
}

impl Standing {
    /// Nothing is known against it.
    pub const SERVING: Self = Self { serving: true, weight: None };
}

/// A backend, its identity and whether new flows may go to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotBackend {
    pub id: BackendId,
    /// With the weight that holds now.
    pub backend: Backend,
    /// By its health checks; weight 0 keeps new flows away as well.
    pub serving: bool,
}

impl SnapshotBackend {
    fn address(&self) -> SocketAddr {
        SocketAddr::new(self.backend.address, self.backend.port)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotService {
    pub id: ServiceId,
    /// Where its flows are counted: the lowest that no other Service of the Generation has.
    pub place: u32,
    pub service: Arc<Service>,
    pub backends: Vec<SnapshotBackend>,
}

/// What a Generation serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub generation: Generation,
    pub services: Vec<Arc<SnapshotService>>,
    pub routes: Vec<Route>,
}

//! Desired state plus health, immutable and numbered: what one Generation serves.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::ids::{BackendId, Generation, ServiceId};
use crate::model::{Backend, Model, Service};

/// A backend, its identity and whether new flows may go to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotBackend {
    pub id: BackendId,
    pub backend: Backend,
    /// By its health check; weight 0 keeps new flows away as well.
    pub serving: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotService {
    pub id: ServiceId,
    pub service: Service,
    pub backends: Vec<SnapshotBackend>,
}

/// What a Generation serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub generation: Generation,
    pub services: Vec<SnapshotService>,
}

/// Numbers Services and Backends once and for all, so that a flow can name its backend across
/// Generations.
#[derive(Debug, Default)]
pub struct Identities {
    generation: u64,
    services: HashMap<String, ServiceId>,
    backends: HashMap<(ServiceId, SocketAddr), BackendId>,
}

impl Identities {
    /// Builds the next Generation. `serving` is asked for each backend of each service.
    pub fn snapshot(
        &mut self,
        model: &Model,
        serving: impl Fn(&Service, &Backend) -> bool,
    ) -> Snapshot {
        self.generation += 1;
        let services = model.services.iter().map(|service| {
            let id = self.service(&service.name);
            let backends = service.backends.iter().map(|backend| SnapshotBackend {
                id: self.backend(id, backend),
                backend: *backend,
                serving: serving(service, backend),
            });
            SnapshotService { id, backends: backends.collect(), service: service.clone() }
        });
        let services = services.collect();
        Snapshot { generation: Generation::new(self.generation), services }
    }

    fn service(&mut self, name: &str) -> ServiceId {
        let next = u32::try_from(self.services.len()).unwrap_or(u32::MAX);
        *self.services.entry(name.to_owned()).or_insert_with(|| ServiceId::new(next))
    }

    fn backend(&mut self, service: ServiceId, backend: &Backend) -> BackendId {
        let next = u32::try_from(self.backends.len()).unwrap_or(u32::MAX);
        let address = SocketAddr::new(backend.address, backend.port);
        *self.backends.entry((service, address)).or_insert_with(|| BackendId::new(next))
    }
}

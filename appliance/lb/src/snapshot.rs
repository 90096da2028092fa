//! Desired state plus health, immutable and numbered: what one Generation serves.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::ids::{BackendId, Generation, ServiceId};
use crate::model::{Backend, Model, Route, Service, ServiceKind};

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

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotService {
    pub id: ServiceId,
    pub service: Arc<Service>,
    pub backends: Vec<SnapshotBackend>,
}

/// What a Generation serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub generation: Generation,
    pub services: Vec<SnapshotService>,
    pub routes: Vec<Route>,
}

/// Numbers Services and Backends once and for all, so that a flow can name its backend across
/// Generations.
#[derive(Debug, Default)]
pub struct Identities {
    generation: u64,
    services: HashMap<(String, ServiceKind), ServiceId>,
    backends: HashMap<(ServiceId, SocketAddr), BackendId>,
}

impl Identities {
    /// Builds the next Generation. `standings` is asked for the backends of each service, in their order; a
    /// backend that it does not mention serves.
    pub fn snapshot(
        &mut self,
        model: &Model,
        mut standings: impl FnMut(&Service) -> Vec<Standing>,
    ) -> Snapshot {
        self.generation += 1;
        let services = model.services.iter().map(|service| {
            let id = self.service(service);
            let standings =
                standings(service).into_iter().chain(std::iter::repeat(Standing::SERVING));
            let backends = service.backends.iter().zip(standings).map(|(backend, standing)| {
                let weight = standing.weight.unwrap_or(backend.weight);
                SnapshotBackend {
                    id: self.backend(id, backend),
                    backend: Backend { weight, ..*backend },
                    serving: standing.serving,
                }
            });
            SnapshotService { id, backends: backends.collect(), service: Arc::clone(service) }
        });
        let services = services.collect();
        let generation = Generation::new(self.generation);
        Snapshot { generation, services, routes: model.routes.clone() }
    }

    fn service(&mut self, service: &Service) -> ServiceId {
        let next = u32::try_from(self.services.len()).unwrap_or(u32::MAX);
        let key = (service.name.clone(), service.kind);
        *self.services.entry(key).or_insert_with(|| ServiceId::new(next))
    }

    fn backend(&mut self, service: ServiceId, backend: &Backend) -> BackendId {
        let next = u32::try_from(self.backends.len()).unwrap_or(u32::MAX);
        let address = SocketAddr::new(backend.address, backend.port);
        *self.backends.entry((service, address)).or_insert_with(|| BackendId::new(next))
    }
}

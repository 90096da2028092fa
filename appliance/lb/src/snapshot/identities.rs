//! Who is who across Generations.
//!
//! Numbers are drawn one after the other and never given twice (there are four billion), so a flow that
//! outlives its backend can name nobody else's. They are remembered for what the last Generation had; of
//! each Service also for the backends that left last, so that one which only flaps finds its flows again.
//! Memory therefore follows what is served, not what has ever been.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use super::{Snapshot, SnapshotBackend, SnapshotService, Standing};
use crate::ids::{BackendId, Generation, ServiceId};
use crate::model::{Backend, Model, Service, ServiceKind};

/// Backends that left a Service and are still known, the last ones to go.
const LEFT_MAX: usize = 64;

/// Numbers Services and Backends, so that a flow can name its backend across Generations.
#[derive(Debug, Default)]
pub struct Identities {
    generation: u64,
    /// In the order of the last Model.
    services: Vec<Known>,
    places: Places,
    services_numbered: u32,
    backends_numbered: Numbers,
}

/// A Service of the last Generation.
#[derive(Debug)]
struct Known {
    last: Arc<SnapshotService>,
    /// Oldest first.
    left: VecDeque<(SocketAddr, BackendId)>,
}

/// The numbers of backends.
#[derive(Debug, Default)]
struct Numbers(u32);

impl Numbers {
    fn draw(&mut self) -> BackendId {
        let id = BackendId::new(self.0);
        self.0 = self.0.wrapping_add(1);
        id
    }
}

/// Places of counters: dense, because every worker has memory for each, and used again.
#[derive(Debug, Default)]
struct Places {
    free: BinaryHeap<Reverse<u32>>,
    used_up_to: u32,
}

impl Places {
    fn take(&mut self) -> u32 {
        if let Some(Reverse(place)) = self.free.pop() {
            return place;
        }
        let place = self.used_up_to;
        self.used_up_to = place.saturating_add(1);
        place
    }
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
        self.line_up(model);
        for (known, service) in self.services.iter_mut().zip(&model.services) {
            known.update(service, &standings(service), &mut self.backends_numbered);
        }
        let services = self.services.iter().map(|known| Arc::clone(&known.last)).collect();
        let generation = Generation::new(self.generation);
        Snapshot { generation, services, routes: model.routes.clone() }
    }

    /// Brings the known Services into the Model's order, takes new ones in and forgets those that are gone.
    /// Most Generations have the Services of the one before, so that nothing has to be looked up.
    fn line_up(&mut self, model: &Model) {
        let mut pairs = self.services.iter().zip(&model.services);
        let is_same_size = self.services.len() == model.services.len();
        if is_same_size && pairs.all(|(known, service)| known.is(service)) {
            return;
        }
        let last: Vec<Arc<Service>> =
            self.services.iter().map(|known| Arc::clone(&known.last.service)).collect();
        let by_key: HashMap<(&str, ServiceKind), usize> =
            last.iter().enumerate().map(|(at, service)| (key(service), at)).collect();
        let mut before: Vec<Option<Known>> = self.services.drain(..).map(Some).collect();
        let found = model.services.iter().map(|service| {
            let at = by_key.get(&key(service))?;
            before.get_mut(*at)?.take()
        });
        let mut found: Vec<Option<Known>> = found.collect();
        for gone in before.into_iter().flatten() {
            self.places.free.push(Reverse(gone.last.place));
        }
        for (found, service) in found.iter_mut().zip(&model.services) {
            let known = found.take().unwrap_or_else(|| self.meet(service));
            self.services.push(known);
        }
    }

    fn meet(&mut self, service: &Arc<Service>) -> Known {
        let id = ServiceId::new(self.services_numbered);
        self.services_numbered = self.services_numbered.wrapping_add(1);
        let (place, service) = (self.places.take(), Arc::clone(service));
        let last = SnapshotService { id, place, service, backends: Vec::new() };
        Known { last: Arc::new(last), left: VecDeque::new() }
    }
}

/// What Services are told apart by.
fn key(service: &Service) -> (&str, ServiceKind) {
    (&service.name, service.kind)
}

impl Known {
    fn is(&self, service: &Arc<Service>) -> bool {
        let last = &self.last.service;
        Arc::ptr_eq(last, service) || (last.kind == service.kind && last.name == service.name)
    }

    /// Brings `last` up to date; it stays the same object when nothing changed.
    fn update(&mut self, service: &Arc<Service>, standings: &[Standing], numbers: &mut Numbers) {
        let standings = standings.iter().copied().chain(std::iter::repeat(Standing::SERVING));
        let now = service.backends.iter().zip(standings).map(|(backend, standing)| {
            let weight = standing.weight.unwrap_or(backend.weight);
            (Backend { weight, ..*backend }, standing.serving)
        });
        let before = self.last.backends.iter().map(|it| (it.backend, it.serving));
        if before.eq(now.clone()) && self.last.service == *service {
            return;
        }
        let mut ids = None;
        let backends = (0..).zip(now).map(|(at, (backend, serving)): (usize, _)| {
            let address = SocketAddr::new(backend.address, backend.port);
            // Most are where they were.
            let same = self.last.backends.get(at).filter(|last| last.address() == address);
            let id = if let Some(last) = same {
                last.id
            } else {
                let ids = ids.get_or_insert_with(|| self.ids());
                *ids.entry(address).or_insert_with(|| numbers.draw())
            };
            SnapshotBackend { id, backend, serving }
        });
        let backends: Vec<SnapshotBackend> = backends.collect();
        if ids.is_some() || backends.len() < self.last.backends.len() {
            self.note_who_left(&backends);
        }
        let (id, place, service) = (self.last.id, self.last.place, Arc::clone(service));
        self.last = Arc::new(SnapshotService { id, place, service, backends });
    }

    fn ids(&self) -> HashMap<SocketAddr, BackendId> {
        let last = self.last.backends.iter().map(|backend| (backend.address(), backend.id));
        last.chain(self.left.iter().copied()).collect()
    }

    fn note_who_left(&mut self, backends: &[SnapshotBackend]) {
        let present: HashSet<BackendId> = backends.iter().map(|backend| backend.id).collect();
        self.left.retain(|(_, id)| !present.contains(id));
        let mut left = self.last.backends.iter().filter(|backend| !present.contains(&backend.id));
        for backend in &mut left {
            if self.left.len() == LEFT_MAX {
                self.left.pop_front();
            }
            self.left.push_back((backend.address(), backend.id));
        }
    }
}

#[cfg(test)]
mod tests;

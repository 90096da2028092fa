//! A Snapshot compiled for the workers: everything that the first packet of a flow asks.
//!
//! Built on the control side, shared read-only by all workers, replaced as a whole; what did not
//! change is shared with the tables before.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use crate::hash::HashKey;
use crate::ids::{BackendId, Generation, ServiceId};
use crate::model::{Backend, Network, Protocol, Refusal};
use crate::route::Routes;
use crate::selector::Selector;
use crate::snapshot::{Snapshot, SnapshotBackend, SnapshotService};
use crate::sources::SourceRanges;

/// Port ranges of an owned address that are not frontends.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Owned {
    /// Index of the SNAT range that lends from this address.
    pub snat: Option<u16>,
}

/// A backend of a Service, also one that takes no new flows.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct BackendEntry {
    pub id: BackendId,
    pub address: SocketAddrV4,
}

/// One Service for the workers.
#[derive(Debug)]
pub struct ServiceEntry {
    pub id: ServiceId,
    /// Of its counters.
    pub place: u32,
    pub no_backend: Refusal,
    pub sources: SourceRanges,
    /// Picks among `backends`.
    pub selector: Selector,
    pub backends: Vec<BackendEntry>,
    /// What it was compiled from.
    origin: Arc<SnapshotService>,
}

/// The addresses that the box answers on, and for whom.
#[derive(Debug)]
struct Directory {
    /// To the index of the Service.
    frontends: HashMap<(SocketAddrV4, Protocol), u32, HashKey>,
    owned: HashMap<Ipv4Addr, Owned, HashKey>,
}

/// The tables of one Generation.
#[derive(Debug)]
pub struct Tables {
    pub generation: Generation,
    directory: Arc<Directory>,
    services: Vec<Arc<ServiceEntry>>,
    routes: Arc<Routes>,
}

const fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        // IPv6 has tables of its own; the settings refuse it until they exist.
        IpAddr::V6(_) => None,
    }
}

impl Directory {
    fn build(services: &[Arc<SnapshotService>], network: &Network, key: HashKey) -> Self {
        let mut frontends = HashMap::with_hasher(key);
        let mut owned: HashMap<Ipv4Addr, Owned, HashKey> = HashMap::with_hasher(key);
        let on_ports = network.ports.iter().flat_map(|port| &port.addresses);
        for address in on_ports {
            owned.entry(address.addr()).or_default();
        }
        for (at, range) in (0..).zip(&network.snat) {
            owned.entry(range.address).or_default().snat = Some(at);
        }
        for (at, service) in (0..).zip(services) {
            for frontend in &service.service.frontends {
                let Some(address) = v4(frontend.address) else { continue };
                owned.entry(address).or_default();
                let key = (SocketAddrV4::new(address, frontend.port), frontend.protocol);
                frontends.insert(key, at);
            }
        }
        Self { frontends, owned }
    }

    /// Addresses that only one of the two owns, in ascending order.
    fn differences(&self, other: &Self) -> Vec<Ipv4Addr> {
        let only = |a: &Self, b: &Self| -> Vec<Ipv4Addr> {
            a.owned.keys().copied().filter(|address| !b.owned.contains_key(address)).collect()
        };
        let mut differences = only(self, other);
        differences.extend(only(other, self));
        differences.sort_unstable();
        differences
    }

    fn compile(&self, snapshot: &Arc<SnapshotService>) -> ServiceEntry {
        let service = &snapshot.service;
        let (mut backends, mut weighed) = (Vec::new(), Vec::new());
        for SnapshotBackend { id, backend, serving } in &snapshot.backends {
            let Some(address) = v4(backend.address) else { continue };
            // What leads back to the box would chain a frontend to a frontend: no flow goes there.
            let takes = *serving && !self.owned.contains_key(&address);
            // Who takes none keeps its place: a Maglev table's size depends on how many there are,
            // and nobody else's flows are to move when one goes out and comes back.
            let weight = if takes { backend.weight } else { 0 };
            backends
                .push(BackendEntry { id: *id, address: SocketAddrV4::new(address, backend.port) });
            weighed.push(Backend { weight, ..*backend });
        }
        ServiceEntry {
            id: snapshot.id,
            place: snapshot.place,
            no_backend: service.no_backend,
            sources: SourceRanges::new(&service.source_ranges),
            selector: Selector::build(service.scheduler, service.affinity, &weighed),
            backends,
            origin: Arc::clone(snapshot),
        }
    }
}

impl Tables {
    pub fn compile(snapshot: &Snapshot, network: &Network, key: HashKey) -> Self {
        let directory = Directory::build(&snapshot.services, network, key);
        let services = snapshot.services.iter().map(|service| directory.compile(service).into());
        Self {
            generation: snapshot.generation,
            services: services.collect(),
            routes: Routes::with(network, snapshot.routes.clone()).into(),
            directory: directory.into(),
        }
    }

    /// The same as [`Tables::compile`] in a fraction of the time: of `previous`, which was compiled for the same
    /// box and from the same [`crate::snapshot::Identities`], everything that did not change is used again.
    pub fn compile_after(
        previous: &Self,
        snapshot: &Snapshot,
        network: &Network,
        key: HashKey,
    ) -> Self {
        let (directory, differences) = if previous.has_frontends_of(snapshot) {
            (Arc::clone(&previous.directory), Vec::new())
        } else {
            let directory = Directory::build(&snapshot.services, network, key);
            let differences = directory.differences(&previous.directory);
            (Arc::new(directory), differences)
        };
        // A backend that has become an address of the box, or is none any more, changes its Service too.
        let is_touched = |entry: &ServiceEntry| {
            let touches = |it: &BackendEntry| differences.binary_search(it.address.ip()).is_ok();
            !differences.is_empty() && entry.backends.iter().any(touches)
        };
        let mut before = Previous::new(&previous.services);
        let services = snapshot.services.iter().enumerate().map(|(at, service)| {
            let entry = before.find(at, service.id);
            let entry = entry.filter(|entry| Arc::ptr_eq(&entry.origin, service));
            match entry.filter(|entry| !is_touched(entry)) {
                Some(entry) => Arc::clone(entry),
                None => directory.compile(service).into(),
            }
        });
        let services = services.collect();
        let routes = if previous.routes.learned() == snapshot.routes {
            Arc::clone(&previous.routes)
        } else {
            Routes::with(network, snapshot.routes.clone()).into()
        };
        Self { generation: snapshot.generation, directory, services, routes }
    }

    /// Would the directory of `snapshot` be the one that is here?
    fn has_frontends_of(&self, snapshot: &Snapshot) -> bool {
        let same = |(entry, service): (&Arc<ServiceEntry>, &Arc<SnapshotService>)| {
            let (old, new) = (&entry.origin.service, &service.service);
            Arc::ptr_eq(old, new) || old.frontends == new.frontends
        };
        self.services.len() == snapshot.services.len()
            && self.services.iter().zip(&snapshot.services).all(same)
    }

    pub fn service(&self, frontend: SocketAddrV4, protocol: Protocol) -> Option<&ServiceEntry> {
        let at = *self.directory.frontends.get(&(frontend, protocol))?;
        self.services.get(at as usize).map(|service| &**service)
    }

    /// Every Service, in the order of the Snapshot.
    pub fn services(&self) -> &[Arc<ServiceEntry>] {
        &self.services
    }

    /// Where packets leave.
    pub fn routes(&self) -> &Arc<Routes> {
        &self.routes
    }

    /// Is this an address of the box, and what else is it?
    pub fn owned(&self, address: Ipv4Addr) -> Option<Owned> {
        self.directory.owned.get(&address).copied()
    }

    /// Every address that the box answers for.
    pub fn owned_addresses(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        self.directory.owned.keys().copied()
    }
}

/// Finds the entries of the tables before: where they were, or by an index that is made when one is not.
struct Previous<'t> {
    services: &'t [Arc<ServiceEntry>],
    by_id: Option<HashMap<ServiceId, &'t Arc<ServiceEntry>>>,
}

impl<'t> Previous<'t> {
    const fn new(services: &'t [Arc<ServiceEntry>]) -> Self {
        Self { services, by_id: None }
    }

    fn find(&mut self, at: usize, id: ServiceId) -> Option<&'t Arc<ServiceEntry>> {
        if let Some(entry) = self.services.get(at).filter(|entry| entry.id == id) {
            return Some(entry);
        }
        let services = self.services;
        let by_id = || services.iter().map(|entry| (entry.id, entry)).collect();
        self.by_id.get_or_insert_with(by_id).get(&id).copied()
    }
}

#[cfg(test)]
mod tests;

//! A Snapshot compiled for the workers: everything that the first packet of a flow asks.
//!
//! Built on the control side, shared read-only by all workers, replaced as a whole.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

use crate::hash::HashKey;
use crate::ids::{BackendId, Generation, ServiceId};
use crate::model::{Backend, Network, Protocol, Refusal};
use crate::scheduler::Selector;
use crate::snapshot::{Snapshot, SnapshotBackend, SnapshotService};

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
    pub no_backend: Refusal,
    /// Picks among `backends`.
    pub selector: Selector,
    pub backends: Vec<BackendEntry>,
}

/// The tables of one Generation.
#[derive(Debug)]
pub struct Tables {
    pub generation: Generation,
    frontends: HashMap<(SocketAddrV4, Protocol), u32, HashKey>,
    services: Vec<ServiceEntry>,
    owned: HashMap<Ipv4Addr, Owned, HashKey>,
}

const fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        // IPv6 has tables of its own; the settings refuse it until they exist.
        IpAddr::V6(_) => None,
    }
}

impl Tables {
    pub fn compile(snapshot: &Snapshot, network: &Network, key: HashKey) -> Self {
        let mut tables = Self {
            generation: snapshot.generation,
            frontends: HashMap::with_hasher(key),
            services: Vec::with_capacity(snapshot.services.len()),
            owned: HashMap::with_hasher(key),
        };
        let on_ports = network.ports.iter().flat_map(|port| &port.addresses);
        for address in on_ports {
            tables.owned.entry(address.addr()).or_default();
        }
        for (at, range) in (0..).zip(&network.snat) {
            tables.owned.entry(range.address).or_default().snat = Some(at);
        }
        for (at, service) in (0..).zip(&snapshot.services) {
            for frontend in &service.service.frontends {
                let Some(address) = v4(frontend.address) else { continue };
                tables.owned.entry(address).or_default();
                let key = (SocketAddrV4::new(address, frontend.port), frontend.protocol);
                tables.frontends.insert(key, at);
            }
        }
        for service in &snapshot.services {
            let service = tables.compile_service(service);
            tables.services.push(service);
        }
        tables
    }

    /// Needs `owned`, complete.
    fn compile_service(&self, service: &SnapshotService) -> ServiceEntry {
        let (mut backends, mut weighed) = (Vec::new(), Vec::new());
        for SnapshotBackend { id, backend, serving } in &service.backends {
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
            id: service.id,
            no_backend: service.service.no_backend,
            selector: Selector::build(service.service.scheduler, weighed),
            backends,
        }
    }

    pub fn service(&self, frontend: SocketAddrV4, protocol: Protocol) -> Option<&ServiceEntry> {
        let at = *self.frontends.get(&(frontend, protocol))?;
        self.services.get(at as usize)
    }

    /// Is this an address of the box, and what else is it?
    pub fn owned(&self, address: Ipv4Addr) -> Option<Owned> {
        self.owned.get(&address).copied()
    }

    /// Every address that the box answers for.
    pub fn owned_addresses(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        self.owned.keys().copied()
    }
}

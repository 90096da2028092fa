//! How a world is made.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use spillway_lb::conntrack::bytes_for;
use spillway_lb::forward::{Forwarder, ForwarderSettings, PortIdentity, Steering};
use spillway_lb::hash::HashKey;
use spillway_lb::ids::{PortId, WorkerId};
use spillway_lb::model::{
    Affinity, Backend, Frontend, Model, Network, PortNetwork, Protocol, Refusal, Route, Scheduler,
    Service, ServiceKind, SnatRange, Timeouts,
};
use spillway_lb::snapshot::Identities;
use spillway_lb::tables::Tables;
use spillway_packet::MacAddr;

use super::{START, World, at, snapshot};

/// The port towards clients, 172.26.50.101/16, gateway 172.26.50.1.
pub(crate) const FRONT: PortId = PortId::new(0);
/// The port towards backends, 10.0.0.1/16.
pub(crate) const BACK: PortId = PortId::new(1);

pub(crate) const HASH_KEY: HashKey = HashKey([0x5eed_0000_1111_2222, 0x3333_4444_5555_6666]);

/// Every address has its own MAC.
pub(crate) fn mac_of(address: Ipv4Addr) -> MacAddr {
    let [a, b, c, d] = address.octets();
    MacAddr([0x02, 0x10, a, b, c, d])
}

/// A service in the making: `service("web").tcp("172.26.50.101:30645").backend("10.0.1.72:80")`.
#[derive(Clone, Debug)]
pub(crate) struct ServiceSetup(Service);

pub(crate) fn service(name: &str) -> ServiceSetup {
    ServiceSetup(Service::new(name, ServiceKind::NodePort))
}

impl ServiceSetup {
    fn frontend(mut self, address: &str, protocol: Protocol) -> Self {
        let (address, port) = (IpAddr::V4(*at(address).ip()), at(address).port());
        self.0.frontends.push(Frontend { address, port, protocol });
        self
    }

    pub(crate) fn tcp(self, address: &str) -> Self {
        self.frontend(address, Protocol::Tcp)
    }

    pub(crate) fn udp(self, address: &str) -> Self {
        self.frontend(address, Protocol::Udp)
    }

    pub(crate) fn backend(self, address: &str) -> Self {
        self.weighted(address, 1)
    }

    pub(crate) fn weighted(mut self, address: &str, weight: u16) -> Self {
        self.0.backends.push(backend(address, weight));
        self
    }

    pub(crate) fn maglev(mut self) -> Self {
        self.0.scheduler = Scheduler::Maglev;
        self
    }

    /// Clients that may open flows.
    pub(crate) fn from(mut self, range: &str) -> Self {
        self.0.source_ranges.push(range.parse().unwrap());
        self
    }

    /// A client keeps its backend.
    pub(crate) fn sticky(mut self) -> Self {
        self.0.affinity = Affinity::ClientIp { timeout: Duration::from_hours(3) };
        self
    }

    /// Refuses in silence.
    pub(crate) fn silent(mut self) -> Self {
        self.0.no_backend = Refusal::Drop;
        self
    }

    pub(crate) fn done(self) -> Service {
        self.0
    }
}

pub(crate) fn backend(address: &str, weight: u16) -> Backend {
    Backend { address: IpAddr::V4(*at(address).ip()), port: at(address).port(), weight }
}

pub(crate) fn route(prefix: &str, via: &str) -> Route {
    Route { prefix: prefix.parse().unwrap(), via: via.parse().unwrap() }
}

/// A world in the making.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    services: Vec<Service>,
    routes: Vec<Route>,
    snat: Vec<SnatRange>,
    workers: u16,
    steering: Steering,
    vlans: [Option<u16>; 2],
    flows_max: u32,
    snat_backends_max: u32,
    seed: u64,
    gateway: Option<&'static str>,
}

impl Setup {
    pub(crate) fn new() -> Self {
        Self {
            services: Vec::new(),
            routes: Vec::new(),
            snat: Vec::new(),
            workers: 1,
            steering: Steering::Software,
            vlans: [None; 2],
            flows_max: 64,
            snat_backends_max: 16,
            seed: 1,
            gateway: Some("172.26.50.1"),
        }
    }

    pub(crate) fn service(mut self, service: ServiceSetup) -> Self {
        self.services.push(service.done());
        self
    }

    pub(crate) fn route(mut self, prefix: &str, via: &str) -> Self {
        self.routes.push(route(prefix, via));
        self
    }

    /// Lends these ports of an address; without any it is 172.26.50.101, 31210 to 60999.
    pub(crate) fn snat(mut self, address: &str, ports: RangeInclusive<u16>) -> Self {
        self.snat.push(SnatRange { address: address.parse().unwrap(), ports });
        self
    }

    pub(crate) fn workers(mut self, workers: u16) -> Self {
        self.workers = workers;
        self
    }

    pub(crate) fn steered_by_nic(mut self) -> Self {
        self.steering = Steering::Nic;
        self
    }

    /// Tags of the front and the back port.
    pub(crate) fn vlans(mut self, front: Option<u16>, back: Option<u16>) -> Self {
        self.vlans = [front, back];
        self
    }

    /// Of each worker.
    pub(crate) fn flows_max(mut self, flows: u32) -> Self {
        self.flows_max = flows;
        self
    }

    pub(crate) fn snat_backends_max(mut self, backends: u32) -> Self {
        self.snat_backends_max = backends;
        self
    }

    pub(crate) fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// What is on no link cannot be reached.
    pub(crate) fn without_gateway(mut self) -> Self {
        self.gateway = None;
        self
    }

    fn network(&self) -> Network {
        let port = |name: &str, at: usize, address: &str, gateway: Option<&str>| PortNetwork {
            name: name.to_owned(),
            vlan: self.vlans[at],
            addresses: vec![address.parse().unwrap()],
            gateway: gateway.map(|gateway| gateway.parse().unwrap()),
            neighbors: Vec::new(),
        };
        let mut snat = self.snat.clone();
        if snat.is_empty() {
            snat.push(SnatRange { address: super::SNAT, ports: 31210..=60999 });
        }
        Network {
            ports: vec![
                port("front", 0, "172.26.50.101/16", self.gateway),
                port("back", 1, "10.0.0.1/16", None),
            ],
            snat,
            probe_ports: 61000..=65535,
        }
    }

    pub(crate) fn world(self) -> World {
        let network = Arc::new(self.network());
        let (mut identities, down) = (Identities::default(), HashSet::new());
        let model = Model {
            services: self.services.iter().cloned().map(Arc::new).collect(),
            routes: self.routes.clone(),
        };
        let snapshot = snapshot(&mut identities, &model, &down);
        let tables = Arc::new(Tables::compile(&snapshot, &network, HASH_KEY));
        let ports = [0, 1].map(|at| PortIdentity {
            mac: MacAddr([2, 0, 0, 0, 0xb0, u8::try_from(at).unwrap()]),
            vlan: self.vlans[at],
        });
        let worker = |worker| {
            let settings = ForwarderSettings {
                worker: WorkerId::new(worker),
                workers: self.workers,
                steering: self.steering,
                ports: ports.to_vec(),
                network: Arc::clone(&network),
                timeouts: Timeouts::default(),
                flows_max: self.flows_max,
                snat_backends_max: self.snat_backends_max,
                hash_key: HASH_KEY,
                seed: self.seed + u64::from(worker),
            };
            let region = region(bytes_for(self.flows_max));
            Forwarder::new(settings, region, Arc::clone(&tables), START).unwrap()
        };
        let workers = (0..self.workers).map(worker).collect();
        World { workers, network, now: START, model, identities, down, lenient: false }
    }
}

/// Zeroed memory that starts at a 64-byte boundary, for the rest of the test.
fn region(bytes: usize) -> &'static mut [u8] {
    let memory = vec![0; bytes + 64].leak();
    let start = memory.as_ptr().align_offset(64);
    &mut memory[start..start + bytes]
}

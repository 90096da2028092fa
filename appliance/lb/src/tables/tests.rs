use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::conntrack::{Ends, FlowKey};
use crate::model::{
    Affinity, Frontend, Model, PortNetwork, Route, Scheduler, Service, ServiceKind, SnatRange,
};
use crate::scheduler::Rng;
use crate::snapshot::{Identities, Standing};

const KEY: HashKey = HashKey([1, 2]);

fn network() -> Network {
    let front = PortNetwork {
        name: "front".into(),
        vlan: None,
        addresses: vec!["172.26.50.101/16".parse().unwrap()],
        gateway: None,
        neighbors: Vec::new(),
    };
    let snat = SnatRange { address: Ipv4Addr::new(172, 26, 50, 102), ports: 1024..=60_000 };
    Network { ports: vec![front], snat: vec![snat], probe_ports: 61_000..=65_535 }
}

/// What can be asked of tables, answered.
fn answers(tables: &Tables) -> impl PartialEq + std::fmt::Debug + use<> {
    let frontends: BTreeMap<_, _> =
        tables.directory.frontends.iter().map(|(k, v)| (*k, *v)).collect();
    let owned: BTreeMap<_, _> = tables.directory.owned.iter().map(|(k, v)| (*k, v.snat)).collect();
    let services: Vec<_> = tables
        .services
        .iter()
        .map(|it| {
            let compiled = (it.sources.clone(), it.selector.clone(), it.backends.clone());
            (it.id, it.place, it.no_backend, compiled)
        })
        .collect();
    (tables.generation, frontends, owned, services, tables.routes.learned().to_vec())
}

#[derive(Clone, Debug)]
enum Change {
    AddService(u8),
    RemoveService(usize),
    SwapServices(usize, usize),
    Frontend(usize, u8),
    Backends(usize, Vec<(u8, u16)>),
    Affinity(usize, bool),
    Range(usize, u8),
    Down(u8),
    Routes(u8),
}

fn change() -> impl Strategy<Value = Change> {
    let service = || 0usize..4;
    prop_oneof![
        (0u8..6).prop_map(Change::AddService),
        service().prop_map(Change::RemoveService),
        (service(), service()).prop_map(|(a, b)| Change::SwapServices(a, b)),
        (service(), 0u8..6).prop_map(|(at, host)| Change::Frontend(at, host)),
        (service(), vec((0u8..6, 0u16..3), 0..4)).prop_map(|(at, to)| Change::Backends(at, to)),
        (service(), any::<bool>()).prop_map(|(at, on)| Change::Affinity(at, on)),
        (service(), 0u8..3).prop_map(|(at, range)| Change::Range(at, range)),
        (0u8..6).prop_map(Change::Down),
        (0u8..3).prop_map(Change::Routes),
    ]
}

/// Frontends and backends live at the same few addresses, so that they get in each other's way.
fn address(host: u8) -> IpAddr {
    [172, 26, 60, host].into()
}

impl Change {
    fn apply(self, model: &mut Model, down: &mut Vec<u8>) {
        let services = &mut model.services;
        match self {
            Self::AddService(number) => {
                let name = format!("service-{number}");
                if services.iter().all(|service| service.name != name) {
                    let at = usize::from(number) % (services.len() + 1);
                    services.insert(at, Service::new(name, ServiceKind::NodePort).into());
                }
            }
            Self::RemoveService(at) => {
                if at < services.len() {
                    services.remove(at);
                }
            }
            Self::SwapServices(a, b) => {
                if a.max(b) < services.len() {
                    services.swap(a, b);
                }
            }
            Self::Frontend(at, host) => edit(services, at, |service| {
                let (address, protocol) = (address(host), Protocol::Tcp);
                service.frontends = vec![Frontend { address, port: 80, protocol }];
            }),
            Self::Backends(at, backends) => edit(services, at, |service| {
                let backends = backends.iter();
                service.backends = backends
                    .map(|(host, weight)| Backend {
                        address: address(*host),
                        port: 80,
                        weight: *weight,
                    })
                    .collect();
            }),
            Self::Affinity(at, on) => edit(services, at, |service| {
                let timeout = std::time::Duration::from_mins(1);
                service.affinity = if on { Affinity::ClientIp { timeout } } else { Affinity::None };
                service.scheduler = if on { Scheduler::Random } else { Scheduler::Maglev };
            }),
            Self::Range(at, range) => edit(services, at, |service| {
                service.source_ranges = vec![format!("10.{range}.0.0/16").parse().unwrap()];
            }),
            Self::Down(host) => match down.iter().position(|it| *it == host) {
                Some(at) => drop(down.remove(at)),
                None => down.push(host),
            },
            Self::Routes(count) => {
                let route = |n| Route {
                    prefix: format!("10.244.{n}.0/24").parse().unwrap(),
                    via: Ipv4Addr::new(172, 26, 50, n),
                };
                model.routes = (1..=count).map(route).collect();
            }
        }
    }
}

fn edit(services: &mut [Arc<Service>], at: usize, change: impl FnOnce(&mut Service)) {
    services.get_mut(at).map(Arc::make_mut).map(change);
}

fn take(identities: &mut Identities, model: &Model, down: &[u8]) -> Snapshot {
    identities.snapshot(model, |service| {
        let serves = |backend: &Backend| !down.iter().any(|host| address(*host) == backend.address);
        let standing = |backend| Standing { serving: serves(backend), weight: None };
        service.backends.iter().map(standing).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn tables_after_others_are_what_they_would_be_from_nothing(changes in vec(change(), 1..40)) {
        let (network, mut identities) = (network(), Identities::default());
        let (mut model, mut down) = (Model::default(), Vec::new());
        let mut tables = Tables::compile(&take(&mut identities, &model, &down), &network, KEY);
        for change in changes {
            change.apply(&mut model, &mut down);
            let snapshot = take(&mut identities, &model, &down);
            tables = Tables::compile_after(&tables, &snapshot, &network, KEY);
            prop_assert_eq!(answers(&tables), answers(&Tables::compile(&snapshot, &network, KEY)));
        }
    }
}

fn service(number: u8, backends: impl IntoIterator<Item = u8>) -> Arc<Service> {
    let frontend = Frontend { address: address(number), port: 80, protocol: Protocol::Tcp };
    let backend = |host| Backend { address: address(host), port: 80, weight: 1 };
    Arc::new(Service {
        frontends: vec![frontend],
        backends: backends.into_iter().map(backend).collect(),
        ..Service::new(format!("service-{number}"), ServiceKind::NodePort)
    })
}

/// Which entries, and whether directory and routes, are the same objects.
fn shared(a: &Tables, b: &Tables) -> (Vec<bool>, bool, bool) {
    let services = b.services.iter().map(|it| a.services.iter().any(|was| Arc::ptr_eq(was, it)));
    let directory = Arc::ptr_eq(&a.directory, &b.directory);
    (services.collect(), directory, Arc::ptr_eq(&a.routes, &b.routes))
}

#[test]
fn one_change_compiles_one_service() {
    let (network, mut identities) = (network(), Identities::default());
    let mut model = Model {
        services: vec![service(1, [101]), service(2, [102, 103]), service(3, [104])],
        routes: Vec::new(),
    };
    let first = Tables::compile(&take(&mut identities, &model, &[]), &network, KEY);
    let mut after = |before: &Tables, model: &Model| {
        Tables::compile_after(before, &take(&mut identities, model, &[]), &network, KEY)
    };
    edit(&mut model.services, 1, |service| service.backends[0].weight = 7);
    let weighed = after(&first, &model);
    assert_eq!(shared(&first, &weighed), (vec![true, false, true], true, true));
    model.services.insert(0, service(9, [109]));
    let added = after(&weighed, &model);
    assert_eq!(shared(&weighed, &added), (vec![false, true, true, true], false, true));
    // A frontend at a backend's address: that one is chained to no longer.
    edit(&mut model.services, 0, |service| service.frontends[0].address = address(104));
    let chained = after(&added, &model);
    assert_eq!(shared(&added, &chained), (vec![false, true, true, false], false, true));
    assert_eq!(pick(&chained.services[3]), None);
    edit(&mut model.services, 0, |service| service.frontends[0].address = address(9));
    assert_eq!(pick(&after(&chained, &model).services[3]), Some(0));
}

fn pick(service: &ServiceEntry) -> Option<u16> {
    let end = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 1024);
    let flow = FlowKey::new(Protocol::Tcp, Ends { source: end, destination: end });
    service.selector.pick(flow, &mut Rng::new(1))
}

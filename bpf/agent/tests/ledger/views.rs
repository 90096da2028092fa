//! Desired states, and what should come of them: written apart from the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use spillway_cluster::addresses::Family;
use spillway_cluster::node::{NodeBackend, NodeFrontend, NodeService, NodeView, Place, Pool};
use spillway_lb::model::{Affinity, Protocol, Scheduler, ServiceKind};
use spillway_node::layout::{FrontendKey, SCOPE_EXTERNAL, SCOPE_INTERNAL};
use spillway_node::ledger::NodePlaces;

pub(crate) const HOUR: Duration = Duration::from_hours(1);

/// A Service of three pools: all, those of this node, none.
pub(crate) fn service(name: &str, family: Family, backends: Vec<NodeBackend>) -> NodeService {
    let at = |is_in: &dyn Fn(&NodeBackend) -> bool| -> Arc<[u16]> {
        let all = (0..).zip(&backends).filter(|(_, it)| is_in(it)).map(|(at, _)| at);
        all.collect()
    };
    let serving = at(&|it| !it.is_terminating);
    let is_terminating = serving.is_empty();
    let all = if is_terminating { at(&|_| true) } else { serving };
    let local = at(&|it| !it.is_terminating && it.is_local);
    NodeService {
        name: name.to_owned(),
        family,
        protocol: Protocol::Tcp,
        scheduler: Scheduler::Random,
        affinity: Affinity::None,
        source_ranges: Vec::new(),
        pools: vec![
            Pool { members: all, is_terminating, is_local: false },
            Pool { members: local, is_terminating: false, is_local: true },
            Pool::default(),
        ],
        backends,
        frontends: Vec::new(),
    }
}

pub(crate) fn backend(address: &str, port: u16) -> NodeBackend {
    NodeBackend {
        address: address.parse().unwrap(),
        port,
        weight: 1,
        is_local: false,
        is_terminating: false,
    }
}

pub(crate) fn frontend(kind: ServiceKind, place: Place, port: u16) -> NodeFrontend {
    NodeFrontend { kind, place, port, internal: 0, external: None, is_guarded: false }
}

pub(crate) fn cluster_ip(address: &str, port: u16) -> NodeFrontend {
    frontend(ServiceKind::ClusterIp, Place::Address(address.parse().unwrap()), port)
}

pub(crate) fn node_port(port: u16) -> NodeFrontend {
    NodeFrontend { external: Some(0), ..frontend(ServiceKind::NodePort, Place::Node, port) }
}

pub(crate) fn view(services: impl IntoIterator<Item = Arc<NodeService>>) -> NodeView {
    let mut services: Vec<_> = services.into_iter().collect();
    services.sort_by(|a, b| (&a.name, a.family).cmp(&(&b.name, b.family)));
    NodeView { services, is_eligible: true, ..NodeView::default() }
}

pub(crate) fn places() -> NodePlaces {
    NodePlaces {
        addresses: ["192.0.2.1", "2001:db8::1"].map(|it| it.parse().unwrap()).to_vec(),
        host_only: ["127.0.0.1", "::1"].map(|it| it.parse().unwrap()).to_vec(),
    }
}

/// What every frontend should lead to: the Service's name and its backends.
pub(crate) type Expected = BTreeMap<FrontendKey, (String, BTreeSet<SocketAddr>)>;

pub(crate) fn expected(view: &NodeView, places: &NodePlaces) -> Expected {
    let mut expected = Expected::new();
    for service in &view.services {
        for frontend in &service.frontends {
            let hosts: Vec<(IpAddr, bool)> = match frontend.place {
                Place::Address(address) => vec![(address, false)],
                Place::Node => places
                    .addresses
                    .iter()
                    .map(|it| (*it, false))
                    .chain(places.host_only.iter().map(|it| (*it, true)))
                    .filter(|(it, _)| Family::of(*it) == service.family)
                    .collect(),
            };
            for (address, is_host_only) in hosts {
                let external = frontend.external.filter(|_| !is_host_only);
                let key = |scope| FrontendKey {
                    address: address.into(),
                    port: frontend.port.into(),
                    protocol: service.protocol.number(),
                    scope,
                };
                if expected.contains_key(&key(SCOPE_INTERNAL)) {
                    continue;
                }
                let pools = [(SCOPE_INTERNAL, Some(frontend.internal)), (SCOPE_EXTERNAL, external)];
                for (scope, pool) in pools {
                    let Some(pool) = pool else { continue };
                    let members = service.pools[usize::from(pool)].members.iter();
                    let backends = members.map(|at| service.backends[usize::from(*at)]);
                    let taking = backends.filter(|it| it.weight > 0);
                    let sockets = taking.map(|it| SocketAddr::new(it.address, it.port)).collect();
                    expected.insert(key(scope), (service.name.clone(), sockets));
                }
            }
        }
    }
    expected
}

prop_compose! {
    fn any_backend(is_v4: bool)(
        host in 1u8..9, port in 80u16..82, weight in prop_oneof![Just(1u16), 0u16..4, Just(1021)],
        is_local: bool, is_terminating in prop::bool::weighted(0.2),
    ) -> NodeBackend {
        let address = if is_v4 { format!("10.0.0.{host}") } else { format!("fd00::{host}") };
        NodeBackend { weight, is_local, is_terminating, ..backend(&address, port) }
    }
}

prop_compose! {
    fn any_frontend(is_v4: bool)(
        is_node: bool, host in 1u8..6, port in 80u16..83, internal in 0u8..3,
        external in prop::option::of(0u8..3), is_guarded: bool,
    ) -> NodeFrontend {
        let address = if is_v4 { format!("10.96.0.{host}") } else { format!("fd01::{host}") };
        let base = if is_node { node_port(30000 + port) } else { cluster_ip(&address, port) };
        NodeFrontend { internal, external, is_guarded, ..base }
    }
}

prop_compose! {
    fn of_family(is_v4: bool)(
        name in 0u8..5,
        mut backends in vec(any_backend(is_v4), 0..7),
        mut frontends in vec(any_frontend(is_v4), 0..4),
        is_udp: bool, is_maglev in prop::bool::weighted(0.1), is_sticky in prop::bool::weighted(0.1),
        sources in vec((1u8..4, 0u8..=32), 0..3),
    ) -> Arc<NodeService> {
        backends.sort_unstable();
        backends.dedup_by_key(|it| (it.address, it.port));
        frontends.sort_by_key(|it| (it.place, it.port));
        frontends.dedup_by_key(|it| (it.place, it.port));
        let family = if is_v4 { Family::V4 } else { Family::V6 };
        let source = |(net, bits): (u8, u8)| -> ipnet::IpNet {
            format!("172.{net}.0.0/{bits}").parse().unwrap()
        };
        Arc::new(NodeService {
            protocol: if is_udp { Protocol::Udp } else { Protocol::Tcp },
            scheduler: if is_maglev { Scheduler::Maglev } else { Scheduler::Random },
            affinity: if is_sticky { Affinity::ClientIp { timeout: HOUR } } else { Affinity::None },
            source_ranges: sources.into_iter().map(source).collect(),
            frontends,
            ..service(&format!("default/s{name}"), family, backends)
        })
    }
}

pub(crate) fn any_service() -> impl Strategy<Value = Arc<NodeService>> {
    any::<bool>().prop_flat_map(of_family)
}

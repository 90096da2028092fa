//! One case each, by name.

use std::sync::Arc;
use std::time::Duration;

use spillway_cluster::addresses::Family;
use spillway_cluster::node::{NodeBackend, NodeFrontend, NodeService, Place};
use spillway_lb::model::{Affinity, Protocol, Scheduler};
use spillway_node::layout::{
    BACKEND_FREE, BACKEND_LOCAL, BACKEND_TERMINATING, FRONTEND_ELSEWHERE, FRONTEND_GUARDED,
    FRONTEND_HOST_ONLY, FRONTEND_LOCAL, FRONTEND_MAGLEV, FRONTEND_TERMINATING, Frontend,
    FrontendKey, SCOPE_EXTERNAL, SCOPE_INTERNAL,
};
use spillway_node::ledger::{Capacity, Ledger, Plan, REST, Step};

use crate::views::{HOUR, backend, cluster_ip, node_port, places, service, view};
use crate::world::World;

const ROOMY: Capacity =
    Capacity { frontends: 100, choices: 10_000, backends: 100, source_ranges: 10 };

struct Node {
    world: World,
    ledger: Ledger,
    now: Duration,
}

impl Node {
    fn new(capacity: Capacity) -> Self {
        let now = Duration::from_secs(1);
        Self { world: World::new(capacity), ledger: Ledger::new(capacity), now }
    }

    fn serve(&mut self, services: &[&Arc<NodeService>]) -> Plan {
        let view = view(services.iter().copied().cloned());
        let plan = self.ledger.plan(&view, &places(), self.now);
        self.world.carry_out(&plan, self.now);
        self.ledger.applied(self.now);
        self.world.assert_no_leak(&self.ledger);
        plan
    }

    fn restart(&mut self) {
        let (ledger, repairs) = self.world.adopt();
        assert_eq!(repairs, []);
        self.ledger = ledger;
    }

    fn row(&self, address: &str, port: u16, scope: u8) -> Option<Frontend> {
        self.world.frontends.get(&key(address, port, scope)).copied()
    }

    fn sockets(&self, address: &str, port: u16) -> Vec<String> {
        let seen = self.world.see(&key(address, port, SCOPE_INTERNAL));
        seen.map_or_else(Vec::new, |(_, them)| them.iter().map(ToString::to_string).collect())
    }
}

fn key(address: &str, port: u16, scope: u8) -> FrontendKey {
    let address = address.parse::<std::net::IpAddr>().unwrap().into();
    FrontendKey { address, port: port.into(), protocol: 6, scope }
}

fn backends(hosts: &[u8]) -> Vec<NodeBackend> {
    hosts.iter().map(|host| backend(&format!("10.0.0.{host}"), 8080)).collect()
}

fn web(name: &str, hosts: &[u8], frontends: &[NodeFrontend]) -> Arc<NodeService> {
    let base = service(name, Family::V4, backends(hosts));
    Arc::new(NodeService { frontends: frontends.to_vec(), ..base })
}

#[test]
fn the_first_fill_writes_backends_then_choices_then_source_ranges_then_frontends() {
    let mut node = Node::new(ROOMY);
    let guarded = NodeFrontend { is_guarded: true, ..node_port(30080) };
    let base = web("a", &[1, 2], &[guarded]);
    let sources = vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
    let plan = node.serve(&[&Arc::new(NodeService { source_ranges: sources, ..(*base).clone() })]);
    let kinds: Vec<&str> = plan.steps.iter().map(Step::kind).collect();
    let [backend, pool, source, put] =
        ["backends written", "pools written", "source ranges put", "frontends put"];
    assert_eq!(kinds, [backend, backend, backend, pool, source, put, put, put]);
    assert_eq!(node.row("192.0.2.1", 30080, SCOPE_EXTERNAL).unwrap().flags, FRONTEND_GUARDED);
    assert_eq!(node.world.sources.first().unwrap().bits, 32 + 96 + 24);
    let loopback = node.row("127.0.0.1", 30080, SCOPE_INTERNAL).unwrap();
    assert_eq!(loopback.flags, FRONTEND_GUARDED | FRONTEND_HOST_ONLY);
    assert_eq!(node.row("127.0.0.1", 30080, SCOPE_EXTERNAL), None);
}

#[test]
fn one_endpoint_more_touches_one_service_only() {
    let mut node = Node::new(ROOMY);
    let (a, b) = (
        web("a", &[1], &[cluster_ip("10.96.0.1", 80)]),
        web("b", &[1], &[cluster_ip("10.96.0.2", 80)]),
    );
    node.serve(&[&a, &b]);
    let plan = node.serve(&[&a, &web("b", &[1, 2], &[cluster_ip("10.96.0.2", 80)])]);
    let kinds: Vec<&str> = plan.steps.iter().map(Step::kind).collect();
    assert_eq!(
        (plan.touched, kinds),
        (1, vec!["backends written", "pools written", "frontends put"])
    );
    assert_eq!(node.sockets("10.96.0.2", 80), ["10.0.0.1:8080", "10.0.0.2:8080"]);
}

#[test]
fn a_pool_that_did_not_change_stays_where_it_is() {
    let mut node = Node::new(ROOMY);
    let a = web("a", &[1, 2], &[cluster_ip("10.96.0.1", 80)]);
    node.serve(&[&a]);
    let wider = web("a", &[1, 2], &[cluster_ip("10.96.0.1", 80), cluster_ip("10.96.0.1", 81)]);
    let plan = node.serve(&[&wider]);
    assert!(plan.steps.iter().all(|step| step.kind() != "pools written"), "{:?}", plan.steps);
    assert_eq!(node.world.ranges().len(), 1);
}

#[test]
fn of_two_that_want_one_frontend_the_first_has_it_and_the_second_gets_it_later() {
    let mut node = Node::new(ROOMY);
    let b = web("b", &[2], &[cluster_ip("10.96.0.1", 80), cluster_ip("10.96.0.2", 80)]);
    node.serve(&[&b]);
    assert_eq!(node.sockets("10.96.0.1", 80), ["10.0.0.2:8080"]);
    // b did not change, and loses it all the same.
    let a = web("a", &[1], &[cluster_ip("10.96.0.1", 80)]);
    let plan = node.serve(&[&a, &b]);
    assert_eq!(node.sockets("10.96.0.1", 80), ["10.0.0.1:8080"]);
    assert_eq!(node.sockets("10.96.0.2", 80), ["10.0.0.2:8080"]);
    let [failed] = &plan.failed[..] else { panic!("{:?}", plan.failed) };
    assert_eq!(failed.service, "b");
    assert_eq!(
        failed.reason,
        "service b: 10.96.0.1:80/TCP is served for a, which comes first; give one of them another address or port"
    );
    assert_eq!(node.serve(&[&b]).failed, []);
    assert_eq!(node.sockets("10.96.0.1", 80), ["10.0.0.2:8080"]);
}

#[test]
fn a_service_that_comes_under_another_name_leaves_no_gap() {
    let mut node = Node::new(ROOMY);
    node.serve(&[&web("old", &[1], &[cluster_ip("10.96.0.1", 80)])]);
    let plan = node.serve(&[&web("new", &[2], &[cluster_ip("10.96.0.1", 80)])]);
    // carry_out has seen it after every step; here, that it was one write.
    assert!(plan.steps.iter().all(|step| step.kind() != "frontends deleted"));
    assert_eq!(node.sockets("10.96.0.1", 80), ["10.0.0.2:8080"]);
}

#[test]
fn what_does_not_fit_keeps_what_it_had_and_comes_when_there_is_room() {
    let mut node = Node::new(Capacity { choices: 5, ..ROOMY });
    let a = web("a", &[1, 2], &[cluster_ip("10.96.0.1", 80)]);
    let b = web("b", &[3], &[cluster_ip("10.96.0.2", 80)]);
    node.serve(&[&a, &b]);
    let grown =
        web("a", &[1, 2, 4, 5], &[cluster_ip("10.96.0.1", 80), cluster_ip("10.96.0.1", 81)]);
    let c = web("c", &[6], &[cluster_ip("10.96.0.3", 80)]);
    let plan = node.serve(&[&grown, &b, &c]);
    let [failed] = &plan.failed[..] else { panic!("{:?}", plan.failed) };
    assert_eq!(
        failed.reason,
        "service a: map choices has no room for 4 more (3 of 5 in use; raise maps.choices): it keeps what it had"
    );
    assert_eq!(plan.retry_at, None, "nothing rests that could help");
    assert_eq!(node.sockets("10.96.0.1", 80), ["10.0.0.1:8080", "10.0.0.2:8080"]);
    assert_eq!(node.row("10.96.0.1", 81, SCOPE_INTERNAL), None);
    assert_eq!(node.sockets("10.96.0.3", 80), ["10.0.0.6:8080"], "the others go on");
    // b and c go: their places rest for a second, then a fits.
    let plan = node.serve(&[&grown]);
    assert_eq!((plan.failed.len(), plan.retry_at), (1, Some(node.now)), "rows of frontends went");
    assert_eq!(node.serve(&[&grown]).retry_at, Some(node.now + REST));
    node.now += REST;
    // Places 0 and 1 are a's: four in one piece there are not, though three are free.
    assert_eq!(node.serve(&[&grown]).failed.len(), 1);
    node.serve(&[]);
    node.now += REST;
    assert_eq!(node.serve(&[&grown]).failed, []);
    assert_eq!(node.sockets("10.96.0.1", 81).len(), 4);
}

#[test]
fn full_maps_of_frontends_backends_and_source_ranges_say_so() {
    let said = |capacity: Capacity| {
        let mut node = Node::new(capacity);
        let sources = vec!["192.0.2.0/24".parse().unwrap(), "198.51.100.0/24".parse().unwrap()];
        let base = web("a", &[1, 2], &[cluster_ip("10.96.0.1", 80), cluster_ip("10.96.0.1", 81)]);
        let plan =
            node.serve(&[&Arc::new(NodeService { source_ranges: sources, ..(*base).clone() })]);
        assert_eq!(node.world.frontends.is_empty(), !plan.failed.is_empty());
        plan.failed.into_iter().map(|failed| failed.reason).collect::<Vec<_>>()
    };
    let text = |map: &str, used: &str| {
        vec![format!(
            "service a: map {map} has no room for 2 more ({used} in use; raise maps.{map}): it keeps what it had"
        )]
    };
    assert_eq!(said(Capacity { frontends: 1, ..ROOMY }), text("frontends", "0 of 1"));
    // Row 0 is nobody's.
    assert_eq!(said(Capacity { backends: 2, ..ROOMY }), text("backends", "1 of 2"));
    assert_eq!(said(Capacity { source_ranges: 1, ..ROOMY }), text("source_ranges", "0 of 1"));
    assert_eq!(said(ROOMY), Vec::<String>::new());
}

#[test]
fn numbers_and_rows_live_through_a_restart_and_are_never_given_twice() {
    let mut node = Node::new(ROOMY);
    let a = web("a", &[1, 2], &[cluster_ip("10.96.0.1", 80), node_port(30080)]);
    let b = web("b", &[3], &[cluster_ip("10.96.0.2", 80)]);
    node.serve(&[&a, &b]);
    let (frontends, backends) = (node.world.frontends.clone(), node.world.backends.clone());
    node.restart();
    let plan = node.serve(&[&a, &b]);
    assert_eq!((plan.steps, plan.touched), (vec![], 2));
    assert_eq!((&node.world.frontends, &node.world.backends), (&frontends, &backends));
    // The last one goes, and its agent dies: its numbers are known all the same.
    let gone = node.row("10.96.0.2", 80, SCOPE_INTERNAL).unwrap();
    node.serve(&[&a]);
    node.restart();
    node.serve(&[&a, &web("c", &[4], &[cluster_ip("10.96.0.3", 80)])]);
    let fresh = node.row("10.96.0.3", 80, SCOPE_INTERNAL).unwrap();
    assert!(fresh.id > gone.id && fresh.service > gone.service, "{fresh:?} {gone:?}");
}

#[test]
fn flags_say_why_a_pool_is_as_it_is() {
    let mut node = Node::new(ROOMY);
    let mut them = backends(&[1, 2]);
    them[0].is_terminating = true;
    them[1].is_terminating = true;
    them[1].is_local = true;
    let local = |at: &str| NodeFrontend { external: Some(1), internal: 0, ..cluster_ip(at, 80) };
    let mut going = service("going", Family::V4, them);
    going.frontends = vec![local("10.96.0.1")];
    let mut sticky = service("sticky", Family::V4, backends(&[3]));
    sticky.frontends = vec![local("10.96.0.2")];
    sticky.affinity = Affinity::ClientIp { timeout: HOUR };
    let mut none = service("none", Family::V4, Vec::new());
    none.frontends = vec![local("10.96.0.3")];
    none.scheduler = Scheduler::Maglev;
    node.serve(&[&Arc::new(going), &Arc::new(sticky), &Arc::new(none)]);
    let row = |at, scope| node.row(at, 80, scope).unwrap();
    let (internal, external) = (SCOPE_INTERNAL, SCOPE_EXTERNAL);
    assert_eq!(
        (row("10.96.0.1", internal).flags, row("10.96.0.1", internal).count),
        (FRONTEND_TERMINATING, 2)
    );
    assert_eq!(
        (row("10.96.0.1", external).flags, row("10.96.0.1", external).count),
        (FRONTEND_LOCAL | FRONTEND_ELSEWHERE, 0)
    );
    let sticky = row("10.96.0.2", internal);
    assert_eq!((sticky.flags, sticky.count, sticky.affinity_s), (FRONTEND_MAGLEV, 251, 3600));
    // Nobody anywhere: the client is refused, not left in silence.
    assert_eq!(
        (row("10.96.0.3", external).flags, row("10.96.0.3", external).count),
        (FRONTEND_LOCAL | FRONTEND_MAGLEV, 0)
    );
    let rows: Vec<_> = node.world.backends.iter().filter(|it| it.state != BACKEND_FREE).collect();
    assert_eq!((rows[0].state, rows[0].flags), (BACKEND_TERMINATING, 0));
    assert_eq!((rows[1].state, rows[1].flags), (BACKEND_TERMINATING, BACKEND_LOCAL));
}

#[test]
fn a_backend_is_gone_for_the_service_that_lost_it_though_another_has_it() {
    let dns = |name: &str, hosts: &[u8], at: &str| {
        let base = web(name, hosts, &[cluster_ip(at, 53)]);
        Arc::new(NodeService { protocol: Protocol::Udp, ..(*base).clone() })
    };
    let gone = |plan: Plan| -> Vec<(Protocol, String, u32)> {
        plan.gone.iter().map(|it| (it.protocol, it.address.to_string(), it.service)).collect()
    };
    let mut node = Node::new(ROOMY);
    let tcp = web("tcp", &[1], &[cluster_ip("10.96.0.1", 53)]);
    let (a, b) = (dns("a", &[1, 2], "10.96.0.1"), dns("b", &[1], "10.96.0.2"));
    node.serve(&[&tcp, &a, &b]);
    let lost = gone(node.serve(&[&tcp, &dns("a", &[2], "10.96.0.1"), &b]));
    let [(Protocol::Udp, address, service_a)] = &lost[..] else { panic!("{lost:?}") };
    assert_eq!(address, "10.0.0.1:8080");
    let lost = gone(node.serve(&[&tcp]));
    let [(Protocol::Udp, of_b, service_b), (Protocol::Udp, of_a, again)] = &lost[..] else {
        panic!("{lost:?}")
    };
    assert_eq!((of_b.as_str(), of_a.as_str()), ("10.0.0.1:8080", "10.0.0.2:8080"));
    assert!(again == service_a && service_b != service_a, "{lost:?}");
    let lost = gone(node.serve(&[]));
    assert!(matches!(&lost[..], [(Protocol::Tcp, _, _)]), "{lost:?}");
}

#[test]
fn node_ports_follow_the_nodes_addresses() {
    let mut node = Node::new(ROOMY);
    let services = view([web("a", &[1], &[node_port(30080), cluster_ip("10.96.0.1", 80)])]);
    let mut places = places();
    let plan = node.ledger.plan(&services, &places, node.now);
    node.world.carry_out(&plan, node.now);
    places.addresses = vec!["192.0.2.2".parse().unwrap()];
    let plan = node.ledger.plan(&services, &places, node.now);
    node.world.carry_out(&plan, node.now);
    assert_eq!(node.row("192.0.2.1", 30080, SCOPE_EXTERNAL), None);
    assert!(node.row("192.0.2.2", 30080, SCOPE_EXTERNAL).is_some());
    assert_eq!(plan.steps.iter().filter(|step| step.kind() == "frontends put").count(), 2);
}

#[test]
fn an_address_that_is_named_goes_before_the_nodes_own() {
    let mut node = Node::new(ROOMY);
    let named =
        NodeFrontend { place: Place::Address("192.0.2.1".parse().unwrap()), ..node_port(30080) };
    node.serve(&[&web("a", &[1], &[NodeFrontend { internal: 2, ..named }, node_port(30080)])]);
    assert_eq!(node.row("192.0.2.1", 30080, SCOPE_INTERNAL).unwrap().count, 0);
    assert_eq!(node.row("127.0.0.1", 30080, SCOPE_INTERNAL).unwrap().count, 1);
}

#[test]
fn a_name_that_is_there_twice_counts_once() {
    let mut node = Node::new(ROOMY);
    let first = web("a", &[1], &[cluster_ip("10.96.0.1", 80)]);
    let plan = node.serve(&[&first, &web("a", &[2], &[cluster_ip("10.96.0.2", 80)])]);
    assert_eq!(plan.failed[0].reason, "service a: it is there twice; the first counts");
    assert_eq!(node.row("10.96.0.2", 80, SCOPE_INTERNAL), None);
}

#[test]
fn a_backend_that_leaves_is_freed_after_the_frontends_and_after_a_pause() {
    let mut node = Node::new(ROOMY);
    node.serve(&[&web("a", &[1, 2], &[cluster_ip("10.96.0.1", 80)])]);
    let plan = node.serve(&[&web("a", &[1], &[cluster_ip("10.96.0.1", 80)])]);
    let kinds: Vec<&str> = plan.steps.iter().map(Step::kind).collect();
    assert_eq!(kinds, ["pools written", "frontends put", "settled", "backends freed"]);
}

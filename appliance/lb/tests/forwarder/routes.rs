//! Backends and clients behind neighbours: routes that come with a Generation.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use spillway_lb::model::Route;
use spillway_lb::verdict::{DropReason, Egress};

use crate::world::*;

const FRONTEND: &str = "172.26.50.101:30645";
const POD: &str = "10.244.7.9:8080";
const CLIENT: &str = "198.51.100.7:40000";

fn pods() -> Setup {
    Setup::new().service(service("pods").tcp(FRONTEND).backend(POD))
}

fn egress(outcome: &Outcome<'_>) -> (u16, String) {
    let (Fate::Sent(Egress { port, next_hop }, _) | Fate::Refused(_, Egress { port, next_hop }, _)) =
        &outcome.handled.fate
    else {
        panic!("nothing left: {outcome:?}")
    };
    (port.get(), next_hop.to_string())
}

/// A frame that its port's neighbour hands us, whatever its source address.
fn from_behind(world: &World, frame: spillway_packet::build::Builder) -> Vec<u8> {
    let identity = world.workers[0].settings().ports[BACK.index()];
    frame.macs(mac_of("10.0.1.1".parse().unwrap()), identity.mac).finish()
}

#[test]
fn a_pod_is_reached_by_its_node_and_answers_by_it() {
    let mut world = pods().route("10.244.7.0/24", "10.0.1.1").world();
    let outcome = world.ingress(syn(CLIENT, FRONTEND));
    assert_eq!(egress(&outcome), (1, "10.0.1.1".into()));
    let (snat, backend) = outcome.sent_from_to();
    assert_eq!(backend, at(POD));
    outcome.expect_counters(&[("received", 1), ("transmitted", 1), ("flows_created", 1)]);
    let answer = from_behind(&world, tcp(backend, snat, SYN_ACK));
    let answer = world.ingress_raw(BACK, answer);
    assert_eq!(egress(&answer), (0, "172.26.50.1".into()));
    answer.expect_egress(tcp(FRONTEND, CLIENT, SYN_ACK));
}

#[test]
fn an_established_flow_follows_a_route_that_changes_and_comes_back() {
    let mut world = pods().route("10.244.7.0/24", "10.0.1.1").world();
    let (snat, backend) = world.ingress(syn(CLIENT, FRONTEND)).sent_from_to();
    let next_hop = |world: &mut World, routes: &[Route]| {
        world.change(|model| model.routes = routes.to_vec());
        let outcome = world.ingress(tcp(CLIENT, FRONTEND, ACK));
        assert_eq!(outcome.sent_from_to(), (snat, backend));
        egress(&outcome)
    };
    let moved = route("10.244.7.0/24", "10.0.1.2");
    assert_eq!(next_hop(&mut world, &[moved]), (1, "10.0.1.2".into()));
    let pinned = route("10.244.7.9/32", "172.26.50.9");
    assert_eq!(next_hop(&mut world, &[moved, pinned]), (0, "172.26.50.9".into()));
    assert_eq!(next_hop(&mut world, &[]), (0, "172.26.50.1".into()), "by the gateway");
    assert_eq!(next_hop(&mut world, &[moved]), (1, "10.0.1.2".into()));
}

#[test]
fn without_a_usable_route_or_gateway_nothing_leaves() {
    let unusable = pods().without_gateway().route("10.244.7.0/24", "192.0.2.1");
    let mut world = unusable.route("10.244.7.0/24", "10.0.0.1").world();
    world.ingress(syn(CLIENT, FRONTEND)).expect_drop(DropReason::NoRoute);
    world.change(|model| model.routes.push(route("10.244.7.0/24", "10.0.1.1")));
    assert_eq!(egress(&world.ingress(syn(CLIENT, FRONTEND))), (1, "10.0.1.1".into()));
}

#[test]
fn a_route_does_not_take_a_neighbour_away() {
    let direct = Setup::new().service(service("web").tcp(FRONTEND).backend("10.0.1.72:80"));
    let mut world = direct.route("10.0.1.0/24", "172.26.50.9").world();
    assert_eq!(egress(&world.ingress(syn(CLIENT, FRONTEND))), (1, "10.0.1.72".into()));
}

#[test]
fn a_refusal_to_a_client_in_a_pod_goes_by_its_node() {
    let none = Setup::new().service(service("none").tcp(FRONTEND));
    let mut world = none.route("10.244.7.0/24", "10.0.1.1").world();
    let outcome = world.ingress(syn("10.244.7.30:50000", FRONTEND));
    assert_eq!(egress(&outcome), (1, "10.0.1.1".into()));
    outcome.expect_refusal(DropReason::NoBackend);
}

#[test]
fn five_thousand_nodes_each_have_their_pods() {
    let mut world = pods().flows_max(256).world();
    let prefix = |n: u32| Ipv4Net::new(Ipv4Addr::from_bits(0x2d00_0000 + n * 256), 24).unwrap();
    let via = |n: u32| Ipv4Addr::from_bits(0x0a00_0100 + n);
    world.change(|model| {
        model.routes = (0..5_000).map(|n| Route { prefix: prefix(n), via: via(n) }).collect();
        first_service(model).backends.clear();
    });
    for n in (0..5_000).step_by(119) {
        let client = std::net::SocketAddrV4::new(prefix(n).network(), 40_000);
        let outcome = world.ingress(syn(client, FRONTEND));
        assert_eq!(egress(&outcome), (1, via(n).to_string()));
    }
}

//! When something runs out: the new flow is refused aloud, the old ones go on.

use std::time::Duration;

use spillway_lb::verdict::DropReason;

use crate::world::*;

const FRONTEND: &str = "172.26.50.101:30645";
const BACKEND: &str = "10.0.1.72:80";
const SECOND: Duration = Duration::from_secs(1);

fn web() -> ServiceSetup {
    service("web").tcp(FRONTEND).udp(FRONTEND).backend(BACKEND)
}

fn client(n: u32) -> std::net::SocketAddrV4 {
    at(&format!("198.51.100.{}:{}", 1 + n / 10_000, 1024 + n % 10_000))
}

fn refused(reason: DropReason) -> [(&'static str, u64); 4] {
    [("received", 1), (reason.name(), 1), ("generated", 1), ("transmitted", 1)]
}

#[test]
fn when_every_port_is_lent_the_next_client_is_refused_until_one_comes_back() {
    let mut world = Setup::new().service(web()).snat("172.26.50.101", 32_000..=32_009).world();
    let flows: Vec<Flow> = (0..10).map(|n| world.establish(client(n), FRONTEND)).collect();
    let mut ports: Vec<u16> = flows.iter().map(|flow| flow.snat.port()).collect();
    ports.sort_unstable();
    assert_eq!(ports, (32_000..=32_009).collect::<Vec<u16>>(), "the whole range was lent");
    world
        .ingress(syn(client(10), FRONTEND))
        .expect_refusal(DropReason::SnatPortsExhausted)
        .expect_counters(&refused(DropReason::SnatPortsExhausted));
    for flow in &flows {
        world.client_says(*flow, ACK).backend_says(*flow, ACK);
    }
    // UDP has ports of its own.
    let question = world.ask(client(10), FRONTEND);
    assert_eq!(question.backend, at(BACKEND));

    world.client_says(flows[4], RST).after(61 * SECOND);
    let late = world.establish(client(10), FRONTEND);
    assert_eq!(late.snat, flows[4].snat, "the port that came back");
    world.ingress(syn(client(11), FRONTEND)).expect_refusal(DropReason::SnatPortsExhausted);
    assert_eq!(world.workers[0].service_counts()[0].refused, 2);
}

#[test]
fn the_whole_range_is_lent_towards_each_backend() {
    let two = web().backend("10.0.1.73:80");
    let mut world = Setup::new().service(two).snat("172.26.50.101", 32_000..=32_003).world();
    let (mut opened, mut refused) = (Vec::new(), 0);
    for n in 0..60 {
        match world.ingress(syn(client(n), FRONTEND)).handled.fate {
            Fate::Sent(_, frame) => opened.push(from_to(tuple_of(&frame))),
            Fate::Refused(DropReason::SnatPortsExhausted, ..) => refused += 1,
            other @ (Fate::Refused(..) | Fate::Dropped(_) | Fate::Local) => panic!("{other:?}"),
        }
    }
    assert_eq!((opened.len(), refused), (8, 52));
    let towards = |backend: &str| opened.iter().filter(|(_, to)| *to == at(backend)).count();
    assert_eq!((towards(BACKEND), towards("10.0.1.73:80")), (4, 4));
}

#[test]
fn a_second_snat_address_takes_over_when_the_first_has_no_port_left() {
    let mut world = Setup::new()
        .service(web())
        .snat("172.26.50.101", 32_000..=32_003)
        .snat("10.0.0.2", 32_000..=32_005)
        .world();
    let flows: Vec<Flow> = (0..10).map(|n| world.establish(client(n), FRONTEND)).collect();
    let lent =
        |address: &str| flows.iter().filter(|flow| flow.snat.ip().to_string() == address).count();
    assert_eq!((lent("172.26.50.101"), lent("10.0.0.2")), (4, 6));
    world.ingress(syn(client(10), FRONTEND)).expect_refusal(DropReason::SnatPortsExhausted);
    for flow in &flows {
        world.backend_says(*flow, ACK);
    }
    // All of them come back to their own addresses.
    for flow in flows {
        world.client_says(flow, RST);
    }
    world.after(61 * SECOND);
    assert_eq!(world.lent(), 0);
    for n in 20..30 {
        world.establish(client(n), FRONTEND);
    }
}

#[test]
fn a_client_spreads_over_the_snat_addresses() {
    let mut world = Setup::new()
        .service(web())
        .snat("172.26.50.101", 32_000..=33_000)
        .snat("10.0.0.2", 32_000..=33_000)
        .snat("10.0.0.3", 32_000..=33_000)
        .flows_max(512)
        .world();
    let mut counts = std::collections::HashMap::new();
    for n in 0..300 {
        *counts.entry(*world.open(client(n), FRONTEND).snat.ip()).or_insert(0) += 1;
    }
    // Three times a hundred, five standard deviations of 8 around.
    assert_eq!(counts.len(), 3);
    assert!(counts.values().all(|count| (60..=140).contains(count)), "{counts:?}");
}

#[test]
fn more_backends_than_may_have_flows_at_once_are_refused_until_one_is_idle() {
    let mut world = Setup::new().service(web()).snat_backends_max(1).world();
    let flow = world.establish(client(0), FRONTEND);
    world
        .ingress(udp(client(1), FRONTEND))
        .expect_refusal(DropReason::SnatBackendsFull)
        .expect_counters(&refused(DropReason::SnatBackendsFull));
    world.establish(client(1), FRONTEND);
    world.client_says(flow, ACK);
    // Both go, and the place is another backend's.
    for (_, record) in world.flows() {
        world.ingress(tcp(record.original().source, record.original().destination, RST)).sent();
    }
    world.after(61 * SECOND);
    world.ask(client(2), FRONTEND);
    world.ingress(syn(client(3), FRONTEND)).expect_refusal(DropReason::SnatBackendsFull);
}

#[test]
fn a_full_flow_table_refuses_the_new_and_keeps_the_old() {
    let mut world = Setup::new().service(web()).flows_max(20).world();
    let flows: Vec<Flow> = (0..20).map(|n| world.establish(client(n), FRONTEND)).collect();
    for n in 20..40 {
        world
            .ingress(syn(client(n), FRONTEND))
            .expect_refusal(DropReason::ConntrackFull)
            .expect_counters(&refused(DropReason::ConntrackFull));
        world.ingress(udp(client(n), FRONTEND)).expect_refusal(DropReason::ConntrackFull);
    }
    assert_eq!(world.lent(), 20, "a refused flow keeps no port");
    for flow in &flows {
        world.client_says(*flow, ACK).backend_says(*flow, ACK);
    }
    // Place again, as soon as one is over: for its own client at once, for others after its rest.
    world.client_says(flows[7], RST);
    let again = world.open(flows[7].client, FRONTEND);
    world.backend_says(again, RST_ACK);
    world.after(61 * SECOND);
    world.establish(client(50), FRONTEND);
    world.ingress(syn(client(51), FRONTEND)).expect_refusal(DropReason::ConntrackFull);
}

#[test]
fn exhaustion_of_a_silent_service_is_silent() {
    let silent = web().silent();
    let mut world = Setup::new().service(silent).snat("172.26.50.101", 32_000..=32_000).world();
    world.establish(client(0), FRONTEND);
    world
        .ingress(syn(client(1), FRONTEND))
        .expect_drop(DropReason::SnatPortsExhausted)
        .expect_counters(&[("received", 1), ("snat-ports-exhausted", 1)]);
}

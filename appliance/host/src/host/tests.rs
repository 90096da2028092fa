//! The host stack in a simulated LAN.

#[path = "lan.rs"]
mod lan;

use std::time::Duration;

use proptest::prelude::*;
use spillway_control::health::State;
use spillway_lb::model::{CheckKind, Clockwork, HealthCheck, StaticNeighbor};
use spillway_packet::build;
use spillway_packet::ethernet;
use spillway_packet::tcp::TcpFlags;

use super::*;
use crate::arp::tests::network;
use lan::{Lan, Node, Ports, Service};

const FRONT: PortId = PortId::new(0);
const BACK: PortId = PortId::new(1);
const MACS: [MacAddr; 2] = [MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2])];
const SPOOF: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x66]);

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn host_of(network: Network) -> Host {
    let settings = HostSettings { network, port_macs: MACS.to_vec(), seed: 42 };
    Host::new(Moment::ZERO, settings).unwrap()
}

fn tcp_check() -> HealthCheck {
    clocked(Clockwork::default())
}

/// By TCP, and down after the first failure.
fn clocked(clockwork: Clockwork) -> HealthCheck {
    HealthCheck { kind: CheckKind::Tcp, port: None, clockwork: Clockwork { fall: 1, ..clockwork } }
}

fn http_check() -> HealthCheck {
    let kind = CheckKind::Http { path: "/healthz".to_owned(), host: None, expect: 200..=399 };
    HealthCheck { kind, ..tcp_check() }
}

fn check(backend: &str, health: &HealthCheck) -> Arc<Check> {
    Arc::new(Check::of(health, backend.parse().unwrap()))
}

/// A LAN whose one node at 10.0.1.10 serves port 80, checked as given.
fn lan_with(service: Service, health: &HealthCheck) -> Lan {
    let node = Node::new(1, 10, "10.0.1.10", "10.0.1.10").serve(80, service);
    let mut host = host_of(network());
    host.set_checks(Moment::ZERO, [check("10.0.1.10:80", health)]);
    Lan::new(host, vec![node])
}

/// The state after the first result.
fn first_result(lan: &mut Lan) -> State {
    let end = lan.now.plus(Duration::from_secs(20));
    lan.run_until(end, |host| host.health_rows()[0].last_check.is_some());
    lan.host.health_rows()[0].state
}

#[test]
fn a_listening_backend_is_up_and_is_left_politely() {
    let mut lan = lan_with(Service::Quiet, &tcp_check());
    assert_eq!(first_result(&mut lan), State::Up);
    assert!(lan.now < Moment::from_millis(5), "{}", lan.now);
    lan.run_for(Duration::from_secs(1));
    let flags = &lan.nodes[0].flags_seen;
    assert!(flags[0].opens() && flags.iter().any(|flags| flags.fin()), "{flags:?}");
    assert!(!flags.iter().any(|flags| flags.rst()), "no noise in the backend's log: {flags:?}");
    assert_eq!(lan.host.prober.open_count(), 0, "nothing lingers");
    assert!(lan.host.health_rows()[0].last_latency.unwrap() >= Duration::from_micros(200));
}

#[test]
fn checks_leave_from_the_snat_address_and_the_probe_ports_round_robin() {
    let mut lan = lan_with(Service::Quiet, &tcp_check());
    lan.run_for(Duration::from_secs(20));
    let syns = lan.tcp_left().into_iter().filter(|(_, _, flags)| flags.opens());
    let from: Vec<_> = syns.map(|(from, _, _)| from).collect();
    assert!(from.len() >= 9, "{from:?}");
    let first = from[0].port();
    assert!(first >= 61_000, "{from:?}");
    for (n, from) in (0..).zip(&from) {
        assert_eq!(*from, SocketAddrV4::new(ip("10.0.1.2"), first + n));
    }
}

#[test]
fn a_closed_port_is_refused_at_once() {
    let mut lan = lan_with(Service::Quiet, &HealthCheck { port: Some(81), ..tcp_check() });
    assert_eq!(first_result(&mut lan), State::Down(ProbeError::Refused));
    assert!(lan.now < Moment::from_millis(5), "{}", lan.now);
    assert_eq!(lan.host.turns()[0].state.to_string(), "down: connection refused");
}

#[test]
fn silence_is_a_timeout_exactly_when_it_is_over() {
    let mut lan = lan_with(Service::Quiet, &tcp_check());
    lan.nodes[0].answers_ip = false;
    assert_eq!(first_result(&mut lan), State::Down(ProbeError::Timeout));
    assert_eq!(lan.now, Moment::from_millis(1_000));
}

#[test]
fn a_backend_without_arp_is_unreachable_and_no_timeout() {
    let mut lan = lan_with(Service::Quiet, &tcp_check());
    lan.nodes[0].answers_arp = false;
    assert_eq!(first_result(&mut lan), State::Down(ProbeError::Unreachable));
    assert!(lan.now <= Moment::from_millis(1_000));
    assert_eq!(lan.nodes[0].flags_seen, []);
    lan.run_for(Duration::from_secs(30));
    assert_eq!(lan.host.health_rows()[0].state, State::Down(ProbeError::Unreachable));
    // And it is found when it comes.
    lan.nodes[0].answers_arp = true;
    lan.run_for(Duration::from_secs(15));
    assert_eq!(lan.host.health_rows()[0].state, State::Up);
}

#[test]
fn a_long_check_of_an_absent_backend_ends_when_arp_has_failed() {
    let check = clocked(Clockwork {
        interval: Duration::from_mins(1),
        timeout: Duration::from_secs(30),
        ..Clockwork::default()
    });
    let mut lan = lan_with(Service::Quiet, &check);
    lan.nodes[0].answers_arp = false;
    assert_eq!(first_result(&mut lan), State::Down(ProbeError::Unreachable));
    assert!(lan.now < Moment::from_millis(8_000), "{}", lan.now);
}

#[test]
fn an_address_beyond_every_link_has_no_route_without_a_gateway() {
    let mut network = network();
    network.ports[0].gateway = None;
    let mut host = host_of(network);
    host.set_checks(Moment::ZERO, [check("203.0.113.5:80", &tcp_check())]);
    let mut lan = Lan::new(host, Vec::new());
    assert_eq!(first_result(&mut lan), State::Down(ProbeError::NoRoute));
    assert_eq!(lan.now, Moment::ZERO);
}

#[test]
fn a_backend_behind_the_gateway_is_checked_through_it() {
    let router = Node::new(0, 254, "192.0.2.254", "203.0.113.5").serve(80, Service::Quiet);
    let mut host = host_of(network());
    host.set_checks(Moment::ZERO, [check("203.0.113.5:80", &tcp_check())]);
    let mut lan = Lan::new(host, vec![router]);
    assert_eq!(first_result(&mut lan), State::Up);
}

#[test]
fn http_is_asked_in_full_and_a_good_status_is_up() {
    let answer = "HTTP/1.1 204 No Content\r\nServer: test\r\n\r\n";
    let mut lan = lan_with(Service::Answers(answer), &http_check());
    assert_eq!(first_result(&mut lan), State::Up);
    lan.run_for(Duration::from_millis(100));
    assert!(lan.nodes[0].requests[0].starts_with("GET /healthz HTTP/1.1\r\nHost: 10.0.1.10\r\n"));
    assert!(!lan.nodes[0].flags_seen.iter().any(|flags| flags.rst()));
    assert_eq!(lan.host.prober.open_count(), 0);
}

#[test]
fn every_bad_http_answer_has_its_word() {
    for (service, word) in [
        (Service::Answers("HTTP/1.1 503 Service Unavailable\r\n\r\n"), "HTTP 503"),
        (Service::Answers("HTTP/1.0 404\r\n\r\n"), "HTTP 404"),
        (Service::Answers("SSH-2.0-OpenSSH_9.2\r\n"), "bad HTTP answer"),
        (Service::Answers("HTTP/1.1 200"), "bad HTTP answer"),
        (Service::ClosesAtOnce, "bad HTTP answer"),
        (Service::Resets, "connection reset"),
        (Service::Quiet, "timeout"),
    ] {
        let mut lan = lan_with(service, &http_check());
        let state = first_result(&mut lan).to_string();
        assert_eq!(state, format!("down: {word}"), "{service:?}");
    }
}

#[test]
fn a_node_says_how_many_endpoints_it_has_or_that_it_has_none() {
    // What kube-proxy's Go server says at a healthCheckNodePort.
    let some = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                X-Content-Type-Options: nosniff\r\nX-Load-Balancing-Endpoint-Weight: 2\r\n\
                Date: Sat, 21 Nov 2026 10:00:00 GMT\r\nContent-Length: 16\r\n\
                Connection: close\r\n\r\n{\"localEndpoints";
    let none = "HTTP/1.1 503 Service Unavailable\r\n\
                X-Load-Balancing-Endpoint-Weight: 0\r\n\r\n{}";
    let clockwork = Clockwork::default();
    let health = HealthCheck { kind: CheckKind::NodeEndpoints, port: None, clockwork };
    let mut lan = lan_with(Service::Answers(some), &health);
    assert_eq!(first_result(&mut lan), State::Up);
    assert_eq!(lan.host.turns()[0].weight, Some(2));
    assert!(lan.nodes[0].requests[0].starts_with("GET / HTTP/1.1\r\n"));
    lan.nodes[0].set_service(Some(Service::Answers(none)));
    lan.run_for(Duration::from_millis(2_300));
    assert_eq!(lan.host.turns()[0].state, State::Down(ProbeError::NoEndpoints), "at once");
    assert!(!lan.nodes[0].flags_seen.iter().any(|flags| flags.rst()), "left politely");
    lan.nodes[0].set_service(Some(Service::Answers(some)));
    lan.run_for(Duration::from_millis(2_300));
    assert_eq!(lan.host.turns()[0].state, State::Up, "and back at once");
}

#[test]
fn a_killed_backend_is_out_in_the_promised_time_and_returns_after_rise_checks() {
    let clockwork = Clockwork::default();
    let mut lan = lan_with(Service::Quiet, &HealthCheck { clockwork, ..tcp_check() });
    lan.run_for(Duration::from_secs(9));
    assert_eq!(lan.host.turns().len(), 1, "up");
    let killed = lan.now;
    lan.nodes[0].set_service(None);
    let end = lan.now.plus(Duration::from_mins(1));
    let is_down = |host: &Host| !host.health_rows()[0].state.is_serving();
    lan.run_until(end, is_down);
    let took = lan.now.since(killed);
    assert!(took <= Duration::from_millis(2_200 * 3 + 1_000), "{took:?}");
    assert_eq!(lan.host.turns()[0].state, State::Down(ProbeError::Refused));

    let node = Node::new(1, 10, "10.0.1.10", "10.0.1.10").serve(80, Service::Quiet);
    lan.nodes[0] = node;
    let back = lan.now;
    lan.run_until(end, |host| host.health_rows()[0].state.is_serving());
    let took = lan.now.since(back);
    assert!(took <= Duration::from_millis(2_200 * 2 + 1_000), "{took:?}");
    assert!(took >= Duration::from_millis(1_800), "one good check is not enough: {took:?}");
}

#[test]
fn a_thousand_checks_run_side_by_side() {
    let node = Node::new(1, 10, "10.0.1.10", "10.0.1.10").serve(80, Service::Quiet);
    let mut host = host_of(network());
    // One backend under many pretexts: 100 closed ports and the open one.
    host.set_checks(
        Moment::ZERO,
        (80..180).map(|port| check(&format!("10.0.1.10:{port}"), &tcp_check())),
    );
    let mut lan = Lan::new(host, vec![node]);
    lan.run_for(Duration::from_secs(10));
    let rows = lan.host.health_rows();
    assert_eq!(rows.iter().filter(|row| row.state == State::Up).count(), 1);
    let refused = State::Down(ProbeError::Refused);
    assert_eq!(rows.iter().filter(|row| row.state == refused).count(), 99);
    let counters = lan.host.counters();
    assert!(counters.probes.started >= 400, "{counters:?}");
    assert_eq!((counters.probes.no_port, counters.probes_lost), (0, 0));
}

#[test]
fn icmp_ends_a_check_only_when_it_quotes_our_very_syn() {
    let timeout = Duration::from_millis(1_900);
    let check = clocked(Clockwork { timeout, ..Clockwork::default() });
    let mut lan = lan_with(Service::Quiet, &check);
    lan.nodes[0].answers_ip = false;
    lan.run_for(Duration::from_millis(500));
    let syn = lan.left.iter().find(|left| lan::is_tcp(&left.frame)).unwrap();
    let l3 = syn.frame[14..].to_vec();
    let mut guessed = l3.clone();
    guessed[24] ^= 1;
    let icmp = |quoted: &[u8]| {
        let message = crate::icmp::tests::message(1, quoted);
        let header = spillway_packet::ipv4::Ipv4Repr::own(
            ip("10.0.1.10"),
            ip("10.0.1.2"),
            1,
            u16::try_from(message.len()).unwrap(),
        );
        lan.nodes[0].frame(&[&header.emit()[..], &message].concat())
    };
    let (guessed, true_one) = (icmp(&guessed), icmp(&l3));
    lan.host.receive(lan.now, BACK, &guessed);
    lan.run_for(Duration::from_millis(1));
    assert_eq!(lan.host.health_rows()[0].state, State::Unknown);
    lan.host.receive(lan.now, BACK, &true_one);
    lan.run_for(Duration::from_millis(1));
    assert_eq!(lan.host.health_rows()[0].state, State::Down(ProbeError::Unreachable));
}

/// An ARP frame to the box.
fn arp_frame(op: ArpOp, sender: (MacAddr, &str), target: (MacAddr, &str)) -> Vec<u8> {
    let arp = Arp {
        op,
        sender_mac: sender.0,
        sender_ip: ip(sender.1),
        target_mac: target.0,
        target_ip: ip(target.1),
    };
    let mut frame = [0; arp::FRAME_LEN_MAX];
    let len = arp.emit(&mut frame, MacAddr::BROADCAST, None).unwrap();
    frame[..len].to_vec()
}

#[test]
fn a_gateway_s_mac_survives_every_kind_of_spoofing() {
    let router = Node::new(0, 254, "192.0.2.254", "192.0.2.254");
    let mac = router.mac;
    let mut lan = Lan::new(host_of(network()), vec![router]);
    let neighbors = lan.host.neighbors();
    lan.run_for(Duration::from_secs(5));
    assert_eq!(neighbors.lookup(FRONT, ip("192.0.2.254")), Some(mac), "asked for at the start");
    let spoofs = [
        arp_frame(ArpOp::Reply, (SPOOF, "192.0.2.254"), (MACS[0], "192.0.2.1")),
        arp_frame(ArpOp::Reply, (SPOOF, "192.0.2.254"), (MacAddr::BROADCAST, "192.0.2.254")),
        arp_frame(ArpOp::Request, (SPOOF, "192.0.2.254"), (MacAddr::ZERO, "192.0.2.254")),
        arp_frame(ArpOp::Request, (SPOOF, "192.0.2.254"), (MacAddr::ZERO, "192.0.2.1")),
    ];
    lan.nodes[0].questions.clear();
    // 10 kpps for 100 s, over a refresh.
    for round in 0..250_000 {
        for spoof in &spoofs {
            lan.host.receive(lan.now, FRONT, spoof);
        }
        lan.run_for(Duration::from_micros(400));
        assert_eq!(neighbors.lookup(FRONT, ip("192.0.2.254")), Some(mac), "in round {round}");
    }
    let questions = &lan.nodes[0].questions;
    assert!(questions.len() <= 101, "{}", questions.len());
    assert!(questions.iter().all(|dst| *dst == mac), "its owner is asked, nobody else");
}

#[test]
fn owned_addresses_are_answered_on_their_port_and_others_never() {
    let mut host = host_of(network());
    host.set_owned(Moment::ZERO, [ip("192.0.2.80"), ip("203.0.113.80")]);
    let mut lan = Lan::new(host, Vec::new());
    let client = MacAddr([2, 0, 0, 0, 9, 9]);
    let mut ask = |port: PortId, target: &str| {
        lan.left.clear();
        let frame = arp_frame(ArpOp::Request, (client, "192.0.2.77"), (MacAddr::ZERO, target));
        lan.host.receive(lan.now, port, &frame);
        lan.run_for(Duration::from_millis(1));
        let left = lan.arp_left();
        let answer = left.iter().find(|(_, _, _, arp)| arp.op == ArpOp::Reply)?;
        let (_, out, dst, arp) = answer;
        assert_eq!((*out, *dst, arp.target_mac, arp.sender_ip), (port, client, client, ip(target)));
        Some(arp.sender_mac)
    };
    assert_eq!(ask(FRONT, "192.0.2.1"), Some(MACS[0]), "a port's address");
    assert_eq!(ask(FRONT, "192.0.2.80"), Some(MACS[0]), "a frontend");
    assert_eq!(ask(BACK, "10.0.1.2"), Some(MACS[1]), "a SNAT address");
    assert_eq!(ask(FRONT, "203.0.113.80"), Some(MACS[0]), "a routed frontend");
    assert_eq!(ask(BACK, "203.0.113.80"), Some(MACS[1]), "on either port");
    assert_eq!(ask(FRONT, "10.0.1.2"), None, "of the other link");
    assert_eq!(ask(FRONT, "192.0.2.254"), None, "the gateway's");
    assert_eq!(ask(FRONT, "192.0.2.81"), None, "nobody's");
}

#[test]
fn a_client_that_asks_for_us_is_asked_itself_before_it_is_believed() {
    let client = Node::new(0, 77, "192.0.2.77", "192.0.2.77");
    let mac = client.mac;
    let mut lan = Lan::new(host_of(network()), vec![client]);
    let neighbors = lan.host.neighbors();
    // Somebody speaks in its name.
    let question = arp_frame(ArpOp::Request, (SPOOF, "192.0.2.77"), (MacAddr::ZERO, "192.0.2.1"));
    lan.host.receive(lan.now, FRONT, &question);
    assert_eq!(neighbors.lookup(FRONT, ip("192.0.2.77")), None);
    lan.run_for(Duration::from_millis(10));
    assert_eq!(neighbors.lookup(FRONT, ip("192.0.2.77")), Some(mac));
    // One of another link, or that asks for somebody else, is not worth a question.
    for (sender, target) in [("10.9.9.9", "192.0.2.1"), ("192.0.2.78", "192.0.2.99")] {
        let question = arp_frame(ArpOp::Request, (SPOOF, sender), (MacAddr::ZERO, target));
        lan.host.receive(lan.now, FRONT, &question);
    }
    let known: Vec<_> = lan.host.neighbor_rows().iter().map(|row| row.address).collect();
    assert_eq!(known, [ip("192.0.2.77"), ip("192.0.2.254")]);
}

#[test]
fn a_duplicate_of_our_address_is_noticed_and_answered() {
    let mut lan = Lan::new(host_of(network()), Vec::new());
    lan.run_for(Duration::from_secs(10));
    lan.left.clear();
    for _ in 0..100 {
        let claim = arp_frame(ArpOp::Reply, (SPOOF, "192.0.2.1"), (MACS[0], "192.0.2.1"));
        lan.host.receive(lan.now, FRONT, &claim);
        // Our own announcement, come back by a loop, is none.
        let echo = arp_frame(ArpOp::Request, (MACS[0], "192.0.2.1"), (MacAddr::ZERO, "192.0.2.1"));
        lan.host.receive(lan.now, FRONT, &echo);
    }
    lan.run_for(Duration::from_millis(1));
    assert_eq!(lan.host.counters().conflicts, 100);
    let left = lan.arp_left();
    let ours = left.iter().filter(|(_, _, _, arp)| arp.target_ip == ip("192.0.2.1")).count();
    assert_eq!(ours, 1, "one announcement, not a hundred");
    assert_eq!(lan.host.neighbors().lookup(FRONT, ip("192.0.2.1")), None);
}

#[test]
fn frames_keep_the_vlan_tag_of_their_port() {
    let mut network = network();
    network.ports[1].vlan = Some(7);
    let mut node = Node::new(1, 10, "10.0.1.10", "10.0.1.10").serve(80, Service::Quiet);
    node.vlan = Some(7);
    let mut host = host_of(network);
    host.set_checks(Moment::ZERO, [check("10.0.1.10:80", &tcp_check())]);
    let mut lan = Lan::new(host, vec![node]);
    assert_eq!(first_result(&mut lan), State::Up);
    for left in &lan.left {
        let vlan = ethernet::parse(&left.frame).unwrap().vlan;
        assert_eq!(vlan, (left.port == BACK).then_some(7));
    }
}

#[test]
fn a_frame_of_a_worker_leaves_with_the_neighbor_s_mac_and_the_port_s() {
    let client = Node::new(0, 77, "192.0.2.77", "192.0.2.77");
    let mac = client.mac;
    let mut lan = Lan::new(host_of(network()), vec![client]);
    lan.nodes[0].answers_ip = false;
    let packet = build::tcp("192.0.2.80:80".parse().unwrap(), "192.0.2.77:4000".parse().unwrap());
    let packet = packet.macs(SPOOF, SPOOF).payload(b"hello").finish();
    let sent = lan.host.resolve_and_send(lan.now, FRONT, ip("192.0.2.77"), &packet);
    assert_eq!(sent, Sent::Waiting);
    lan.run_for(Duration::from_millis(10));
    let expected = build::tcp("192.0.2.80:80".parse().unwrap(), "192.0.2.77:4000".parse().unwrap());
    let expected = expected.macs(MACS[0], mac).payload(b"hello").finish();
    let frames: Vec<_> = lan.left.iter().filter(|left| lan::is_tcp(&left.frame)).collect();
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].frame, expected);
    assert_eq!(lan.nodes[0].flags_seen.len(), 1, "and it arrived");
}

#[test]
fn backends_and_gateways_are_asked_for_before_anybody_needs_them() {
    let node = Node::new(1, 10, "10.0.1.10", "10.0.1.10");
    let mut host = host_of(network());
    host.set_backends(Moment::ZERO, [ip("10.0.1.10"), ip("203.0.113.5"), ip("10.0.1.1")]);
    let mut lan = Lan::new(host, vec![node]);
    lan.run_for(Duration::from_millis(10));
    let rows = lan.host.neighbor_rows();
    let known: Vec<_> = rows.iter().map(|row| (row.port, row.address, row.configured)).collect();
    let expected = [(FRONT, ip("192.0.2.254"), true), (BACK, ip("10.0.1.10"), true)];
    assert_eq!(known, expected, "the far one by its gateway, our own address never");
    assert_eq!(rows[1].state, NeighborState::Reachable);
}

fn route(prefix: &str, via: &str) -> Route {
    Route { prefix: prefix.parse().unwrap(), via: ip(via) }
}

#[test]
fn a_pod_is_checked_by_its_node() {
    let node = Node::new(1, 10, "10.0.1.10", "10.244.7.9").serve(80, Service::Quiet);
    let mut host = host_of(network());
    host.set_routes(Moment::ZERO, vec![route("10.244.7.0/24", "10.0.1.10")]);
    host.set_checks(Moment::ZERO, [check("10.244.7.9:80", &tcp_check())]);
    let mut lan = Lan::new(host, vec![node]);
    assert_eq!(first_result(&mut lan), State::Up);
    // From the SNAT address of the node's link, not of the gateway's.
    assert!(lan.tcp_left().iter().all(|(from, ..)| *from.ip() == ip("10.0.1.2")));
    let mut checks = lan.left.iter().filter(|left| lan::is_tcp(&left.frame));
    assert!(checks.all(|left| left.port == BACK));
}

#[test]
fn the_neighbours_that_are_kept_follow_the_routes() {
    let mut host = host_of(network());
    host.set_backends(Moment::ZERO, [ip("10.244.7.9")]);
    let kept = |host: &Host| -> Vec<_> {
        let rows = host.neighbor_rows().into_iter().filter(|row| row.configured);
        rows.map(|row| (row.port, row.address)).collect()
    };
    let gateway = (FRONT, ip("192.0.2.254"));
    assert_eq!(kept(&host), [gateway]);
    host.set_routes(Moment::ZERO, vec![route("10.244.7.0/24", "10.0.1.10")]);
    assert_eq!(kept(&host), [gateway, (BACK, ip("10.0.1.10"))]);
    host.set_routes(Moment::ZERO, vec![route("10.244.7.0/24", "10.0.1.11")]);
    assert_eq!(kept(&host), [gateway, (BACK, ip("10.0.1.11"))]);
    host.set_routes(Moment::ZERO, Vec::new());
    assert_eq!(kept(&host), [gateway]);
}

#[test]
fn a_pinned_neighbor_is_used_and_never_asked_for() {
    let mut network = network();
    let mac = [2, 0, 0, 0, 1, 10];
    network.ports[1].neighbors = vec![StaticNeighbor { address: ip("10.0.1.10"), mac }];
    let mut node = Node::new(1, 10, "10.0.1.10", "10.0.1.10").serve(80, Service::Quiet);
    node.answers_arp = false;
    let mut host = host_of(network);
    host.set_checks(Moment::ZERO, [check("10.0.1.10:80", &tcp_check())]);
    host.set_backends(Moment::ZERO, [ip("10.0.1.10")]);
    let mut lan = Lan::new(host, vec![node]);
    assert_eq!(first_result(&mut lan), State::Up);
    assert_eq!(lan.nodes[0].questions, []);
}

#[test]
fn announcements_leave_on_their_ports() {
    let mut lan = Lan::new(host_of(network()), Vec::new());
    lan.run_for(Duration::from_secs(150));
    let left = lan.arp_left();
    let announced = |port: PortId, address: &str| {
        let ours = left.iter().filter(|(_, out, dst, arp)| {
            let own = arp.sender_ip == arp.target_ip && arp.sender_ip == ip(address);
            own && *out == port
                && *dst == MacAddr::BROADCAST
                && arp.sender_mac == MACS[port.index()]
        });
        ours.count()
    };
    // Three in the burst, and one for each minute after it.
    assert_eq!(announced(FRONT, "192.0.2.1"), 5);
    assert_eq!(announced(BACK, "10.0.1.2"), 5);
    assert_eq!(announced(FRONT, "10.0.1.2"), 0);
}

#[test]
fn a_port_that_takes_nothing_is_counted_and_stops_nothing() {
    struct Full;
    impl Transmit for Full {
        fn transmit(&mut self, _: PortId, _: &[u8]) -> bool {
            false
        }
    }
    let mut host = host_of(network());
    host.poll(Moment::ZERO, &mut Full);
    let counters = host.counters();
    assert!(counters.transmit_failed > 0);
    assert_eq!(counters.transmitted, 0);
}

#[test]
fn the_outbox_is_bounded() {
    let mut host = host_of(network());
    let question = arp_frame(ArpOp::Request, (SPOOF, "192.0.2.77"), (MacAddr::ZERO, "192.0.2.1"));
    for _ in 0..OUTBOX_MAX + 10 {
        host.receive(Moment::ZERO, FRONT, &question);
    }
    assert!(host.counters().transmit_failed >= 10);
    let mut ports = Ports::default();
    host.poll(Moment::ZERO, &mut ports);
    assert!(ports.0.len() <= OUTBOX_MAX);
}

#[test]
fn macs_must_fit_the_ports() {
    let settings = |port_macs| HostSettings { network: network(), port_macs, seed: 1 };
    let error = Host::new(Moment::ZERO, settings(vec![MACS[0]])).unwrap_err();
    assert_eq!(error, HostError::PortMacs { macs: 1, ports: 2 });
    let error = Host::new(Moment::ZERO, settings(vec![MACS[0], MacAddr::BROADCAST])).unwrap_err();
    assert!(error.to_string().contains("back"), "{error}");
}

#[test]
fn a_hostile_backend_harms_nothing_but_its_own_check() {
    let clockwork = Clockwork {
        interval: Duration::from_millis(20),
        timeout: Duration::from_millis(15),
        ..tcp_check().clockwork
    };
    let hostile = HealthCheck { clockwork, ..http_check() };
    let mut lan = lan_with(Service::Quiet, &hostile);
    lan.nodes[0].answers_ip = false;
    let good = Node::new(1, 11, "10.0.1.11", "10.0.1.11").serve(80, Service::Quiet);
    lan.nodes.push(good);
    let both = [check("10.0.1.10:80", &hostile), check("10.0.1.11:80", &tcp_check())];
    lan.host.set_checks(Moment::ZERO, both);
    let mut state = 1_u64;
    let mut draw = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % below
    };
    let mut accepted = 0;
    for _ in 0..20_000 {
        lan.run_for(Duration::from_micros(500));
        // Something like an answer to the newest packet of ours to that backend.
        let Some((from, to, seq)) = lan.newest_segment_to(ip("10.0.1.10")) else { continue };
        let (near, far) = (u32::try_from(draw(3)).unwrap(), u32::try_from(draw(1 << 31)).unwrap());
        let ack = if draw(8) == 0 { far } else { seq.wrapping_add(near) };
        let flags = match draw(4) {
            0 => TcpFlags::from_bits(u8::try_from(draw(256)).unwrap()),
            1 => TcpFlags::ACK | TcpFlags::PSH,
            _ => TcpFlags::SYN | TcpFlags::ACK,
        };
        let packet =
            build::tcp(to, from).flags(flags).seq_ack(u32::try_from(draw(3)).unwrap(), ack);
        let mut frame = packet.payload(&vec![b'x'; usize::try_from(draw(1400)).unwrap()]).finish();
        if draw(4) == 0 {
            let at = usize::try_from(draw(frame.len() as u64)).unwrap();
            frame[at] = u8::try_from(draw(256)).unwrap();
        }
        let before = lan.host.counters().ignored;
        lan.host.receive(lan.now, BACK, &frame);
        accepted += u64::from(lan.host.counters().ignored == before);
        let old = lan.left.len().saturating_sub(100);
        lan.left.drain(..old);
    }
    assert!(accepted > 1_000, "the stack was not even touched: {accepted}");
    let rows = lan.host.health_rows();
    assert_eq!(rows[1].state, State::Up, "the neighbour is not touched");
    assert_eq!(rows[1].transitions, 0);
    assert_eq!(lan.host.counters().probes.panics, 0);
}

proptest! {
    #[test]
    fn no_frame_makes_the_host_stack_panic(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 1..20),
        ethertype in prop::sample::select(vec![0x0806_u16, 0x0800, 0x8100]),
    ) {
        let mut host = host_of(network());
        for mut frame in frames {
            if let Some(at) = frame.get_mut(12..14) {
                at.copy_from_slice(&ethertype.to_be_bytes());
            }
            host.receive(Moment::ZERO, FRONT, &frame);
            host.receive(Moment::ZERO, PortId::new(99), &frame);
        }
        host.poll(Moment::ZERO, &mut Ports::default());
    }
}

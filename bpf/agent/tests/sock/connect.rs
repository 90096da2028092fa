//! connect() and getpeername().

use std::collections::BTreeMap;

use spillway_lb::model::Protocol::{self, Tcp, Udp};

use crate::world::{POD_PORT, PODS_V4, PODS_V6, World};

/// How often each pod answered; all of them as `peer`.
fn spread(answers: &str, peer: &str) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for answer in answers.split(' ') {
        let (pod, seen_peer) =
            answer.split_once('@').unwrap_or_else(|| panic!("{peer}: {answers}"));
        assert_eq!(seen_peer, peer);
        *counts.entry(pod.to_owned()).or_default() += 1;
    }
    counts
}

fn each_about_a_third(protocol: Protocol, service: &str, called: &str, pods: &[&str]) {
    let mut world = World::new();
    world.service(protocol, service, pods);
    let verb = match protocol {
        Tcp => "tcp",
        Udp => "udp",
    };
    let mut host = world.host();
    let counts = spread(&host.ask(&format!("{verb} {called} 300")), called);
    assert_eq!(counts.len(), 3, "{counts:?}");
    // 100 +- 45 is 5.5 standard deviations.
    assert!(counts.values().all(|count| (55..=145).contains(count)), "{counts:?}");
    assert_eq!(world.counter("connect"), 300);
    assert!(world.counter("peer-name") >= 300);
}

#[test]
fn tcp_over_ipv4_is_spread_and_shows_the_service() {
    each_about_a_third(Tcp, "10.96.0.1:80", "10.96.0.1:80", &PODS_V4);
}

#[test]
fn tcp_over_ipv6_is_spread_and_shows_the_service() {
    each_about_a_third(Tcp, "[fd00:96::1]:80", "[fd00:96::1]:80", &PODS_V6);
}

#[test]
fn tcp_over_mapped_ipv4_is_the_ipv4_service() {
    each_about_a_third(Tcp, "10.96.0.1:80", "[::ffff:10.96.0.1]:80", &PODS_V4);
}

#[test]
fn udp_over_ipv4_is_spread_and_shows_the_service() {
    each_about_a_third(Udp, "10.96.0.1:53", "10.96.0.1:53", &PODS_V4);
}

#[test]
fn udp_over_ipv6_is_spread_and_shows_the_service() {
    each_about_a_third(Udp, "[fd00:96::1]:53", "[fd00:96::1]:53", &PODS_V6);
}

#[test]
fn udp_over_mapped_ipv4_is_the_ipv4_service() {
    each_about_a_third(Udp, "10.96.0.1:53", "[::ffff:10.96.0.1]:53", &PODS_V4);
}

#[test]
fn a_pod_in_its_own_namespace_is_served_too() {
    let mut world = World::new();
    world.service(Tcp, "10.96.0.1:80", &PODS_V4[..1]);
    world.service(Udp, "[fd00:96::1]:53", &PODS_V6[..1]);
    let mut pod = world.pod();
    assert_eq!(pod.ask("tcp 10.96.0.1:80 2"), "1@10.96.0.1:80 1@10.96.0.1:80");
    assert_eq!(pod.ask("udp [fd00:96::1]:53 1"), "1@[fd00:96::1]:53");
}

#[test]
fn a_protocol_or_a_port_of_nobody_is_left_alone() {
    let mut world = World::new();
    world.service(Tcp, "10.244.0.1:80", &PODS_V4[1..]);
    let mut host = world.host();
    let pod = format!("10.244.0.1:{POD_PORT}");
    assert_eq!(host.ask(&format!("tcp {pod} 1")), format!("1@{pod}"));
    assert_eq!(host.ask(&format!("udp {pod} 1")), format!("1@{pod}"));
    for name in ["connect", "connect-refused", "peer-name", "receive"] {
        assert_eq!(world.counter(name), 0, "{name}");
    }
}

#[test]
fn processes_outside_the_cgroup_are_left_alone() {
    let mut world = World::new();
    world.service(Tcp, "10.244.0.1:8080", &PODS_V4[1..2]);
    assert_eq!(World::outsider().ask("tcp 10.244.0.1:8080 1"), "1@10.244.0.1:8080");
    assert_eq!(world.host().ask("tcp 10.244.0.1:8080 1"), "2@10.244.0.1:8080");
}

#[test]
fn a_socket_that_connects_again_has_no_stale_name() {
    let mut world = World::new();
    world.service(Udp, "10.96.0.1:53", &PODS_V4[..1]);
    world.service(Udp, "10.96.0.2:53", &PODS_V4[1..2]);
    let mut host = world.host();
    host.ask_all(&["open s 0.0.0.0:0", "connect s 10.96.0.1:53"]);
    assert_eq!(host.ask("peer s"), "10.96.0.1:53");
    host.ask("connect s 10.96.0.2:53");
    assert_eq!(host.ask("peer s"), "10.96.0.2:53");
    assert_eq!(host.ask_all(&["send s", "receive s"]), "2@10.96.0.2:53");
    // The very backend of the first, by its own address.
    host.ask_all(&["connect s 10.96.0.1:53", "connect s 10.244.0.1:8080"]);
    assert_eq!(host.ask("peer s"), "10.244.0.1:8080");
    assert_eq!(host.ask_all(&["send s", "receive s"]), "1@10.244.0.1:8080");
}

#[test]
fn a_dissolved_socket_has_no_stale_name() {
    let mut world = World::new();
    world.service(Udp, "10.96.0.1:53", &PODS_V4[..1]);
    let mut host = world.host();
    host.ask_all(&["open s 0.0.0.0:0", "connect s 10.96.0.1:53", "dissolve s"]);
    assert_eq!(host.ask_all(&["send s 10.244.0.1:8080", "receive s"]), "1@10.244.0.1:8080");
    assert_eq!(host.ask_all(&["send s 10.96.0.1:53", "receive s"]), "1@10.96.0.1:53");
}

#[test]
fn a_listening_socket_knows_its_clients_by_their_own_addresses() {
    // What the pods do here all the time, but as members of the cgroup: getpeername() of an accepted socket.
    let mut world = World::new();
    world.service(Tcp, "10.96.0.1:80", &PODS_V4[..1]);
    let mut host = world.host();
    assert_eq!(host.ask("accepts 10.244.0.1:9090"), "10.244.0.1");
    assert_eq!(world.counter("peer-name"), 0);
}

/// Not a test of correctness: `cargo test ... -- --ignored --nocapture cost` prints what connect() costs.
#[test]
#[ignore = "a measurement"]
fn cost_of_connect() {
    let mut world = World::new();
    world.service(Udp, "10.96.0.1:53", &PODS_V4);
    let mut host = world.host();
    host.ask("cost 10.96.0.1:53 50");
    let (hit, miss) = (host.ask("cost 10.96.0.1:53 50"), host.ask("cost 10.244.0.1:8080 50"));
    let miss_v6 = host.ask("cost [fd00:244::1]:8080 50");
    world.unload();
    let without = host.ask("cost 10.244.0.1:8080 50");
    let without_v6 = host.ask("cost [fd00:244::1]:8080 50");
    println!("hit {hit} ns, miss {miss} ns, without programs {without} ns");
    println!("IPv6: miss {miss_v6} ns, without programs {without_v6} ns");
}

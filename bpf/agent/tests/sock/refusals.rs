//! What is not served, and how callers learn of it.

use spillway_lb::model::Protocol::{Tcp, Udp};
use spillway_lb::verdict::DropReason;
use spillway_node::layout::{
    FRONTEND_ELSEWHERE, FRONTEND_GUARDED, FRONTEND_HOST_ONLY, Prefix, SETTINGS_GUARD_NODE_PORTS,
    SETTINGS_REFUSE_UNOWNED,
};

use crate::world::{
    EACCES, EADDRINUSE, ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EPERM, Extra, NODE_V4, NODE_V6,
    PODS_V4, PODS_V6, World, address, run,
};

/// Numbers of `ServiceKind`.
const CLUSTER_IP: u8 = 0;
const NODE_PORT: u8 = 1;
const LOAD_BALANCER: u8 = 2;

#[test]
fn a_service_without_backends_refuses() {
    let mut world = World::new();
    world.service(Tcp, "10.96.0.1:80", &[]);
    world.service(Udp, "[fd00:96::1]:53", &[]);
    let mut host = world.host();
    assert_eq!(host.ask("tcp 10.96.0.1:80 1"), ECONNREFUSED);
    assert_eq!(host.ask("tcp [::ffff:10.96.0.1]:80 1"), ECONNREFUSED);
    assert_eq!(host.ask("udp [fd00:96::1]:53 1"), ECONNREFUSED);
    host.ask("open s [::]:0");
    assert_eq!(host.ask("send s [fd00:96::1]:53"), ECONNREFUSED);
    assert_eq!(world.counter("connect-refused"), 3);
    assert_eq!(world.counter("send-refused"), 1);
    assert_eq!(world.drops(DropReason::NoBackend), 4);
}

#[test]
fn a_backend_that_vanished_from_the_row_is_no_backend() {
    let mut world = World::new();
    let service = world.service(Tcp, "10.96.0.1:80", &PODS_V4[..1]);
    world.free(service * 10);
    assert_eq!(world.host().ask("tcp 10.96.0.1:80 1"), ECONNREFUSED);
    // A row that is another service's by now is none either.
    world.backend(service * 10, service + 7, PODS_V4[1], 1);
    assert_eq!(world.host().ask("tcp 10.96.0.1:80 1"), ECONNREFUSED);
}

#[test]
fn backends_elsewhere_only_are_out_of_reach() {
    let mut world = World::new();
    let elsewhere = Extra { flags: FRONTEND_ELSEWHERE, ..Extra::default() };
    world.service_with(Tcp, "10.96.0.1:80", &[], elsewhere);
    world.service_with(Udp, "10.96.0.1:53", &[], elsewhere);
    let mut host = world.host();
    assert_eq!(host.ask("tcp 10.96.0.1:80 1"), EHOSTUNREACH);
    assert_eq!(host.ask_all(&["open s 0.0.0.0:0", "send s 10.96.0.1:53"]), EHOSTUNREACH);
}

#[test]
fn service_addresses_of_nobody_are_refused_where_that_is_asked_for() {
    let mut world = World::new();
    world.service(Tcp, "10.96.0.1:80", &PODS_V4);
    world.settings.service_prefixes = 2;
    world.settings.service_prefix[0] =
        Prefix { address: address("10.96.0.0"), mask: address("255.240.0.0") };
    // The mapped form of an IPv4 mask has the first 96 bits set too.
    world.settings.service_prefix[0].mask.0[..12].fill(0xff);
    world.settings.service_prefix[1] =
        Prefix { address: address("fd00:96::"), mask: address("ffff:ffff:ffff:ffff::") };
    world.apply_settings();
    let mut host = world.host();
    assert_eq!(host.ask("tcp 10.97.0.9:80 1"), ENETUNREACH, "not asked for yet");
    world.settings.flags = SETTINGS_REFUSE_UNOWNED;
    world.apply_settings();
    assert_eq!(host.ask("tcp 10.97.0.9:80 1"), ECONNREFUSED);
    assert_eq!(host.ask("tcp 10.96.0.1:81 1"), ECONNREFUSED);
    assert_eq!(host.ask("udp [fd00:96::9]:53 1"), ECONNREFUSED);
    assert_eq!(host.ask_all(&["open s 0.0.0.0:0", "send s 10.97.0.9:53"]), ECONNREFUSED);
    assert_eq!(host.ask("tcp 10.112.0.1:80 1"), ENETUNREACH, "outside the prefix");
    assert_eq!(host.ask("tcp [fd00:97::9]:80 1"), ENETUNREACH, "outside the prefix");
    assert_eq!(world.drops(DropReason::UnlistedPort), 4);
}

#[test]
fn before_kernel_6_1_a_refusal_is_eperm() {
    let mut world = World::of_kernel(0);
    world.service(Tcp, "10.96.0.1:80", &[]);
    world.service(Tcp, "10.96.0.2:80", &PODS_V4[..1]);
    let mut host = world.host();
    assert_eq!(host.ask("tcp 10.96.0.1:80 1"), EPERM);
    assert_eq!(host.ask("tcp 10.96.0.2:80 1"), "1@10.96.0.2:80");
}

#[test]
fn the_hosts_loopback_is_a_node_port_for_the_host_only() {
    for host_is_known in [true, false] {
        let mut world = World::new();
        let extra = Extra { flags: FRONTEND_HOST_ONLY, kind: NODE_PORT, ..Extra::default() };
        world.service_with(Tcp, "127.0.0.1:30645", &PODS_V4[..1], extra);
        world.service_with(Udp, "[::1]:30645", &PODS_V6[..1], extra);
        if !host_is_known {
            // Kernels before 5.14: the initial namespace is the host, and this one is not that.
            world.settings.host_netns = 0;
            world.apply_settings();
            assert_eq!(world.host().ask("tcp 127.0.0.1:30645 1"), ECONNREFUSED);
            assert_eq!(world.counter("connect"), 0);
            continue;
        }
        let mut host = world.host();
        assert_eq!(host.ask("tcp 127.0.0.1:30645 1"), "1@127.0.0.1:30645");
        assert_eq!(host.ask("udp [::1]:30645 1"), "1@[::1]:30645");
        let before = world.counter("connect");
        // Nobody listens on the pod's own loopback: that is its stack's refusal, not ours.
        assert_eq!(world.pod().ask("tcp 127.0.0.1:30645 1"), ECONNREFUSED);
        assert_eq!(world.counter("connect"), before);
        assert_eq!(world.counter("connect-refused"), 0);
    }
}

#[test]
fn node_ports_cannot_be_bound_by_others() {
    let mut world = World::new();
    let node_port = Extra { kind: NODE_PORT, ..Extra::default() };
    world.service_with(Tcp, &format!("{NODE_V4}:30645"), &PODS_V4, node_port);
    world.service_with(Udp, &format!("[{NODE_V6}]:30053"), &PODS_V6, node_port);
    // A load balancer's address may be the node's; its port is not a NodePort.
    let other = Extra { kind: LOAD_BALANCER, ..Extra::default() };
    world.service_with(Tcp, &format!("{NODE_V4}:30777"), &PODS_V4, other);
    let mut host = world.host();
    assert_eq!(host.ask("bind tcp 0.0.0.0:30645"), "ok", "not asked for yet");
    world.settings.flags = SETTINGS_GUARD_NODE_PORTS;
    world.apply_settings();
    for at in ["0.0.0.0:30645", "192.0.2.10:30645", "127.0.0.1:30645", "[::]:30645"] {
        assert_eq!(host.ask(&format!("bind tcp {at}")), EADDRINUSE, "{at}");
    }
    assert_eq!(host.ask("bind udp [::]:30053"), EADDRINUSE);
    assert_eq!(world.counter("bind-refused"), 5);
    for (protocol, at) in [
        ("udp", "0.0.0.0:30645"),
        ("tcp", "0.0.0.0:30646"),
        ("tcp", "0.0.0.0:30777"),
        ("udp", "0.0.0.0:30053"),
        ("tcp", "[::1]:30645"),
    ] {
        assert_eq!(host.ask(&format!("bind {protocol} {at}")), "ok", "{protocol} {at}");
    }
    assert_eq!(world.pod().ask("bind tcp 0.0.0.0:30645"), "ok", "a pod's port is its own");
    assert_eq!(world.counter("bind-refused"), 5);
}

#[test]
fn source_ranges_guard_addresses_of_load_balancers_as_kube_proxy_does() {
    let mut world = World::new();
    let guarded = |kind| Extra { flags: FRONTEND_GUARDED, kind, ..Extra::default() };
    world.service_with(Tcp, "10.96.0.1:80", &PODS_V4[..1], guarded(CLUSTER_IP));
    let service = world.service_with(Tcp, "203.0.113.7:80", &PODS_V4[..1], guarded(LOAD_BALANCER));
    world.allow_source(service, "10.244.9.0", 120);
    let mut pod = world.pod();
    let cookie: u64 = pod.ask("cookie").parse().unwrap();
    // Of unknown address: left to the programs that see its packets. Here the stack says that it was asked.
    let pid = pod.pid();
    run(&format!("nsenter --net=/proc/{pid}/ns/net ip route add prohibit 203.0.113.0/24"));
    assert_eq!(pod.ask("tcp 203.0.113.7:80 1"), EACCES);
    assert_eq!(world.counter("connect"), 0);
    assert_eq!(world.counter("connect-refused"), 0);
    world.client_is(cookie, "10.244.9.2", "::");
    assert_eq!(pod.ask("tcp 203.0.113.7:80 1"), "1@203.0.113.7:80");
    world.client_is(cookie, "10.244.8.2", "::");
    assert_eq!(pod.ask("tcp 203.0.113.7:80 1"), EHOSTUNREACH);
    assert_eq!(world.drops(DropReason::SourceRange), 1);
    assert_eq!(pod.ask("tcp 10.96.0.1:80 1"), "1@10.96.0.1:80");
}

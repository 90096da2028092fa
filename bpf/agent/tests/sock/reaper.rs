//! Namespaces of the node, and sockets whose backend vanished.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use spillway_lb::model::Protocol::{self, Tcp, Udp};
use spillway_node::ledger::GoneBackend;
use spillway_node::namespaces::{self, Namespace, Places};
use spillway_node::reaper::{Reaped, Reaper, Rows};

use crate::client::Client;
use crate::world::{EAGAIN, ECONNABORTED, Extra, PODS_V4, PODS_V6, World, run};

fn gone(protocol: Protocol, socket: &str, service: u32) -> GoneBackend {
    GoneBackend { protocol, address: socket.parse().unwrap(), service }
}

fn reaper(tcp: bool) -> Reaper {
    Reaper::new(Some(Rows::load(&World::pins()).unwrap()), Places::default(), tcp)
}

/// Frees the first backend of a service that has two.
fn lose_first(world: &mut World, at: &str, service: u32, pod: &str) {
    let row = service * 10;
    world.free(row);
    world.backend(row + 1, service, pod, 1);
    world.frontend(Udp, at, service, &[row + 1], Extra::default());
}

fn no_errors(reaped: &Reaped) {
    assert_eq!(reaped.errors, Vec::<String>::new());
    assert!(!reaped.by_address_alone);
}

/// One connected socket that has heard its backend once.
fn connected(client: &mut Client, name: &str, bind: &str, to: &str) {
    let (open, connect) = (format!("open {name} {bind}"), format!("connect {name} {to}"));
    let (send, receive) = (format!("send {name}"), format!("receive {name}"));
    assert_eq!(client.ask_all(&[&open, &connect, &send, &receive]), format!("1@{to}"));
}

#[test]
fn a_udp_client_of_a_vanished_backend_recovers_within_a_second() {
    let mut world = World::new();
    let dns = world.service(Udp, "10.96.0.1:53", &PODS_V4[..1]);
    let dns_v6 = world.service(Udp, "[fd00:96::1]:53", &PODS_V6[..1]);
    for mut client in [world.host(), world.pod()] {
        connected(&mut client, "four", "0.0.0.0:0", "10.96.0.1:53");
        connected(&mut client, "mapped", "[::]:0", "[::ffff:10.96.0.1]:53");
        connected(&mut client, "six", "[::]:0", "[fd00:96::1]:53");
        connected(&mut client, "direct", "0.0.0.0:0", "10.244.0.1:8080");
        lose_first(&mut world, "10.96.0.1:53", dns, PODS_V4[1]);
        lose_first(&mut world, "[fd00:96::1]:53", dns_v6, PODS_V6[1]);
        let losses = [gone(Udp, "10.244.0.1:8080", dns), gone(Udp, "[fd00:244::1]:8080", dns_v6)];
        let reaper = reaper(false);
        let begin = Instant::now();
        let reaped = reaper.reap(&losses);
        no_errors(&reaped);
        assert_eq!(reaped.sockets, 3);
        for (name, to) in [
            ("four", "10.96.0.1:53"),
            ("mapped", "[::ffff:10.96.0.1]:53"),
            ("six", "[fd00:96::1]:53"),
        ] {
            assert_eq!(client.ask(&format!("receive {name}")), ECONNABORTED, "{name}");
            client.ask(&format!("connect {name} {to}"));
            client.ask(&format!("send {name}"));
            assert_eq!(client.ask(&format!("receive {name}")), format!("2@{to}"));
        }
        assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
        assert_eq!(client.ask_all(&["send direct", "receive direct"]), "1@10.244.0.1:8080");
        // For the next round.
        for (at, service, pod) in
            [("10.96.0.1:53", dns, PODS_V4[0]), ("[fd00:96::1]:53", dns_v6, PODS_V6[0])]
        {
            world.backend(service * 10, service, pod, 1);
            world.frontend(Udp, at, service, &[service * 10], Extra::default());
        }
    }
}

#[test]
fn a_service_that_still_has_the_backend_keeps_its_sockets() {
    let mut world = World::new();
    let loses = world.service(Udp, "10.96.0.1:53", &PODS_V4[..1]);
    world.service(Udp, "10.96.0.2:53", &PODS_V4[..1]);
    let mut host = world.host();
    connected(&mut host, "loses", "0.0.0.0:0", "10.96.0.1:53");
    connected(&mut host, "keeps", "0.0.0.0:0", "10.96.0.2:53");
    let reaped = reaper(false).reap(&[gone(Udp, "10.244.0.1:8080", loses)]);
    no_errors(&reaped);
    assert_eq!(reaped.sockets, 1);
    assert_eq!(host.ask("receive loses"), ECONNABORTED);
    assert_eq!(host.ask_all(&["send keeps", "receive keeps"]), "1@10.96.0.2:53");
}

#[test]
fn a_socket_that_came_to_the_pod_by_another_way_later_is_left_alone() {
    let mut world = World::new();
    let service = world.service(Udp, "10.96.0.1:53", &PODS_V4[..1]);
    let mut host = world.host();
    connected(&mut host, "s", "0.0.0.0:0", "10.96.0.1:53");
    host.ask_all(&["dissolve s", "connect s 10.244.0.1:8080"]);
    let reaped = reaper(false).reap(&[gone(Udp, "10.244.0.1:8080", service)]);
    no_errors(&reaped);
    assert_eq!(reaped.sockets, 0);
    assert_eq!(host.ask_all(&["send s", "receive s"]), "1@10.244.0.1:8080");
}

#[test]
fn connections_stay_unless_asked_for() {
    let mut world = World::new();
    let service = world.service(Tcp, "10.96.0.1:80", &PODS_V4[..1]);
    let mut host = world.host();
    assert_eq!(host.ask("stream s 10.96.0.1:80"), "ok");
    let losses = [gone(Tcp, "10.244.0.1:8080", service)];
    assert_eq!(reaper(false).reap(&losses), Reaped::default());
    assert_eq!(host.ask("write s"), "ok");
    let reaped = reaper(true).reap(&losses);
    no_errors(&reaped);
    assert_eq!(reaped.sockets, 1);
    assert_eq!(host.ask("write s"), ECONNABORTED);
}

#[test]
fn without_rows_the_peers_address_decides() {
    let mut world = World::new();
    let service = world.service(Udp, "10.96.0.1:53", &PODS_V4[..1]);
    let mut host = world.host();
    connected(&mut host, "s", "0.0.0.0:0", "10.96.0.1:53");
    connected(&mut host, "direct", "0.0.0.0:0", "10.244.0.1:8080");
    host.ask_all(&["open other 0.0.0.0:0", "connect other 10.244.0.2:8080"]);
    // Blind as it is, it must not see the other tests: only this namespace, in a file system of this test's own.
    run("mount -t tmpfs sw-sock /mnt");
    std::os::unix::fs::symlink(format!("/proc/{}/ns/net", host.pid()), "/mnt/here").unwrap();
    let here = Places { named: "/mnt".into(), proc: "/nonexistent".into() };
    let blind = Reaper::new(None, here, false);
    let reaped = blind.reap(&[gone(Udp, "10.244.0.1:8080", service)]);
    assert_eq!(reaped.errors, Vec::<String>::new());
    assert!(reaped.by_address_alone);
    assert_eq!(reaped.sockets, 2);
    assert_eq!(host.ask("receive s"), ECONNABORTED);
    assert_eq!(host.ask("receive direct"), ECONNABORTED);
    assert_eq!(host.ask("receive other"), EAGAIN);
}

#[test]
fn all_namespaces_are_listed_once_with_cookie_and_addresses() {
    let world = World::new();
    let mut pod = world.pod();
    let _second = world.host();
    let listed = namespaces::list(&Places::default()).unwrap();
    assert_eq!(listed.errors, Vec::<String>::new());
    let cookies: Vec<u64> = listed.found.iter().filter_map(|it| it.cookie).collect();
    assert_eq!(cookies.iter().collect::<BTreeSet<_>>().len(), listed.found.len());
    let cookie: u64 = pod.ask("cookie").parse().unwrap();
    let of_pod = |it: &&Namespace| it.cookie == Some(cookie);
    let found = listed.found.iter().find(of_pod).unwrap();
    assert_eq!(found.ipv4, Some("10.244.9.2".parse().unwrap()));
    assert_eq!(found.ipv6, Some("fd00:9::2".parse().unwrap()));
    assert!(found.path.starts_with("/proc"), "{}", found.path.display());
    // The calling thread is where it was.
    assert_eq!(namespaces::cookie().unwrap(), Some(world.settings.host_netns));
}

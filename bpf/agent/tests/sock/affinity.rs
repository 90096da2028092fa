//! ClientIP affinity, and that it is the appliance's.

use std::net::IpAddr;
use std::thread::sleep;
use std::time::Duration;

use spillway_lb::hash;
use spillway_lb::maglev::Table;
use spillway_lb::model::Protocol::Tcp;
use spillway_lb::model::{Affinity as Kept, Backend, Scheduler};
use spillway_lb::selector::Selector;
use spillway_node::layout::{Affinity, AffinityKey, FRONTEND_MAGLEV};

use crate::world::{Extra, POD_PORT, PODS_V4, PODS_V6, World, address};

/// The appliance's table over these pods.
fn table(pods: &[&str]) -> Table {
    let backend = |pod: &&str| Backend { address: pod.parse().unwrap(), port: POD_PORT, weight: 1 };
    let backends: Vec<Backend> = pods.iter().map(backend).collect();
    let kept = Kept::ClientIp { timeout: Duration::from_hours(3) };
    match Selector::build(Scheduler::Random, kept, &backends) {
        Selector::Client(table) => table,
        Selector::Random(_) | Selector::Maglev(_) => panic!("not by client"),
    }
}

/// A service with that table; returns its number.
fn sticky(world: &mut World, at: &str, pods: &[&str], affinity_s: u32) -> u32 {
    let extra = Extra { flags: FRONTEND_MAGLEV, affinity_s, ..Extra::default() };
    let service = world.service_with(Tcp, at, pods, extra);
    let rows: Vec<u32> =
        table(pods).slots().iter().map(|slot| service * 10 + u32::from(*slot)).collect();
    world.frontend(Tcp, at, service, &rows, extra);
    service
}

fn key(client: &str, service: u32) -> AffinityKey {
    AffinityKey { client: address(client), service, pad: 0 }
}

fn expected(pods: &[&str], client: &str, at: &str) -> String {
    let client: IpAddr = client.parse().unwrap();
    let pick = table(pods).pick(hash::client(client)).unwrap();
    format!("{}@{at}", pick + 1)
}

#[test]
fn clients_meet_the_backend_that_the_appliance_would_choose() {
    let mut world = World::new();
    let (v4, v6) = ("10.96.0.1:80", "[fd00:96::1]:80");
    let service_v4 = sticky(&mut world, v4, &PODS_V4, 60);
    let service_v6 = sticky(&mut world, v6, &PODS_V6, 60);
    let mut pod = world.pod();
    let cookie: u64 = pod.ask("cookie").parse().unwrap();
    let mut met = std::collections::BTreeSet::new();
    for number in 1..=40 {
        let (client_v4, client_v6) = (format!("10.244.3.{number}"), format!("fd00:3::{number}:1"));
        world.client_is(cookie, &client_v4, &client_v6);
        let answer = pod.ask(&format!("tcp {v4} 1"));
        assert_eq!(answer, expected(&PODS_V4, &client_v4, v4), "{client_v4}");
        met.insert(answer);
        let answer = pod.ask(&format!("tcp {v6} 1"));
        assert_eq!(answer, expected(&PODS_V6, &client_v6, v6), "{client_v6}");
        assert!(world.affinity().get(&key(&client_v4, service_v4), 0).is_ok());
        assert!(world.affinity().get(&key(&client_v6, service_v6), 0).is_ok());
    }
    assert_eq!(met.len(), 3);
}

#[test]
fn a_client_keeps_its_backend_until_it_was_away_for_the_timeout() {
    let mut world = World::new();
    let at = "10.96.0.1:80";
    let service = sticky(&mut world, at, &PODS_V4, 2);
    let mut pod = world.pod();
    let cookie: u64 = pod.ask("cookie").parse().unwrap();
    world.client_is(cookie, "10.244.9.2", "fd00:9::2");
    let first = pod.ask(&format!("tcp {at} 1"));
    assert_eq!(first, expected(&PODS_V4, "10.244.9.2", at));
    // Another one than Maglev's, as if the table had been another one when the client came.
    let mut row: Affinity = world.affinity().get(&key("10.244.9.2", service), 0).unwrap();
    row.backend = service * 10 + (row.backend - service * 10 + 1) % 3;
    let other = format!("{}@{at}", row.backend - service * 10 + 1);
    world.affinity().insert(key("10.244.9.2", service), row, 0).unwrap();
    for _ in 0..4 {
        // Each visit counts from anew: together they take longer than the timeout.
        sleep(Duration::from_millis(700));
        assert_eq!(pod.ask(&format!("tcp {at} 2")), format!("{other} {other}"));
    }
    sleep(Duration::from_millis(2200));
    assert_eq!(pod.ask(&format!("tcp {at} 1")), first);
}

#[test]
fn a_client_of_a_vanished_backend_gets_another_and_keeps_it() {
    let mut world = World::new();
    let at = "10.96.0.1:80";
    let service = sticky(&mut world, at, &PODS_V4, 60);
    let mut pod = world.pod();
    let cookie: u64 = pod.ask("cookie").parse().unwrap();
    world.client_is(cookie, "10.244.9.2", "fd00:9::2");
    pod.ask(&format!("tcp {at} 1"));
    let row: Affinity = world.affinity().get(&key("10.244.9.2", service), 0).unwrap();
    world.free(row.backend);
    let left: Vec<u32> = (service * 10..service * 10 + 3).filter(|it| *it != row.backend).collect();
    let extra = Extra { flags: FRONTEND_MAGLEV, affinity_s: 60, ..Extra::default() };
    world.frontend(Tcp, at, service, &left, extra);
    let answers = pod.ask(&format!("tcp {at} 5"));
    let answers: std::collections::BTreeSet<&str> = answers.split(' ').collect();
    assert_eq!(answers.len(), 1);
    let gone = format!("{}@{at}", row.backend - service * 10 + 1);
    assert!(!answers.contains(gone.as_str()));
}

#[test]
fn a_namespace_of_unknown_address_is_one_client() {
    let mut world = World::new();
    let at = "10.96.0.1:80";
    let service = sticky(&mut world, at, &PODS_V4, 60);
    let mut pod = world.pod();
    let cookie: u64 = pod.ask("cookie").parse().unwrap();
    let answers = pod.ask(&format!("tcp {at} 10"));
    let answers: std::collections::BTreeSet<&str> = answers.split(' ').collect();
    assert_eq!(answers.len(), 1);
    // 100::/64 (RFC 6666), then the cookie's halves as the programs hold them.
    let mut client = address("100::");
    let high = u32::try_from(cookie >> 32).unwrap();
    let low = u32::try_from(cookie & 0xffff_ffff).unwrap();
    client.0[8..12].copy_from_slice(&high.to_ne_bytes());
    client.0[12..].copy_from_slice(&low.to_ne_bytes());
    assert!(world.affinity().get(&AffinityKey { client, service, pad: 0 }, 0).is_ok());
    let hash = hash::client(client.into());
    let pick = table(&PODS_V4).pick(hash).unwrap();
    assert!(answers.contains(format!("{}@{at}", pick + 1).as_str()));
}

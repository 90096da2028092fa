//! Which flows are over.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use spillway_lb::model::Timeouts;
use spillway_node::gc::{Flows, conntrack_over, conntrack_pair, nat_over, nat_pair};
use spillway_node::layout::{
    Address, BACKEND_ACTIVE, BACKEND_FREE, Backend, CONNTRACK_CLOSED, CONNTRACK_CLOSING,
    CONNTRACK_SEEN_REPLY, CONNTRACK_SNAT, Conntrack, DIRECTION_ORIGINAL, Nat, Tuple,
};

const TCP: u8 = 6;
const UDP: u8 = 17;
/// Any time, late enough for the longest timeout.
pub(crate) const NOW: u64 = 100_000_000_000_000;

/// Maps of flows.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) conntrack: HashMap<Tuple, Conntrack>,
    pub(crate) nat: HashMap<Tuple, Nat>,
    pub(crate) backends: Vec<Backend>,
}

impl Flows for World {
    fn conntrack(&self, key: &Tuple) -> Option<Conntrack> {
        self.conntrack.get(key).copied()
    }

    fn nat(&self, key: &Tuple) -> Option<Nat> {
        self.nat.get(key).copied()
    }

    fn backend(&self, index: u32) -> Option<Backend> {
        self.backends.get(index as usize).copied()
    }
}

pub(crate) fn address(text: &str) -> Address {
    text.parse::<IpAddr>().unwrap().into()
}

/// Client 192.0.2.1:4000 to 198.51.100.1:30080, which is 10.0.0.1:8080 behind 198.51.100.1:40000.
pub(crate) fn flow(protocol: u8, flags: u16, ago: Duration) -> (World, Tuple) {
    let seen = NOW - u64::try_from(ago.as_nanos()).unwrap();
    let key = Tuple {
        source: address("192.0.2.1"),
        destination: address("198.51.100.1"),
        source_port: 4000.into(),
        destination_port: 30080.into(),
        protocol,
        direction: DIRECTION_ORIGINAL,
        pad: 0,
    };
    let row = Conntrack {
        last_seen_ns: seen,
        address: address("10.0.0.1"),
        port: 8080.into(),
        flags: flags | CONNTRACK_SNAT,
        service: 3,
        backend: 1,
        frontend: 5,
        packets: 2,
        bytes: 200,
    };
    let back = Conntrack { address: key.destination, port: key.destination_port, ..row };
    let mut world = World::default();
    world.conntrack.insert(conntrack_pair(&key, &row), back);
    world.conntrack.insert(key, row);
    let towards = Tuple { destination: row.address, destination_port: row.port, ..key };
    let lent = Nat {
        last_seen_ns: seen,
        address: address("198.51.100.1"),
        port: 40_000.into(),
        pad: [0; 3],
    };
    world.nat.insert(
        nat_pair(&towards, &lent),
        Nat { address: key.source, port: key.source_port, ..lent },
    );
    world.nat.insert(towards, lent);
    let backend = Backend {
        address: row.address,
        port: row.port,
        state: BACKEND_ACTIVE,
        flags: 0,
        service: 3,
        pad: 0,
    };
    world.backends = vec![Backend::default(), backend];
    (world, key)
}

fn is_over(world: &World, key: &Tuple) -> bool {
    let row = world.conntrack[key];
    let over = conntrack_over(world, key, &row, &Timeouts::default(), NOW);
    if let Some(pair) = over {
        assert_eq!(pair, [*key, conntrack_pair(key, &row)]);
    }
    over.is_some()
}

#[test]
fn every_state_has_its_own_time() {
    let answered = CONNTRACK_SEEN_REPLY;
    for (protocol, flags, seconds) in [
        (TCP, 0, 60),
        (TCP, answered, 124 * 60),
        (TCP, answered | CONNTRACK_CLOSING, 124 * 60),
        (TCP, answered | CONNTRACK_CLOSED, 60),
        (TCP, CONNTRACK_CLOSED, 60),
        (UDP, 0, 30),
        (UDP, answered, 300),
        (1, 0, 30),
    ] {
        let over = |seconds| {
            let (world, key) = flow(protocol, flags, Duration::from_secs(seconds));
            is_over(&world, &key)
        };
        assert!(!over(seconds - 1) && over(seconds), "{protocol} {flags} {seconds}");
    }
}

#[test]
fn a_flow_lives_as_long_as_either_direction_is_seen() {
    let (mut world, key) = flow(UDP, 0, Duration::from_hours(1));
    let reply = conntrack_pair(&key, &world.conntrack[&key]);
    let row = world.conntrack.get_mut(&reply).unwrap();
    row.last_seen_ns = NOW;
    row.flags |= CONNTRACK_SEEN_REPLY;
    assert!(!is_over(&world, &key));
    // The reply alone never decides while the original is there.
    world.conntrack.get_mut(&reply).unwrap().last_seen_ns = 0;
    world.conntrack.get_mut(&key).unwrap().last_seen_ns = NOW;
    assert!(!is_over(&world, &reply));
    // Without it, it goes by its own time.
    world.conntrack.remove(&key);
    assert!(is_over(&world, &reply));
}

#[test]
fn a_udp_flow_ends_with_its_backend_and_a_tcp_flow_does_not() {
    for protocol in [TCP, UDP] {
        let (mut world, key) = flow(protocol, CONNTRACK_SEEN_REPLY, Duration::ZERO);
        assert!(!is_over(&world, &key));
        world.backends[1].service = 4;
        assert_eq!(is_over(&world, &key), protocol == UDP, "its row is another service's");
        world.backends[1] = Backend { service: 3, port: 8081.into(), ..world.backends[1] };
        assert_eq!(is_over(&world, &key), protocol == UDP, "its row is another backend's");
        world.backends[1] = Backend { state: BACKEND_FREE, port: 8080.into(), ..world.backends[1] };
        assert_eq!(is_over(&world, &key), protocol == UDP, "its row is free");
        world.backends.clear();
        assert_eq!(is_over(&world, &key), protocol == UDP, "its row is nowhere");
    }
}

#[test]
fn a_source_port_rests_after_its_flow_and_is_never_taken_from_a_live_one() {
    let over = |world: &World| {
        let (key, row) =
            world.nat.iter().find(|(key, _)| key.direction == DIRECTION_ORIGINAL).unwrap();
        nat_over(world, key, row, &Timeouts::default(), NOW)
    };
    let (mut world, _) = flow(TCP, CONNTRACK_SEEN_REPLY, Duration::from_hours(1));
    assert_eq!(over(&world), None, "the flow is idle, and there");
    world.conntrack.clear();
    let pair = over(&world).unwrap();
    assert!(world.nat.contains_key(&pair[0]) && world.nat.contains_key(&pair[1]));
    let (mut world, _) = flow(TCP, CONNTRACK_SEEN_REPLY, Duration::from_secs(59));
    world.conntrack.clear();
    assert_eq!(over(&world), None, "the port rests");
}

#[test]
fn the_pair_of_a_pair_is_the_row_itself() {
    let (world, _) = flow(TCP, 0, Duration::ZERO);
    assert_eq!((world.conntrack.len(), world.nat.len()), (2, 2));
    for (key, row) in &world.conntrack {
        let other = conntrack_pair(key, row);
        assert_eq!(conntrack_pair(&other, &world.conntrack[&other]), *key);
    }
    for (key, row) in &world.nat {
        let other = nat_pair(key, row);
        assert_eq!(nat_pair(&other, &world.nat[&other]), *key);
    }
}

//! NodePorts whose backend is on another node: SNAT on the way out; undone on the way back, the lent port first.

use spillway_lb::verdict::DropReason;
use spillway_node::layout::{self, CONNTRACK_SEEN_REPLY, CONNTRACK_SNAT};

use crate::frame::{ACK, Frame, SYN, tcp, udp};
use crate::world::{ETH0_MAC, Hook, Spec, WORLD_MAC, World, address, command, original, reply};

const CLIENT: &str = "172.26.50.180:10000";
const FRONTEND: &str = "172.26.50.101:30645";
const LENT: &str = "172.26.50.101:31210";
const BACKEND: &str = "10.0.1.72:80";

const CLIENT_V6: &str = "[2001:db8:50::180]:10000";
const FRONTEND_V6: &str = "[2001:db8:50::101]:30645";
const LENT_V6: &str = "[2001:db8:50::101]:31210";
const BACKEND_V6: &str = "[fd00:0:0:1::72]:80";

fn from_world(frame: Frame) -> Frame {
    frame.macs(ETH0_MAC, WORLD_MAC)
}

/// A world in which the flow is open already.
fn open() -> World {
    let mut world = World::new();
    world.serve(Spec::node_port(FRONTEND), &[BACKEND]);
    let asked = from_world(tcp(CLIENT, FRONTEND, SYN));
    world.run(Hook::FromNetdev, &asked).redirected_as(&asked.translated(LENT, BACKEND).hops(63));
    world
}

/// A packet of the open flow is translated, and so is its answer.
fn goes_on(world: &mut World) {
    let asked = from_world(tcp(CLIENT, FRONTEND, ACK).payload(b"more"));
    world.run(Hook::FromNetdev, &asked).redirected_as(&asked.translated(LENT, BACKEND).hops(63));
    let answered = from_world(tcp(BACKEND, LENT, ACK));
    world
        .run(Hook::FromNetdev, &answered)
        .redirected_as(&answered.translated(FRONTEND, CLIENT).hops(63));
}

#[test]
fn the_four_packets_of_the_classic_flow() {
    let mut world = World::new();
    let backends = world.serve(Spec::node_port(FRONTEND), &[BACKEND]);

    let asked = from_world(tcp(CLIENT, FRONTEND, SYN));
    let forwarded = asked.translated(LENT, BACKEND).hops(63);
    world.run(Hook::FromNetdev, &asked).redirected_as(&forwarded);

    let row = world.conntrack(&original(6, CLIENT, FRONTEND)).unwrap();
    assert_eq!((row.address, u16::from(row.port)), (address("10.0.1.72"), 80));
    assert_eq!((row.service, row.backend, row.frontend), (7, backends[0], 3));
    assert_eq!((row.flags, row.packets, row.bytes), (CONNTRACK_SNAT, 1, 54));
    let row = world.nat(&original(6, CLIENT, BACKEND)).unwrap();
    assert_eq!((row.address, u16::from(row.port)), (address("172.26.50.101"), 31210));
    let row = world.nat(&reply(6, BACKEND, LENT)).unwrap();
    assert_eq!((row.address, u16::from(row.port)), (address("172.26.50.180"), 10000));

    let answered = from_world(forwarded.answer(SYN | ACK));
    world
        .run(Hook::FromNetdev, &answered)
        .redirected_as(&answered.translated(FRONTEND, CLIENT).hops(63));

    let row = world.conntrack(&reply(6, BACKEND, CLIENT)).unwrap();
    assert_eq!((row.address, u16::from(row.port)), (address("172.26.50.101"), 30645));
    assert_eq!((row.flags, row.packets), (CONNTRACK_SNAT | CONNTRACK_SEEN_REPLY, 1));
    let row = world.conntrack(&original(6, CLIENT, FRONTEND)).unwrap();
    assert_eq!(row.flags, CONNTRACK_SNAT | CONNTRACK_SEEN_REPLY);
    assert_eq!(world.rows(), (2, 2));
    assert_eq!(world.counter("flows-new"), 1);
    assert_eq!(world.counter("forward"), 1);
    assert_eq!(world.counter("reply"), 1);
}

#[test]
fn the_same_four_packets_in_ipv6() {
    let mut world = World::new();
    world.serve(Spec::node_port(FRONTEND_V6), &[BACKEND_V6]);
    let asked = from_world(tcp(CLIENT_V6, FRONTEND_V6, SYN));
    let forwarded = asked.translated(LENT_V6, BACKEND_V6).hops(63);
    world.run(Hook::FromNetdev, &asked).redirected_as(&forwarded);
    let answered = from_world(forwarded.answer(SYN | ACK));
    world
        .run(Hook::FromNetdev, &answered)
        .redirected_as(&answered.translated(FRONTEND_V6, CLIENT_V6).hops(63));
    assert_eq!(world.rows(), (2, 2));
}

#[test]
fn a_datagram_has_its_checksum_changed_both_ways() {
    let mut world = World::new();
    world.serve(Spec::node_port(FRONTEND).udp(), &[BACKEND]);
    world.serve(Spec::node_port(FRONTEND_V6).udp(), &[BACKEND_V6]);
    for (client, frontend, lent, backend) in
        [(CLIENT, FRONTEND, LENT, BACKEND), (CLIENT_V6, FRONTEND_V6, LENT_V6, BACKEND_V6)]
    {
        let asked = from_world(udp(client, frontend));
        let forwarded = asked.translated(lent, backend).hops(63);
        world.run(Hook::FromNetdev, &asked).redirected_as(&forwarded);
        let answered = from_world(forwarded.answer(0));
        world
            .run(Hook::FromNetdev, &answered)
            .redirected_as(&answered.translated(frontend, client).hops(63));
    }
}

#[test]
fn a_datagram_without_checksum_gets_none() {
    let mut world = World::new();
    world.serve(Spec::node_port(FRONTEND).udp(), &[BACKEND]);
    let asked = from_world(udp(CLIENT, FRONTEND)).without_checksum();
    let forwarded = asked.translated(LENT, BACKEND).hops(63);
    world.run(Hook::FromNetdev, &asked).redirected_as(&forwarded);
    let answered = from_world(forwarded.answer(0));
    world
        .run(Hook::FromNetdev, &answered)
        .redirected_as(&answered.translated(FRONTEND, CLIENT).hops(63));
}

#[test]
fn a_datagram_whose_checksum_comes_out_as_zero_is_sent_with_ones() {
    let mut world = World::new();
    world.serve(Spec::node_port(FRONTEND).udp(), &[BACKEND]);
    let forwarded = (0..=u16::MAX)
        .map(|word| udp(LENT, BACKEND).payload(&word.to_be_bytes()))
        .find(|frame| frame.bytes()[40..42] == [0xff, 0xff])
        .unwrap();
    let asked = from_world(forwarded.translated(CLIENT, FRONTEND));
    world.run(Hook::FromNetdev, &asked).redirected_as(&from_world(forwarded.hops(63)));
}

#[test]
fn a_giant_is_translated_whole() {
    let mut world = open();
    let asked = from_world(tcp(CLIENT, FRONTEND, ACK).payload(&[7; 3000]));
    let out = world.run_bytes(Hook::FromNetdev, &asked.bytes(), |context| {
        context[176..180].copy_from_slice(&1448_u32.to_ne_bytes());
    });
    out.redirected_as(&asked.translated(LENT, BACKEND).hops(63));
}

#[test]
fn every_backend_has_the_whole_range_of_ports() {
    let mut world = open();
    let other = "172.26.50.101:30646";
    world.serve(Spec::node_port(other).row(|row| row.service = 8), &["10.0.1.73:80"]);
    let asked = from_world(tcp(CLIENT, other, SYN));
    let forwarded = asked.translated(LENT, "10.0.1.73:80").hops(63);
    world.run(Hook::FromNetdev, &asked).redirected_as(&forwarded);
}

#[test]
fn a_flow_that_finds_no_port_is_dropped_and_leaves_nothing() {
    let mut world = open();
    let asked = from_world(tcp("172.26.50.180:10001", FRONTEND, SYN));
    world.run(Hook::FromNetdev, &asked).dropped(DropReason::SnatPortsExhausted);
    assert_eq!(world.rows(), (2, 2));
    assert_eq!(world.counter("nat-retries"), 32);
    goes_on(&mut world);
}

#[test]
fn the_last_free_port_is_found() {
    let mut world = World::new();
    world.settings(|settings| settings.snat_port_max = 31213);
    world.serve(Spec::node_port(FRONTEND), &[BACKEND]);
    for port in [31210, 31211, 31213] {
        world.set_nat(&reply(6, BACKEND, &format!("172.26.50.101:{port}")), "192.0.2.9:9");
    }
    let asked = from_world(tcp(CLIENT, FRONTEND, SYN));
    let forwarded = asked.translated("172.26.50.101:31212", BACKEND).hops(63);
    world.run(Hook::FromNetdev, &asked).redirected_as(&forwarded);
}

#[test]
fn a_flow_without_its_reply_row_gets_it_back_by_the_next_packet() {
    let mut world = open();
    world.forget_conntrack(&reply(6, BACKEND, CLIENT));
    let answered = from_world(tcp(BACKEND, LENT, ACK));
    world.run(Hook::FromNetdev, &answered).dropped(DropReason::NoFlow);
    goes_on(&mut world);
}

#[test]
fn a_flow_without_a_row_of_its_port_keeps_the_port() {
    let mut world = World::new();
    world.settings(|settings| (settings.snat_port_min, settings.snat_port_max) = (20000, 60000));
    world.serve(Spec::node_port(FRONTEND), &[BACKEND]);
    let asked = from_world(tcp(CLIENT, FRONTEND, SYN));
    world.run(Hook::FromNetdev, &asked);
    let towards = original(6, CLIENT, BACKEND);
    let lent = u16::from(world.nat(&towards).unwrap().port);
    let forwarded =
        |frame: &Frame| frame.translated(&format!("172.26.50.101:{lent}"), BACKEND).hops(63);
    let more = from_world(tcp(CLIENT, FRONTEND, ACK));

    world.forget_nat(&towards);
    world.run(Hook::FromNetdev, &more).redirected_as(&forwarded(&more));
    assert_eq!(u16::from(world.nat(&towards).unwrap().port), lent);

    let back = reply(6, BACKEND, &format!("172.26.50.101:{lent}"));
    world.forget_nat(&back);
    world.run(Hook::FromNetdev, &more).redirected_as(&forwarded(&more));
    assert_eq!(u16::from(world.nat(&back).unwrap().port), 10000);
}

#[test]
fn a_port_that_is_lent_to_nobody_is_left_to_the_stack() {
    let mut world = open();
    let stranger = from_world(tcp("10.0.1.99:80", LENT, ACK));
    world.run(Hook::FromNetdev, &stranger).untouched(&stranger);
    let other_port = from_world(tcp(BACKEND, "172.26.50.101:31211", ACK));
    world.run(Hook::FromNetdev, &other_port).untouched(&other_port);
}

#[test]
fn a_packet_at_its_last_hop_is_dropped() {
    let mut world = open();
    let asked = from_world(tcp(CLIENT, FRONTEND, ACK)).hops(1);
    world.run(Hook::FromNetdev, &asked).dropped(DropReason::TtlExpired);
    let answered = from_world(tcp(BACKEND, LENT, ACK)).hops(1);
    world.run(Hook::FromNetdev, &answered).dropped(DropReason::TtlExpired);
}

#[test]
fn a_packet_larger_than_its_way_is_dropped() {
    let mut world = open();
    command("ip", &["link", "set", "eth0", "mtu", "1300"]);
    let asked = from_world(tcp(CLIENT, FRONTEND, ACK).payload(&[7; 1400]));
    world.run(Hook::FromNetdev, &asked).dropped(DropReason::PacketTooBig);
}

#[test]
fn a_backend_without_a_route_is_told_by_its_reason() {
    let mut world = World::new();
    world.serve(Spec::node_port(FRONTEND), &["10.9.9.9:80"]);
    let asked = from_world(tcp(CLIENT, FRONTEND, SYN));
    world.run(Hook::FromNetdev, &asked).dropped(DropReason::NoRoute);
    assert_eq!(world.rows(), (0, 0));
}

#[test]
fn a_node_without_an_address_of_the_family_says_so() {
    let mut world = World::new();
    world.settings(|settings| settings.node_ipv6 = layout::Address::default());
    world.serve(Spec::node_port(FRONTEND_V6), &[BACKEND_V6]);
    let asked = from_world(tcp(CLIENT_V6, FRONTEND_V6, SYN));
    world.run(Hook::FromNetdev, &asked).dropped(DropReason::NoSnatAddress);
}

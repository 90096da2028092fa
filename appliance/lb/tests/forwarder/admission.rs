//! What is looked at, what is answered, and what is dropped for exactly which reason.

use spillway_lb::ids::PortId;
use spillway_lb::verdict::DropReason;
use spillway_packet::MacAddr;
use spillway_packet::build;

use crate::world::*;

const CLIENT: &str = "172.26.50.180:10000";
const FRONTEND: &str = "172.26.50.101:30645";

fn world() -> World {
    World::with(
        service("web").tcp(FRONTEND).tcp("172.26.50.110:80").udp(FRONTEND).backend("10.0.1.72:80"),
    )
}

fn tagged_world() -> World {
    let web = service("web").tcp(FRONTEND).backend("10.0.1.72:80");
    Setup::new().service(web).vlans(Some(7), None).world()
}

#[test]
fn a_port_that_no_frontend_has_is_not_answered() {
    let mut world = world();
    for to in ["172.26.50.101:30646", "172.26.50.110:81", "10.0.0.1:30645", "172.26.50.101:31209"] {
        world
            .ingress(syn(CLIENT, to))
            .expect_drop(DropReason::UnlistedPort)
            .expect_counters(&[("received", 1), ("unlisted-port", 1)]);
        world.ingress(udp(CLIENT, to)).expect_drop(DropReason::UnlistedPort);
    }
    // A frontend of the other protocol is none.
    world.ingress(udp(CLIENT, "172.26.50.110:80")).expect_drop(DropReason::UnlistedPort);
}

#[test]
fn nothing_is_routed() {
    let mut world = world();
    for to in ["10.0.1.72:80", "172.26.50.102:30645", "172.26.255.255:80", "255.255.255.255:67"] {
        world.ingress(syn(CLIENT, to)).expect_drop(DropReason::NotOurs);
        world.ingress(udp(CLIENT, to)).expect_drop(DropReason::NotOurs);
    }
    let (client, elsewhere) = (*at(CLIENT).ip(), *at("10.0.1.72:0").ip());
    world.ingress(build::icmp_echo(client, elsewhere, 1, 1)).expect_drop(DropReason::NotOurs);
    world.ingress(build::icmp_echo_reply(client, elsewhere, 1, 1)).expect_drop(DropReason::NotOurs);
}

#[test]
fn a_source_that_can_be_nobodys_is_dropped() {
    let mut world = world();
    for (from, reason) in [
        ("0.1.2.3:1000", DropReason::BogonSource),
        ("127.0.0.1:1000", DropReason::BogonSource),
        ("224.0.0.5:1000", DropReason::BogonSource),
        ("255.255.255.255:1000", DropReason::BogonSource),
        // LAND: from the frontend to itself.
        (FRONTEND, DropReason::BogonSource),
        ("172.26.50.110:80", DropReason::OwnSource),
        ("10.0.0.1:1000", DropReason::OwnSource),
    ] {
        world.ingress(syn(from, FRONTEND)).expect_drop(reason);
        world.ingress(udp(from, FRONTEND)).expect_drop(reason);
        let (from, to) = (*at(from).ip(), *at(FRONTEND).ip());
        world.ingress(build::icmp_echo(from, to, 1, 1)).expect_drop(reason);
        world.ingress(build::icmp_echo_reply(from, to, 1, 1)).expect_drop(reason);
    }
    assert_eq!(world.flows().len(), 0);
}

#[test]
fn a_packet_at_the_end_of_its_life_is_not_forwarded_and_changes_nothing() {
    let mut world = world();
    world.ingress(syn(CLIENT, FRONTEND).ttl(1)).expect_drop(DropReason::TtlExpired);
    assert_eq!(world.flows().len(), 0);
    let flow = world.establish(CLIENT, FRONTEND);
    let before = world.record(flow);
    world
        .ingress(tcp(CLIENT, FRONTEND, RST).ttl(1))
        .expect_drop(DropReason::TtlExpired)
        .expect_counters(&[("received", 1), ("ttl-expired", 1)]);
    assert_eq!(format!("{:?}", world.record(flow)), format!("{before:?}"));
    // With 2 it goes one hop further.
    let outcome = world.ingress(tcp(CLIENT, FRONTEND, ACK).ttl(2));
    assert_eq!(outcome.sent()[22], 1);
}

#[test]
fn pings_to_every_address_of_the_box_are_answered_in_place() {
    let mut world = world();
    let client = *at(CLIENT).ip();
    for ours in ["172.26.50.101:0", "172.26.50.110:0", "10.0.0.1:0"] {
        let ours = *at(ours).ip();
        let ping = build::icmp_echo(client, ours, 77, 3).payload(b"are you there?").ttl(1);
        let outcome = world.ingress(ping).expect_counters(&[
            ("received", 1),
            ("transmitted", 1),
            ("echo_answered", 1),
        ]);
        let answer = build::icmp_echo_reply(ours, client, 77, 3).payload(b"are you there?");
        assert_eq!(outcome.sent()[14..], answer.finish()[14..]);
    }
}

#[test]
fn other_icmp_is_not_served() {
    let mut world = world();
    let (client, ours) = (*at(CLIENT).ip(), *at(FRONTEND).ip());
    world
        .ingress(build::icmp_echo_reply(client, ours, 1, 1))
        .expect_drop(DropReason::IcmpNotServed);
    let (port, ping) = world.dressed(build::icmp_echo(client, ours, 1, 1));
    for kind in [3, 4, 5, 11, 12, 13, 17, 42] {
        let mut message = ping.clone();
        message[34] = kind;
        world.ingress_raw(port, message).expect_drop(DropReason::IcmpNotServed);
    }
}

#[test]
fn answers_to_health_checks_go_to_the_host_stack() {
    let mut world = world();
    for to in ["172.26.50.101:61000", "172.26.50.101:65535"] {
        world
            .ingress(tcp("10.0.1.72:80", to, SYN_ACK))
            .expect_local()
            .expect_counters(&[("received", 1), ("local", 1)]);
    }
    // Probes leave from SNAT addresses only.
    world
        .ingress(tcp("10.0.1.72:80", "10.0.0.1:61000", SYN_ACK))
        .expect_drop(DropReason::UnlistedPort);
    world.ingress(tcp("10.0.1.72:80", "172.26.50.101:60999", ACK)).expect_drop(DropReason::NoFlow);
}

/// "Who has 172.26.50.101?" from the client.
const ARP: &str = "ffffffffffff 0210ac1a32b4 0806
    0001 0800 06 04 0001 0210ac1a32b4 ac1a32b4 000000000000 ac1a3265";

#[test]
fn arp_goes_to_the_host_stack_and_only_arp_may_be_broadcast() {
    let mut world = world();
    let arp = hex(ARP);
    world.ingress_raw(FRONT, arp.clone()).expect_local();
    world.ingress_raw(FRONT, to_mac(&arp, [2, 0, 0, 0, 0xb0, 0])).expect_local();
    let other = to_mac(&arp, [2, 0, 0, 0, 0xb0, 1]);
    world.ingress_raw(FRONT, other).expect_drop(DropReason::NotOurMac);
    let (_, syn) = world.dressed(syn(CLIENT, FRONTEND));
    for mac in [[0xff; 6], [1, 0, 0x5e, 0, 0, 1], [2, 0, 0, 0, 0xb0, 1], [0; 6]] {
        world.ingress_raw(FRONT, to_mac(&syn, mac)).expect_drop(DropReason::NotOurMac);
    }
    assert_eq!(world.flows().len(), 0);
}

fn to_mac(frame: &[u8], mac: [u8; 6]) -> Vec<u8> {
    [&mac, &frame[6..]].concat()
}

#[test]
fn a_frame_is_of_its_ports_vlan_or_dropped() {
    let mut world = tagged_world();
    let identity = world.workers[0].settings().ports[0];
    let with = |vlan| syn(CLIENT, FRONTEND).macs(mac_of(*at(CLIENT).ip()), identity.mac).vlan(vlan);
    for wrong in [None, Some(8), Some(1), Some(4094)] {
        world.ingress_raw(FRONT, with(wrong).finish()).expect_drop(DropReason::VlanMismatch);
    }
    let arp = hex(ARP);
    world.ingress_raw(FRONT, arp.clone()).expect_drop(DropReason::VlanMismatch);
    let tagged = [&arp[..12], &[0x81, 0, 0, 7], &arp[12..]].concat();
    world.ingress_raw(FRONT, tagged).expect_local();
    assert_eq!(world.flows().len(), 0);
    let outcome = world.ingress_raw(FRONT, with(Some(7)).finish());
    assert_eq!(outcome.sent()[12..14], [8, 0], "the back port has no tag");

    // And the back port takes none.
    let tagged = tcp("10.0.1.72:80", "172.26.50.101:31210", ACK).vlan(Some(7));
    let tagged = tagged.macs(mac_of(*at("10.0.1.72:80").ip()), MacAddr([2, 0, 0, 0, 0xb0, 1]));
    world.ingress_raw(BACK, tagged.finish()).expect_drop(DropReason::VlanMismatch);
}

#[test]
fn a_priority_tag_is_no_vlan() {
    let mut world = world();
    let (port, frame) = world.dressed(syn(CLIENT, FRONTEND));
    let prioritised = [&frame[..12], &[0x81, 0, 0xe0, 0], &frame[12..]].concat();
    let outcome = world.ingress_raw(port, prioritised);
    assert_eq!(outcome.sent()[12..14], [8, 0], "it leaves as the port's frames do");
}

#[test]
fn a_frame_of_a_port_that_is_not_the_boxs_is_not_for_it() {
    let mut world = world();
    let (_, frame) = world.dressed(syn(CLIENT, FRONTEND));
    world.ingress_raw(PortId::new(2), frame).expect_drop(DropReason::NotOurMac);
}

/// What is done to a frame: bytes to change, and the length to cut it to (0: whole).
type Damage = (&'static str, &'static [(usize, u8)], usize, DropReason);

/// Offsets: IPv4 from 14, transport from 34.
const TCP_DAMAGE: &[Damage] = &[
    ("an empty buffer", &[], usize::MAX, DropReason::NotContiguous),
    ("one byte", &[], 1, DropReason::Truncated),
    ("a cut Ethernet header", &[], 13, DropReason::Truncated),
    ("a cut IPv4 header", &[], 33, DropReason::Truncated),
    (
        "a reserved VLAN",
        &[(12, 0x81), (13, 0), (14, 0x0f), (15, 0xff)],
        0,
        DropReason::VlanMismatch,
    ),
    ("a provider's tag", &[(12, 0x88), (13, 0xa8)], 0, DropReason::DoubleTag),
    ("a group address as source", &[(6, 0x01)], 0, DropReason::BadSourceMac),
    ("IPv6", &[(12, 0x86), (13, 0xdd)], 0, DropReason::Ipv6),
    ("another EtherType", &[(12, 0x88), (13, 0xcc)], 0, DropReason::UnknownEthertype),
    ("a length for an EtherType", &[(12, 0), (13, 46)], 0, DropReason::UnknownEthertype),
    ("IP version 5", &[(14, 0x55)], 0, DropReason::BadIpVersion),
    ("an IP header of 16 bytes", &[(14, 0x44)], 0, DropReason::BadIpHeaderLength),
    ("a total length beyond the frame", &[(17, 200)], 0, DropReason::BadIpTotalLength),
    ("a total length inside the header", &[(17, 19)], 0, DropReason::BadIpTotalLength),
    ("the reserved IP flag", &[(20, 0x80)], 0, DropReason::BadIpFlags),
    ("a torn fragment", &[(20, 0x20), (17, 43)], 0, DropReason::BadFragment),
    ("a first fragment", &[(20, 0x20), (17, 52)], 0, DropReason::Fragment),
    ("a later fragment", &[(21, 0x10)], 0, DropReason::Fragment),
    ("TTL 0", &[(22, 0)], 0, DropReason::TtlExpired),
    ("IP options", &[(14, 0x46)], 0, DropReason::IpOptions),
    ("another transport", &[(23, 132)], 0, DropReason::UnknownProtocol),
    ("a TCP header of 16 bytes", &[(46, 0x40)], 0, DropReason::BadTcpHeader),
    ("a TCP header beyond the packet", &[(46, 0xf0)], 0, DropReason::BadTcpHeader),
    ("no TCP flags", &[(47, 0)], 0, DropReason::BadTcpFlags),
    ("SYN and FIN", &[(47, 3)], 0, DropReason::BadTcpFlags),
    ("SYN and RST", &[(47, 6)], 0, DropReason::BadTcpFlags),
    ("FIN without ACK", &[(47, 1)], 0, DropReason::BadTcpFlags),
    ("source port 0", &[(34, 0), (35, 0)], 0, DropReason::ZeroPort),
    ("destination port 0", &[(36, 0), (37, 0)], 0, DropReason::ZeroPort),
];

const UDP_DAMAGE: &[Damage] = &[
    ("a UDP length of 7", &[(39, 7)], 0, DropReason::BadUdpLength),
    ("a UDP length beyond the packet", &[(39, 99)], 0, DropReason::BadUdpLength),
    ("source port 0", &[(34, 0), (35, 0)], 0, DropReason::ZeroPort),
];

const ICMP_DAMAGE: &[Damage] = &[("4 bytes of ICMP", &[(17, 24)], 0, DropReason::BadIcmp)];

fn damaged(mut frame: Vec<u8>, (_, bytes, length, _): &Damage) -> Vec<u8> {
    for (at, byte) in *bytes {
        frame[*at] = *byte;
    }
    match *length {
        0 => {}
        usize::MAX => frame.clear(),
        length => frame.truncate(length),
    }
    sealed(frame)
}

fn every_damage_has_its_reason(world: &mut World, frame: &build::Builder, table: &[Damage]) {
    let (port, frame) = world.dressed(frame.clone());
    for damage in table {
        let (what, _, _, reason) = damage;
        println!("{what}");
        world
            .ingress_raw(port, damaged(frame.clone(), damage))
            .expect_drop(*reason)
            .expect_counters(&[("received", 1), (reason.name(), 1)]);
    }
}

#[test]
fn whatever_is_malformed_is_dropped_for_the_exact_reason() {
    let mut world = world();
    let payload = b"0123456789abcdef";
    let syn = syn(CLIENT, FRONTEND).payload(payload);
    every_damage_has_its_reason(&mut world, &syn, TCP_DAMAGE);
    every_damage_has_its_reason(&mut world, &udp(CLIENT, FRONTEND).payload(payload), UDP_DAMAGE);
    let ping = build::icmp_echo(*at(CLIENT).ip(), *at(FRONTEND).ip(), 1, 1);
    every_damage_has_its_reason(&mut world, &ping, ICMP_DAMAGE);
    let (port, mut frame) = world.dressed(syn);
    frame[24] ^= 1;
    world.ingress_raw(port, frame).expect_drop(DropReason::BadIpChecksum);
    assert_eq!(world.flows().len(), 0);
}

#[test]
fn on_a_tagged_port_a_malformed_link_header_has_its_own_reason_too() {
    let mut world = tagged_world();
    let (port, frame) = world.dressed(syn(CLIENT, FRONTEND));
    let with = |bytes: &[(usize, u8)]| {
        let mut frame = frame.clone();
        for (at, byte) in bytes {
            frame[*at] = *byte;
        }
        frame
    };
    world.ingress_raw(port, frame[..9].to_vec()).expect_drop(DropReason::Truncated);
    world.ingress_raw(port, frame[..15].to_vec()).expect_drop(DropReason::Truncated);
    world.ingress_raw(port, with(&[(16, 0x81), (17, 0)])).expect_drop(DropReason::DoubleTag);
    world.ingress_raw(port, with(&[(6, 0x01)])).expect_drop(DropReason::BadSourceMac);
    world.ingress_raw(port, with(&[(14, 0x0f), (15, 0xff)])).expect_drop(DropReason::VlanMismatch);
}

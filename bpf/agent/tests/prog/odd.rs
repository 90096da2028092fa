//! Frames that are cut short, broken, in pieces, or unusual.

use spillway_node::layout::WAY_PEER;

use crate::frame::{ACK, Frame, SYN, tcp, udp};
use crate::world::{ETH0_MAC, Hook, POD_HOST_MAC, POD_MAC, Spec, WORLD_MAC, World};

const V4: [&str; 3] = ["172.26.50.180:10000", "172.26.50.101:30645", "10.0.0.72:80"];
const V6: [&str; 3] = ["[2001:db8:50::180]:10000", "[2001:db8:50::101]:30645", "[fd00::72]:80"];

const HOOKS: [Hook; 4] = [Hook::FromNetdev, Hook::ToNetdev, Hook::FromContainer, Hook::ToContainer];

fn from_world(frame: Frame) -> Frame {
    frame.macs(ETH0_MAC, WORLD_MAC)
}

fn serving() -> World {
    let mut world = World::new();
    world.way(WAY_PEER);
    for [_, frontend, backend] in [V4, V6] {
        world.serve(Spec::node_port(frontend), &[backend]);
        world.serve(Spec::node_port(frontend).udp(), &[backend]);
        world.serve(Spec::cluster_ip(frontend), &[backend]);
    }
    world
}

fn delivered(frame: &Frame, ends: [&str; 3]) -> Frame {
    frame.translated(ends[0], ends[2]).hops(63).macs(POD_MAC, POD_HOST_MAC)
}

#[test]
fn a_frame_that_is_cut_anywhere_is_left_to_the_stack() {
    let mut world = serving();
    for ([client, frontend, _], headers) in [(V4, 34), (V6, 54)] {
        for frame in [tcp(client, frontend, SYN), udp(client, frontend).payload(&[])] {
            let bytes = from_world(frame).bytes();
            // The kernel runs no program over less than an IP header.
            for end in headers..bytes.len() {
                for hook in HOOKS {
                    world.run_bytes(hook, &bytes[..end], |_| {}).untouched_bytes(&bytes[..end]);
                }
            }
        }
    }
    assert_eq!(world.rows(), (0, 0));
}

#[test]
fn headers_that_lie_are_left_to_the_stack() {
    let mut world = serving();
    let lies_v4: [(usize, u8); 5] = [
        (14, 0x44), // a header of 16 octets
        (14, 0x65), // version 6
        (14, 0x4f), // 60 octets of header, with nothing left for TCP
        (17, 19),   // shorter than its header
        (17, 39),   // shorter than TCP's
    ];
    for (at, byte) in lies_v4 {
        let mut bytes = from_world(tcp(V4[0], V4[1], SYN)).bytes();
        bytes[at] = byte;
        world.run_bytes(Hook::FromNetdev, &bytes, |_| {}).untouched_bytes(&bytes);
    }
    for (at, byte) in [(14, 0x40), (19, 19), (18, 1), (20, 59), (20, 50)] {
        let mut bytes = from_world(tcp(V6[0], V6[1], SYN)).bytes();
        bytes[at] = byte;
        world.run_bytes(Hook::FromNetdev, &bytes, |_| {}).untouched_bytes(&bytes);
    }
}

#[test]
fn padding_of_a_short_frame_is_not_part_of_the_packet() {
    let mut world = serving();
    let asked = from_world(tcp(V4[0], V4[1], SYN)).padding(6);
    world.run(Hook::FromNetdev, &asked).redirected_as(&delivered(&asked, V4));
    // A packet of 20 octets, after which something that looks like TCP follows.
    let mut bytes = asked.bytes();
    bytes[16..18].copy_from_slice(&[0, 20]);
    world.run_bytes(Hook::FromNetdev, &bytes, |_| {}).untouched_bytes(&bytes);
}

#[test]
fn ip_options_and_extension_headers_stay_where_they_are() {
    let mut world = serving();
    // Router alert (RFC 2113); two octets of padding in a header of destination options.
    let asked = from_world(tcp(V4[0], V4[1], SYN)).options(&[0x94, 4, 0, 0]);
    world.run(Hook::FromNetdev, &asked).redirected_as(&delivered(&asked, V4));
    let asked = from_world(udp(V6[0], V6[1])).options(&[0, 1, 4, 0, 0, 0, 0]);
    world.run(Hook::FromNetdev, &asked).redirected_as(&delivered(&asked, V6));
}

#[test]
fn a_vlan_is_none_of_ours() {
    let mut world = serving();
    let tagged = from_world(tcp(V4[0], V4[1], SYN)).vlan(5);
    for hook in HOOKS {
        world.run(hook, &tagged).untouched(&tagged);
    }
}

#[test]
fn other_protocols_are_none_of_ours() {
    let mut world = serving();
    let mut arp = from_world(tcp(V4[0], V4[1], SYN)).bytes();
    arp[12..14].copy_from_slice(&[8, 6]);
    let mut icmp = from_world(tcp(V4[0], V4[1], SYN)).bytes();
    icmp[23] = 1;
    let mut sctp = from_world(tcp(V6[0], V6[1], SYN)).bytes();
    sctp[20] = 132;
    for bytes in [arp, icmp, sctp] {
        for hook in HOOKS {
            world.run_bytes(hook, &bytes, |_| {}).untouched_bytes(&bytes);
        }
    }
}

#[test]
fn the_pieces_of_a_packet_take_the_way_of_the_first() {
    let mut world = serving();
    for ends in [V4, V6] {
        let whole = from_world(udp(ends[0], ends[1])).payload(&[9; 40]);
        let first = whole.clone().piece(77, 0, true);
        let last = whole.clone().piece(77, 16, false);
        world.run(Hook::FromNetdev, &first).redirected_as(&delivered(&first, ends));
        world.run(Hook::FromNetdev, &last).redirected_as(&delivered(&last, ends));

        let answer = whole.translated(ends[2], ends[0]).macs(POD_HOST_MAC, POD_MAC);
        for piece in [answer.clone().piece(88, 0, true), answer.clone().piece(88, 16, false)] {
            world
                .run(Hook::FromContainer, &piece)
                .redirected_as(&piece.translated(ends[1], ends[0]).hops(63));
        }
    }
}

#[test]
fn a_piece_whose_first_has_not_been_seen_is_untouched() {
    let mut world = serving();
    for ends in [V4, V6] {
        let whole = from_world(udp(ends[0], ends[1])).payload(&[9; 40]);
        let first = whole.clone().piece(77, 0, true);
        world.run(Hook::FromNetdev, &first);
        let other = whole.clone().piece(78, 16, false);
        world.run(Hook::FromNetdev, &other).untouched(&other);
    }
}

#[test]
fn a_later_piece_of_a_tcp_packet_opens_nothing() {
    let mut world = serving();
    let whole = from_world(tcp(V4[0], V4[1], ACK)).payload(&[9; 40]);
    let stray = whole.clone().piece(5, 0, true);
    // The first piece must have all of the TCP header (RFC 1858); 16 octets are not enough.
    world.run(Hook::FromNetdev, &stray).untouched(&stray);
    let later = whole.piece(5, 16, false);
    world.run(Hook::FromNetdev, &later).untouched(&later);
}

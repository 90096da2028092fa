//! NodePorts whose backend is on this node: the client's address stays. Past the stack or by it, by the device's way.

use spillway_lb::verdict::DropReason;
use spillway_node::layout::{CONNTRACK_PASS, WAY_NEIGHBOR, WAY_PASS, WAY_PEER};

use crate::frame::{ACK, Frame, SYN, tcp, udp};
use crate::world::{
    ETH0_MAC, Hook, POD_HOST_MAC, POD_MAC, Spec, WORLD_MAC, World, command, original, reply,
};

const V4: [&str; 3] = ["172.26.50.180:10000", "172.26.50.101:30645", "10.0.0.72:80"];
const V6: [&str; 3] = ["[2001:db8:50::180]:10000", "[2001:db8:50::101]:30645", "[fd00::72]:80"];

fn from_world(frame: Frame) -> Frame {
    frame.macs(ETH0_MAC, WORLD_MAC)
}

fn from_pod(frame: Frame) -> Frame {
    frame.macs(POD_HOST_MAC, POD_MAC)
}

fn serving(way: u8) -> World {
    let mut world = World::new();
    world.way(way);
    for [_, frontend, backend] in [V4, V6] {
        world.serve(Spec::node_port(frontend), &[backend]);
        world.serve(Spec::node_port(frontend).udp(), &[backend]);
    }
    world
}

/// Every packet of a flow that is redirected, both ways.
fn is_redirected(way: u8, macs: impl Fn(Frame) -> Frame) {
    let mut world = serving(way);
    for [client, frontend, backend] in [V4, V6] {
        for asked in [tcp(client, frontend, SYN), udp(client, frontend)] {
            let asked = from_world(asked);
            let delivered = macs(asked.translated(client, backend).hops(63));
            world.run(Hook::FromNetdev, &asked).redirected_as(&delivered);
            let answered = from_pod(delivered.answer(SYN | ACK));
            world
                .run(Hook::FromContainer, &answered)
                .redirected_as(&answered.translated(frontend, client).hops(63));
            world.run(Hook::ToNetdev, &answered).untouched(&answered);
        }
    }
    assert_eq!(world.rows(), (8, 0), "no port is lent");
}

#[test]
fn a_pod_behind_a_veth_pair_gets_frames_with_its_mac_addresses() {
    is_redirected(WAY_PEER, |frame| frame.macs(POD_MAC, POD_HOST_MAC));
}

#[test]
fn a_pod_behind_a_device_gets_frames_by_its_neighbor_table() {
    is_redirected(WAY_NEIGHBOR, |frame| frame);
}

#[test]
fn a_pod_whose_mac_address_is_not_known_yet_is_asked_for_it() {
    let mut world = serving(WAY_PEER);
    command("ip", &["neighbor", "delete", "10.0.0.72", "dev", "sw-pod"]);
    let asked = from_world(tcp(V4[0], V4[1], SYN));
    // By the neighbor table, so that the frame is as it came.
    world.run(Hook::FromNetdev, &asked).redirected_as(&asked.translated(V4[0], V4[2]).hops(63));
}

#[test]
fn a_pod_that_only_the_stack_reaches_gets_packets_by_it() {
    let mut world = serving(WAY_PASS);
    for [client, frontend, backend] in [V4, V6] {
        for asked in [tcp(client, frontend, SYN), udp(client, frontend)] {
            let asked = from_world(asked);
            let delivered = asked.translated(client, backend);
            world.run(Hook::FromNetdev, &asked).passed_as(&delivered);
            let key = original(asked.protocol, client, frontend);
            assert_eq!(world.conntrack(&key).unwrap().flags, CONNTRACK_PASS);

            // What leaves the pod is left to the stack, and undone where it leaves the node.
            let answered = from_pod(delivered.answer(SYN | ACK));
            world.run(Hook::FromContainer, &answered).untouched(&answered);
            let leaving = answered.clone().hops(63);
            world.run(Hook::ToNetdev, &leaving).passed_as(&leaving.translated(frontend, client));
            assert_eq!(world.conntrack(&key).unwrap().flags & !CONNTRACK_PASS, 1, "seen reply");
        }
    }
    assert_eq!(world.counter("forward"), 4);
    assert_eq!(world.counter("reply"), 4);
}

#[test]
fn the_stack_decides_on_packets_at_their_last_hop_that_it_delivers() {
    let mut world = serving(WAY_PASS);
    let asked = from_world(tcp(V4[0], V4[1], SYN)).hops(1);
    world.run(Hook::FromNetdev, &asked).passed_as(&asked.translated(V4[0], V4[2]));
}

#[test]
fn a_redirected_packet_at_its_last_hop_is_dropped() {
    let mut world = serving(WAY_PEER);
    let asked = from_world(tcp(V4[0], V4[1], SYN)).hops(1);
    world.run(Hook::FromNetdev, &asked).dropped(DropReason::TtlExpired);
    assert_eq!(world.rows(), (0, 0));
}

#[test]
fn a_pod_behind_a_device_that_nobody_has_told_of_is_reached_by_the_stack() {
    let mut world = World::new();
    world.serve(Spec::node_port(V4[1]), &[V4[2]]);
    let asked = from_world(tcp(V4[0], V4[1], SYN));
    world.run(Hook::FromNetdev, &asked).passed_as(&asked.translated(V4[0], V4[2]));
}

#[test]
fn a_pod_of_the_hosts_network_is_reached_by_the_stack() {
    let mut world = World::new();
    let backends = world.backends(7, &["172.26.50.101:8080"]);
    world.change_backend(backends[0], |row| row.flags = spillway_node::layout::BACKEND_LOCAL);
    world.frontend(Spec::node_port(V4[1]), &backends);
    let asked = from_world(tcp(V4[0], V4[1], SYN));
    let delivered = asked.translated(V4[0], "172.26.50.101:8080");
    world.run(Hook::FromNetdev, &asked).passed_as(&delivered);
    let answered = delivered.answer(SYN | ACK);
    world.run(Hook::ToNetdev, &answered).passed_as(&answered.translated(V4[1], V4[0]));
}

#[test]
fn a_flow_whose_device_is_reached_otherwise_now_follows() {
    let mut world = serving(WAY_PEER);
    let asked = from_world(tcp(V4[0], V4[1], SYN));
    world.run(Hook::FromNetdev, &asked);
    world.way(WAY_PASS);
    let more = from_world(tcp(V4[0], V4[1], ACK));
    world.run(Hook::FromNetdev, &more).passed_as(&more.translated(V4[0], V4[2]));
    let answered = from_pod(tcp(V4[2], V4[0], ACK));
    world.run(Hook::FromContainer, &answered).untouched(&answered);
    world.run(Hook::ToNetdev, &answered).passed_as(&answered.translated(V4[1], V4[0]));
}

#[test]
fn a_local_flow_without_its_reply_row_gets_it_back_by_the_next_packet() {
    for way in [WAY_PEER, WAY_PASS] {
        let mut world = serving(way);
        let asked = from_world(tcp(V4[0], V4[1], SYN));
        world.run(Hook::FromNetdev, &asked);
        let back = reply(6, V4[2], V4[0]);
        let row = world.conntrack(&back).unwrap();
        world.forget_conntrack(&back);
        world.run(Hook::FromNetdev, &from_world(tcp(V4[0], V4[1], ACK)));
        let healed = world.conntrack(&back).unwrap();
        assert_eq!(
            (healed.address, healed.port, healed.flags, healed.backend),
            (row.address, row.port, row.flags, row.backend)
        );
    }
}

#[test]
fn what_else_leaves_a_pod_is_untouched() {
    let mut world = serving(WAY_PEER);
    let frame = from_pod(tcp(V4[2], "192.0.2.1:443", SYN));
    world.run(Hook::FromContainer, &frame).untouched(&frame);
    world.run(Hook::ToNetdev, &frame).untouched(&frame);
    world.run(Hook::ToContainer, &frame).untouched(&frame);
}

//! How flows begin again, end, and outlive their backends.

use spillway_lb::verdict::DropReason;
use spillway_node::layout::{
    BACKEND_FREE, BACKEND_TERMINATING, CONNTRACK_CLOSED, CONNTRACK_CLOSING, FRONTEND_TERMINATING,
    WAY_PEER,
};

use crate::frame::{ACK, FIN, Frame, RST, SYN, tcp, udp};
use crate::world::{
    ETH0_MAC, Hook, POD_HOST_MAC, POD_MAC, Spec, WORLD_MAC, World, original, reply,
};

const CLIENT: &str = "172.26.50.180:10000";
const FRONTEND: &str = "172.26.50.101:30645";
const POD: &str = "10.0.0.72:80";
const OTHER: &str = "10.0.0.73:80";

fn asked(flags: u8) -> Frame {
    tcp(CLIENT, FRONTEND, flags).macs(ETH0_MAC, WORLD_MAC)
}

fn answered(flags: u8) -> Frame {
    tcp(POD, CLIENT, flags).macs(POD_HOST_MAC, POD_MAC)
}

/// A flow with the first backend; new ones would get the second.
struct Flow {
    world: World,
    first: u32,
    second: u32,
}

fn spec(protocol: u8) -> Spec {
    let spec = Spec::node_port(FRONTEND);
    if protocol == 6 { spec } else { spec.udp() }
}

impl Flow {
    fn open(protocol: u8) -> Self {
        let mut world = World::new();
        world.way(WAY_PEER);
        let rows = world.backends(7, &[POD, OTHER]);
        world.frontend(spec(protocol), &rows[..1]);
        let mut flow = Self { world, first: rows[0], second: rows[1] };
        flow.ask(&if protocol == 6 {
            asked(SYN)
        } else {
            udp(CLIENT, FRONTEND).macs(ETH0_MAC, WORLD_MAC)
        });
        assert_eq!(flow.backend(protocol), flow.first);
        flow.world.frontend(spec(protocol), &rows[1..]);
        flow
    }

    fn ask(&mut self, frame: &Frame) {
        self.world.run(Hook::FromNetdev, frame);
    }

    fn answer(&mut self, flags: u8) {
        self.world.run(Hook::FromContainer, &answered(flags));
    }

    fn backend(&mut self, protocol: u8) -> u32 {
        self.world.conntrack(&original(protocol, CLIENT, FRONTEND)).unwrap().backend
    }

    fn flags(&mut self) -> (u16, u16) {
        let ends = CONNTRACK_CLOSING | CONNTRACK_CLOSED;
        (
            self.world.conntrack(&original(6, CLIENT, FRONTEND)).unwrap().flags & ends,
            self.world.conntrack(&reply(6, POD, CLIENT)).unwrap().flags & ends,
        )
    }
}

#[test]
fn a_repeated_syn_meets_the_same_backend() {
    let mut flow = Flow::open(6);
    flow.ask(&asked(SYN));
    assert_eq!(flow.backend(6), flow.first);
}

#[test]
fn a_flow_is_closing_on_the_side_that_has_finished_and_closed_after_both() {
    let mut flow = Flow::open(6);
    flow.answer(SYN | ACK);
    flow.ask(&asked(ACK));
    assert_eq!(flow.flags(), (0, 0));
    flow.ask(&asked(FIN | ACK));
    assert_eq!(flow.flags(), (CONNTRACK_CLOSING, 0));
    flow.ask(&asked(FIN | ACK)); // once more, which is not the other side's
    assert_eq!(flow.flags(), (CONNTRACK_CLOSING, 0));
    flow.answer(FIN | ACK);
    let both = CONNTRACK_CLOSING | CONNTRACK_CLOSED;
    assert_eq!(flow.flags(), (CONNTRACK_CLOSING | CONNTRACK_CLOSED, both));
}

#[test]
fn a_reset_closes_a_flow_from_either_side() {
    {
        let mut flow = Flow::open(6);
        flow.ask(&asked(RST));
        assert_eq!(flow.flags().1, CONNTRACK_CLOSED);
    }
    let mut flow = Flow::open(6);
    flow.answer(RST | ACK);
    assert_eq!(flow.flags().0, CONNTRACK_CLOSED);
}

#[test]
fn a_syn_after_the_end_chooses_anew() {
    for end in [FIN | ACK, RST] {
        let mut flow = Flow::open(6);
        flow.ask(&asked(end));
        flow.ask(&asked(ACK));
        assert_eq!(flow.backend(6), flow.first, "the last packets go where the others went");
        flow.ask(&asked(SYN));
        assert_eq!(flow.backend(6), flow.second);
        assert_eq!(flow.world.conntrack(&reply(6, POD, CLIENT)), None, "the old flow's row");
        assert!(flow.world.conntrack(&reply(6, OTHER, CLIENT)).is_some());
    }
}

#[test]
fn a_syn_after_the_backends_end_chooses_anew() {
    let mut flow = Flow::open(6);
    flow.answer(FIN | ACK);
    flow.ask(&asked(SYN));
    assert_eq!(flow.backend(6), flow.second);
}

#[test]
fn a_flow_outlives_the_row_of_its_backend_but_a_syn_does_not_meet_it() {
    let mut flow = Flow::open(6);
    flow.world.change_backend(flow.first, |row| row.state = BACKEND_FREE);
    let more = asked(ACK);
    let delivered = more.translated(CLIENT, POD).hops(63).macs(POD_MAC, POD_HOST_MAC);
    flow.world.run(Hook::FromNetdev, &more).redirected_as(&delivered);
    flow.ask(&asked(SYN));
    assert_eq!(flow.backend(6), flow.second);
}

#[test]
fn a_row_that_another_services_backend_has_got_is_not_the_flows() {
    let mut flow = Flow::open(6);
    flow.world.change_backend(flow.first, |row| row.service = 8);
    flow.ask(&asked(SYN));
    assert_eq!(flow.backend(6), flow.second);
}

#[test]
fn a_syn_does_not_meet_a_backend_that_terminates_unless_all_do() {
    let mut flow = Flow::open(6);
    flow.world.change_backend(flow.first, |row| row.state = BACKEND_TERMINATING);
    flow.world.frontend(spec(6).row(|row| row.flags = FRONTEND_TERMINATING), &[flow.second]);
    flow.ask(&asked(SYN));
    assert_eq!(flow.backend(6), flow.first);
    flow.world.frontend(spec(6), &[flow.second]);
    flow.ask(&asked(SYN));
    assert_eq!(flow.backend(6), flow.second);
}

#[test]
fn a_udp_client_stays_until_the_row_of_its_backend_is_gone() {
    let mut flow = Flow::open(17);
    let asked = udp(CLIENT, FRONTEND).macs(ETH0_MAC, WORLD_MAC);
    flow.world.change_backend(flow.first, |row| row.state = BACKEND_TERMINATING);
    flow.ask(&asked);
    assert_eq!(flow.backend(17), flow.first);
    flow.world.change_backend(flow.first, |row| row.state = BACKEND_FREE);
    flow.ask(&asked);
    assert_eq!(flow.backend(17), flow.second);
}

#[test]
fn a_flow_ends_with_its_frontend() {
    let mut flow = Flow::open(6);
    flow.world.remove_frontend(&spec(6));
    let more = asked(ACK);
    flow.world.run(Hook::FromNetdev, &more).untouched(&more);
}

#[test]
fn the_same_client_port_by_two_frontends_is_one_flow_too_many_for_one_backend() {
    let mut flow = Flow::open(6);
    let other = "172.26.50.101:30646";
    flow.world.frontend(Spec::node_port(other), &[flow.first]);
    let asked = tcp(CLIENT, other, SYN).macs(ETH0_MAC, WORLD_MAC);
    flow.world.run(Hook::FromNetdev, &asked).dropped(DropReason::FlowCollision);
    assert_eq!(flow.world.rows(), (2, 0));

    // It has its place when the first one ends, or has been silent for long.
    flow.world.change_conntrack(&reply(6, POD, CLIENT), |row| row.last_seen_ns = 0);
    flow.ask(&asked);
    let row = flow.world.conntrack(&reply(6, POD, CLIENT)).unwrap();
    assert_eq!(u16::from(row.port), 30646);
}

#[test]
fn packets_and_octets_are_counted_for_each_direction() {
    let mut flow = Flow::open(6);
    flow.answer(SYN | ACK);
    flow.ask(&asked(ACK).payload(b"0123456789"));
    let row = flow.world.conntrack(&original(6, CLIENT, FRONTEND)).unwrap();
    assert_eq!((row.packets, row.bytes), (2, 54 + 64));
    let row = flow.world.conntrack(&reply(6, POD, CLIENT)).unwrap();
    assert_eq!((row.packets, row.bytes), (1, 54));
}

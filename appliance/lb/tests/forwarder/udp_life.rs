//! UDP: two timers, and checksums that a sender need not have computed.

use std::time::Duration;

use spillway_lb::conntrack::FlowState;

use crate::world::*;

const CLIENT: &str = "172.26.50.180:5000";
const FRONTEND: &str = "172.26.50.101:53";
const BACKEND: &str = "10.0.1.72:5353";

const SECOND: Duration = Duration::from_secs(1);

fn world() -> World {
    let dns = service("dns").udp(FRONTEND).tcp(FRONTEND).backend(BACKEND);
    Setup::new().service(dns).snat("172.26.50.101", 31210..=31210).world()
}

#[test]
fn a_question_without_an_answer_is_forgotten_after_half_a_minute() {
    let mut world = world();
    let flow = world.ask(CLIENT, FRONTEND);
    assert_eq!(world.state(flow), Some(FlowState::UdpUnreplied));
    world.after(20 * SECOND);
    // Asking again prolongs it, and does not make it a conversation.
    world.ingress(udp(CLIENT, FRONTEND)).expect_egress(udp(flow.snat, BACKEND));
    world.after(30 * SECOND);
    assert_eq!(world.state(flow), Some(FlowState::UdpUnreplied));
    world.after(SECOND);
    assert_eq!((world.state(flow), world.lent()), (None, 0));
}

#[test]
fn an_answered_question_is_remembered_for_five_minutes() {
    let mut world = world();
    let flow = world.ask(CLIENT, FRONTEND);
    world.ingress(udp(BACKEND, flow.snat)).expect_egress(udp(FRONTEND, CLIENT));
    assert_eq!(world.state(flow), Some(FlowState::UdpReplied));
    world.after(299 * SECOND);
    world.ingress(udp(CLIENT, FRONTEND)).expect_egress(udp(flow.snat, BACKEND));
    world.after(300 * SECOND);
    assert_eq!(world.state(flow), Some(FlowState::UdpReplied));
    world.after(SECOND);
    assert_eq!((world.state(flow), world.lent()), (None, 0));
}

#[test]
fn no_checksum_stays_no_checksum_in_both_directions() {
    let mut world = world();
    let flow = world.ask(CLIENT, FRONTEND);
    let there = world.ingress(udp(CLIENT, FRONTEND).without_udp_checksum());
    assert_eq!(there.sent()[40..42], [0, 0]);
    there.expect_egress(udp(flow.snat, BACKEND).without_udp_checksum());
    let back = world.ingress(udp(BACKEND, flow.snat).without_udp_checksum());
    assert_eq!(back.sent()[40..42], [0, 0]);
    back.expect_egress(udp(FRONTEND, CLIENT).without_udp_checksum());
}

#[test]
fn a_checksum_that_comes_out_as_zero_is_never_sent_as_none() {
    let mut world = world();
    let flow = world.ask(CLIENT, FRONTEND);
    // A payload for every sum: one of them makes the translated checksum zero.
    let mut ones = 0;
    for word in 0..=u16::MAX {
        let outcome = world.ingress(udp(CLIENT, FRONTEND).payload(&word.to_be_bytes()));
        let sent = outcome.sent();
        assert_ne!(sent[40..42], [0, 0], "payload {word:04x}");
        if sent[40..42] == [0xff, 0xff] {
            ones += 1;
            outcome.expect_egress(udp(flow.snat, BACKEND).payload(&word.to_be_bytes()));
        }
    }
    assert_eq!(ones, 1);
}

#[test]
fn one_port_serves_both_protocols_and_many_clients_need_many_ports() {
    let mut world = world();
    let datagrams = world.ask(CLIENT, FRONTEND);
    // The single port is free towards the same backend by TCP.
    let segments = world.establish(CLIENT, FRONTEND);
    assert_eq!(datagrams.snat, segments.snat);
    world.ingress(udp("172.26.50.181:5000", FRONTEND)).refusal();
    assert_eq!(world.lent(), 2);
}

//! A TCP connection from its first segment to the next one of the same client.

use std::time::Duration;

use spillway_lb::conntrack::FlowState;

use crate::world::*;

const CLIENT: &str = "172.26.50.180:10000";
const FRONTEND: &str = "172.26.50.101:30645";
const BACKEND: &str = "10.0.1.72:80";

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

fn web() -> ServiceSetup {
    service("web").tcp(FRONTEND).backend(BACKEND)
}

/// A world whose only SNAT port makes it seen when one is given back too late, or twice.
fn narrow() -> World {
    Setup::new().service(web()).snat("172.26.50.101", 31210..=31210).world()
}

#[test]
fn a_retransmitted_syn_keeps_its_flow() {
    let mut world = narrow();
    let flow = world.open(CLIENT, FRONTEND);
    for _ in 0..5 {
        world.after(SECOND);
        world
            .ingress(syn(CLIENT, FRONTEND))
            .expect_egress(syn(flow.snat, flow.backend))
            .expect_counters(&[("received", 1), ("transmitted", 1)]);
    }
    assert_eq!(world.state(flow), Some(FlowState::SynSent));
}

#[test]
fn a_handshake_that_is_not_completed_goes_after_a_minute() {
    let mut world = narrow();
    let flow = world.open(CLIENT, FRONTEND);
    world.backend_says(flow, SYN_ACK);
    world.after(60 * SECOND);
    assert_eq!(world.state(flow), Some(FlowState::SynReceived));
    world.after(SECOND);
    assert_eq!((world.state(flow), world.lent()), (None, 0));
}

#[test]
fn an_established_flow_lives_by_its_timer_and_a_packet_in_time_keeps_it() {
    let mut world = narrow();
    let flow = world.establish(CLIENT, FRONTEND);
    for _ in 0..3 {
        world.after(2 * HOUR);
        world.backend_says(flow, ACK);
    }
    world.after(Duration::from_mins(124));
    assert_eq!(world.state(flow), Some(FlowState::Established));
    world.after(SECOND);
    assert_eq!((world.state(flow), world.lent()), (None, 0));
}

#[test]
fn a_half_closed_connection_lives_by_the_established_timer_and_carries_data() {
    for client_first in [true, false] {
        let mut world = narrow();
        let flow = world.establish(CLIENT, FRONTEND);
        if client_first {
            world.client_says(flow, FIN_ACK);
        } else {
            world.backend_says(flow, FIN_ACK);
        }
        for _ in 0..3 {
            world.after(2 * HOUR);
            world.backend_says(flow, ACK);
            world.client_says(flow, ACK);
        }
        let state = if client_first { FlowState::FinClient } else { FlowState::FinBackend };
        assert_eq!(world.state(flow), Some(state));
    }
}

/// Ends a connection in each way that a connection can end.
fn endings() -> [fn(&mut World, Flow); 4] {
    [
        |world, flow| {
            world.client_says(flow, FIN_ACK).backend_says(flow, FIN_ACK).client_says(flow, ACK);
        },
        |world, flow| {
            world.backend_says(flow, FIN_ACK).client_says(flow, FIN_ACK).backend_says(flow, ACK);
        },
        |world, flow| {
            world.client_says(flow, RST);
        },
        |world, flow| {
            world.backend_says(flow, RST_ACK);
        },
    ]
}

#[test]
fn a_closed_connections_port_rests_for_a_minute_and_comes_back() {
    for end in endings() {
        let mut world = narrow();
        let flow = world.establish(CLIENT, FRONTEND);
        end(&mut world, flow);
        assert!(world.state(flow).is_some_and(FlowState::is_over));
        world.after(60 * SECOND);
        assert_eq!(world.lent(), 1, "it rests");
        world.ingress(syn("172.26.50.181:1", FRONTEND)).refusal();
        world.after(SECOND);
        assert_eq!((world.flows().len(), world.lent()), (0, 0));
        world.establish("172.26.50.181:1", FRONTEND);
    }
}

#[test]
fn a_syn_on_a_connection_that_is_over_makes_a_new_flow_with_that_same_packet() {
    for end in endings() {
        let mut world = narrow();
        for _ in 0..10 {
            let flow = world.establish(CLIENT, FRONTEND);
            end(&mut world, flow);
            // The only port was given back before it was lent again, and given back once.
            world
                .ingress(syn(CLIENT, FRONTEND).seq_ack(99, 0))
                .expect_egress(syn(flow.snat, BACKEND).seq_ack(99, 0))
                .expect_counters(&[
                    ("received", 1),
                    ("transmitted", 1),
                    ("flows_created", 1),
                    ("flows_expired", 1),
                ]);
            assert_eq!(world.state(flow), Some(FlowState::SynSent));
            assert_eq!(world.lent(), 1);
            world.client_says(flow, RST);
        }
        // Every wheel entry of the old flows is gone with them.
        world.after(61 * SECOND);
        assert_eq!((world.flows().len(), world.lent()), (0, 0));
    }
}

#[test]
fn a_syn_on_a_connection_that_is_over_may_get_another_backend() {
    let mut world = World::with(web());
    let flow = world.establish(CLIENT, FRONTEND);
    world.client_says(flow, RST);
    world.backend_down(BACKEND).change(|model| {
        first_service(model).backends.push(backend("10.0.1.73:80", 1));
    });
    let again = world.open(CLIENT, FRONTEND);
    assert_eq!(again.backend, at("10.0.1.73:80"));
    assert_eq!(world.flows().len(), 1);
}

#[test]
fn a_syn_on_a_connection_that_is_over_is_refused_aloud_when_nobody_serves() {
    let mut world = narrow();
    let flow = world.establish(CLIENT, FRONTEND);
    world.client_says(flow, RST).backend_down(BACKEND);
    world
        .ingress(syn(CLIENT, FRONTEND))
        .expect_refusal(spillway_lb::verdict::DropReason::NoBackend);
    assert_eq!((world.flows().len(), world.lent()), (0, 0), "and the old flow is gone for good");
}

#[test]
fn a_syn_on_a_living_connection_goes_to_its_backend() {
    let mut world = World::with(web().backend("10.0.1.73:80"));
    for step in 0..4 {
        let flow = world.establish(at(&format!("172.26.50.180:{}", 10_000 + step)), FRONTEND);
        if step & 1 == 1 {
            world.client_says(flow, FIN_ACK);
        }
        world.client_says(flow, SYN);
    }
    assert_eq!(world.flows().len(), 4);
}

#[test]
fn a_refused_connection_can_be_tried_again_at_once() {
    let mut world = narrow();
    for _ in 0..5 {
        let flow = world.open(CLIENT, FRONTEND);
        world.backend_says(flow, RST_ACK);
        assert_eq!(world.state(flow), Some(FlowState::Reset));
    }
}

#[test]
fn a_forged_reset_costs_a_connection_nothing() {
    let mut world = narrow();
    let flow = world.establish(CLIENT, FRONTEND);
    // The backend does not believe it (RFC 5961) and says so.
    world.client_says(flow, RST).backend_says(flow, ACK);
    assert_eq!(world.state(flow), Some(FlowState::Established));
    world.after(HOUR);
    world.client_says(flow, ACK).backend_says(flow, ACK);
    // It still ends when both sides end it.
    world.client_says(flow, RST).backend_says(flow, FIN_ACK).client_says(flow, FIN_ACK);
    assert_eq!(world.state(flow), Some(FlowState::Closing));
}

#[test]
fn late_segments_of_a_closed_connection_still_reach_the_other_side() {
    let mut world = narrow();
    let flow = world.establish(CLIENT, FRONTEND);
    world.client_says(flow, FIN_ACK).backend_says(flow, FIN_ACK).client_says(flow, ACK);
    // The last ACK was lost: the backend sends its FIN again.
    world.after(30 * SECOND);
    world.backend_says(flow, FIN_ACK).client_says(flow, ACK);
    assert_eq!(world.state(flow), Some(FlowState::Closing));
}

#[test]
fn a_syn_of_the_backend_never_replaces_a_flow() {
    let mut world = narrow();
    let flow = world.establish(CLIENT, FRONTEND);
    world.client_says(flow, RST);
    // Not even on a flow that is over: only a client can open one.
    world.backend_says(flow, SYN);
    assert_eq!(world.state(flow), Some(FlowState::Reset));
}

//! Saying no: aloud, correctly, and only where somebody may be told.

use spillway_lb::batch::{Batch, Frames, Verdicts};
use spillway_lb::forward::Origin;
use spillway_lb::ids::PortId;
use spillway_lb::verdict::{DropReason, Verdict};

use crate::world::*;

const CLIENT: &str = "172.26.50.180:10000";
const FRONTEND: &str = "172.26.50.101:30645";
const BACKEND: &str = "10.0.1.72:80";

fn dead(service: ServiceSetup) -> World {
    let mut world = World::with(service.backend(BACKEND));
    world.backend_down(BACKEND);
    world
}

fn web() -> ServiceSetup {
    service("web").tcp(FRONTEND).udp(FRONTEND)
}

#[test]
fn without_a_backend_a_syn_gets_the_reset_that_its_sender_accepts() {
    let mut world = dead(web());
    let outcome = world
        .ingress(syn(CLIENT, FRONTEND).seq_ack(0xffff_ffff, 0))
        .expect_refusal(DropReason::NoBackend)
        .expect_counters(&[
            ("received", 1),
            ("no-backend", 1),
            ("generated", 1),
            ("transmitted", 1),
        ]);
    let reset = RefusalFrame::Reset {
        from: at(FRONTEND),
        to: at(CLIENT),
        seq: 0,
        // The SYN counts as one (RFC 9293, 3.10.7.1), around the end of the numbers.
        ack: 0,
        flags: RST_ACK,
    };
    assert_eq!(outcome.refusal(), reset);
    assert_eq!(world.workers[0].service_counts()[0].refused, 1);
    assert_eq!(world.flows().len(), 0);
}

#[test]
fn the_data_of_a_refused_syn_is_acknowledged_too() {
    let mut world = dead(web());
    let fast_open = syn(CLIENT, FRONTEND).seq_ack(1000, 0).payload(b"early");
    let refusal = world.ingress(fast_open).refusal();
    let RefusalFrame::Reset { seq, ack, .. } = refusal else { panic!("{refusal:?}") };
    assert_eq!((seq, ack), (0, 1006));
}

#[test]
fn without_a_backend_a_datagram_gets_port_unreachable_with_its_own_header_in_it() {
    let mut world = dead(web());
    let datagram = udp(CLIENT, FRONTEND).payload(b"a long question").identification(0x4711);
    let sent = world.dressed(datagram.clone()).1;
    let outcome = world.ingress(datagram).expect_refusal(DropReason::NoBackend);
    let unreachable = RefusalFrame::PortUnreachable {
        from: *at(FRONTEND).ip(),
        to: *at(CLIENT).ip(),
        quote: sent[14..14 + 28].to_vec(),
    };
    assert_eq!(outcome.refusal(), unreachable);
}

#[test]
fn a_silent_service_tells_nobody() {
    let mut world = dead(web().silent());
    for frame in [syn(CLIENT, FRONTEND), udp(CLIENT, FRONTEND)] {
        world
            .ingress(frame)
            .expect_drop(DropReason::NoBackend)
            .expect_counters(&[("received", 1), ("no-backend", 1)]);
    }
    world.ingress(tcp(CLIENT, FRONTEND, ACK)).expect_drop(DropReason::NotSyn);
    assert_eq!(world.workers[0].service_counts()[0].refused, 2);
}

#[test]
fn a_service_that_has_no_backends_at_all_refuses() {
    let mut world = World::with(web().maglev());
    world.ingress(syn(CLIENT, FRONTEND)).expect_refusal(DropReason::NoBackend);
}

#[test]
fn a_segment_of_no_connection_is_reset_with_the_number_that_its_sender_expects() {
    let mut world = World::with(web().backend(BACKEND));
    for flags in [ACK, SYN_ACK, FIN_ACK] {
        let outcome = world
            .ingress(tcp(CLIENT, FRONTEND, flags).seq_ack(5, 0xdead_beef))
            .expect_refusal(DropReason::NotSyn);
        let reset = RefusalFrame::Reset {
            from: at(FRONTEND),
            to: at(CLIENT),
            seq: 0xdead_beef,
            ack: 0,
            flags: RST,
        };
        assert_eq!(outcome.refusal(), reset);
    }
    assert_eq!(world.flows().len(), 0);
}

#[test]
fn a_reset_is_never_answered() {
    let mut world = World::with(web().backend(BACKEND));
    for flags in [RST, RST_ACK] {
        world
            .ingress(tcp(CLIENT, FRONTEND, flags))
            .expect_drop(DropReason::NotSyn)
            .expect_counters(&[("received", 1), ("not-syn", 1)]);
    }
}

#[test]
fn refusals_carry_the_tag_of_the_port_that_they_leave_by() {
    let tagged = Setup::new().service(web()).vlans(Some(7), None);
    let mut world = tagged.world();
    let outcome = world.ingress(syn(CLIENT, FRONTEND)).expect_refusal(DropReason::NoBackend);
    let Fate::Refused(_, egress, frame) = &outcome.handled.fate else { panic!() };
    assert_eq!(egress.port, FRONT);
    assert_eq!(frame[..18], hex("0210ac1a32b4 02000000b000 81000007 0800"));
    assert_eq!(frame.len(), 18 + 40);
}

#[test]
fn a_backend_that_is_the_box_itself_is_sent_nothing() {
    let chained = service("chained").tcp(FRONTEND).backend("172.26.50.110:80");
    let target = service("target").tcp("172.26.50.110:80").backend(BACKEND);
    let mut world = Setup::new().service(chained).service(target).world();
    world.ingress(syn(CLIENT, FRONTEND)).expect_refusal(DropReason::NoBackend);
    world.ingress(syn(CLIENT, "172.26.50.110:80")).expect_counters(&[
        ("received", 1),
        ("transmitted", 1),
        ("flows_created", 1),
    ]);
}

#[test]
fn who_cannot_be_reached_is_told_nothing() {
    let mut world = Setup::new().service(web()).without_gateway().world();
    world.ingress(syn("203.0.113.9:1000", FRONTEND)).expect_drop(DropReason::NoBackend);
    world.ingress(syn(CLIENT, FRONTEND)).expect_refusal(DropReason::NoBackend);
    let ping =
        |from: &str| spillway_packet::build::icmp_echo(*at(from).ip(), *at(FRONTEND).ip(), 1, 1);
    world.ingress(ping("203.0.113.9:0")).expect_drop(DropReason::NoRoute);
    // A backend that cannot be reached is no better than none, but its packets say so.
    world.change(|model| first_service(model).backends.push(backend("203.0.113.80:80", 1)));
    world.ingress(syn(CLIENT, FRONTEND)).expect_drop(DropReason::NoRoute);
}

/// Buffers that are too small for an answer.
struct Tight(Frames);

impl Batch for Tight {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn port(&self, at: usize) -> PortId {
        self.0.port(at)
    }

    fn frame(&self, at: usize) -> &[u8] {
        self.0.frame(at)
    }

    fn frame_mut(&mut self, at: usize) -> &mut [u8] {
        self.0.frame_mut(at)
    }

    fn replace(&mut self, _: usize, _: &[u8]) -> bool {
        false
    }
}

#[test]
fn a_refusal_that_finds_no_room_is_a_silent_drop() {
    let mut world = dead(web());
    let frame = world.dressed(syn(CLIENT, FRONTEND));
    let mut burst = Tight(Frames { frames: vec![frame.clone()] });
    let (now, mut verdicts) = (world.now, Verdicts::new());
    world.workers[0].forward(now, Origin::Port, &mut burst, &mut verdicts);
    assert_eq!(verdicts[..], [Verdict::Drop(DropReason::NoBackend)]);
    assert_eq!(burst.0.frames, [frame]);
}

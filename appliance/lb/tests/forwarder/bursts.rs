//! Bursts: every frame its own verdict, in order, and one flow however many packets open it.

use spillway_lb::verdict::DropReason;
use spillway_packet::build::{self, Builder};

use crate::world::*;

const FRONTEND: &str = "172.26.50.101:30645";
const BACKEND: &str = "10.0.1.72:80";

fn web() -> ServiceSetup {
    service("web").tcp(FRONTEND).udp(FRONTEND).backend(BACKEND)
}

fn client(n: usize) -> std::net::SocketAddrV4 {
    at(&format!("198.51.100.7:{}", 10_000 + n))
}

impl World {
    fn burst(&mut self, frames: impl IntoIterator<Item = Builder>) -> Vec<Handled> {
        let frames = frames.into_iter().map(|frame| self.dressed(frame)).collect();
        let handled = self.burst_at(0, frames);
        self.assert_laws();
        handled
    }
}

#[track_caller]
fn ends_of(handled: &Handled) -> (std::net::SocketAddrV4, std::net::SocketAddrV4) {
    let Fate::Sent(_, frame) = &handled.fate else { panic!("{handled:?}") };
    from_to(tuple_of(frame))
}

#[test]
fn packets_of_one_new_flow_in_one_burst_make_one_flow() {
    for frame in [syn(client(0), FRONTEND), udp(client(0), FRONTEND)] {
        let mut world = World::with(web());
        let fates = world.burst(vec![frame; 64]);
        let first = ends_of(&fates[0]);
        assert!(fates.iter().all(|handled| ends_of(handled) == first));
        assert_eq!((world.flows().len(), world.lent()), (1, 1));
    }
}

#[test]
fn a_whole_connection_and_the_next_one_fit_in_one_burst() {
    let mut world = World::with(web());
    let flow = world.open(client(0), FRONTEND);
    let from_client = |flags| tcp(flow.client, flow.frontend, flags);
    let from_backend = |flags| tcp(flow.backend, flow.snat, flags);
    let fates = world.burst([
        from_backend(SYN_ACK),
        from_client(ACK),
        from_client(FIN_ACK),
        from_backend(FIN_ACK),
        // The guess that these made of their record is older than the record that they get.
        from_client(SYN),
        from_client(RST),
        from_client(SYN),
        from_client(SYN),
    ]);
    assert!(fates.iter().all(|handled| matches!(handled.fate, Fate::Sent(..))), "{fates:?}");
    let counters = &world.workers[0].counters;
    assert_eq!((counters.flows_created, counters.flows_expired), (3, 2));
    assert_eq!((world.flows().len(), world.lent()), (1, 1));
}

#[test]
fn a_reply_to_a_flow_that_an_earlier_frame_of_the_burst_replaced_is_nobodys() {
    // With one SNAT port per backend, the new flow cannot get the old one's.
    let mut world = World::with(web().backend("10.0.1.73:80"));
    let flow = world.open(client(0), FRONTEND);
    world.client_says(flow, RST);
    let other = if flow.backend == at(BACKEND) { "10.0.1.73:80" } else { BACKEND };
    world.backend_down(&flow.backend.to_string());
    let fates = world.burst([
        syn(flow.client, FRONTEND),
        tcp(flow.backend, flow.snat, ACK),
        tcp(flow.client, FRONTEND, ACK),
    ]);
    assert_eq!(ends_of(&fates[0]).1, at(other));
    assert_eq!(fates[1].fate, Fate::Dropped(DropReason::NoFlow));
    assert_eq!(ends_of(&fates[2]).1, at(other));
}

#[test]
fn a_flow_that_an_earlier_frame_of_the_burst_ended_is_gone_for_the_later_ones() {
    let mut world = World::with(web());
    let flow = world.open(client(0), FRONTEND);
    world.client_says(flow, RST).backend_down(BACKEND);
    let fates = world.burst([
        syn(flow.client, FRONTEND),
        tcp(flow.client, FRONTEND, ACK),
        tcp(flow.backend, flow.snat, ACK),
    ]);
    assert!(matches!(fates[0].fate, Fate::Refused(DropReason::NoBackend, ..)), "{fates:?}");
    // Their guesses of the record were made when it still was the flow's.
    assert!(matches!(fates[1].fate, Fate::Refused(DropReason::NotSyn, ..)), "{fates:?}");
    assert_eq!(fates[2].fate, Fate::Dropped(DropReason::NoFlow));
}

type MakeFrame = fn(usize) -> Builder;

#[test]
fn a_mixed_burst_keeps_its_order_and_every_frame_its_verdict() {
    let mut world = World::with(web());
    let established = world.establish(client(99), FRONTEND);
    let (us, them) = (*at(FRONTEND).ip(), *client(0).ip());
    // Eight kinds of frames, eight times: these five, and three that are no clients' first.
    let kinds: [(MakeFrame, &str); 5] = [
        (|n| syn(client(n), FRONTEND), "sent"),
        (|n| tcp(client(n), FRONTEND, ACK), "not-syn"),
        (|n| udp(client(n), "172.26.50.101:30646"), "unlisted-port"),
        (|n| tcp(BACKEND, at(&format!("172.26.50.101:{}", 61_000 + n)), ACK), "local"),
        (|n| syn(client(n), "192.0.2.1:80"), "not-ours"),
    ];
    let (mut frames, mut want) = (Vec::new(), Vec::new());
    for n in 0..8 {
        for (at, (frame, fate)) in kinds.into_iter().enumerate() {
            frames.push(frame(n * 8 + at));
            want.push(fate);
        }
        let number = u16::try_from(n).unwrap();
        frames.push(build::icmp_echo(them, us, 7, number));
        want.push("sent");
        frames.push(tcp(established.backend, established.snat, ACK).identification(number));
        want.push("sent");
        frames.push(tcp(established.client, FRONTEND, ACK).ttl(1));
        want.push("ttl-expired");
    }
    assert_eq!(frames.len(), 64);
    let fates = world.burst(frames);
    for (at, (handled, want)) in fates.iter().zip(want).enumerate() {
        let fate = match &handled.fate {
            Fate::Sent(..) => "sent",
            Fate::Local => "local",
            Fate::Dropped(reason) | Fate::Refused(reason, ..) => reason.name(),
        };
        assert_eq!(fate, want, "frame {at}");
    }
    // What was sent is what came in at this place of the burst.
    for n in 0..8 {
        let [_, number] = u16::try_from(n).unwrap().to_be_bytes();
        let Fate::Sent(_, echo) = &fates[n * 8 + 5].fate else { panic!() };
        assert_eq!(echo[41], number, "the echo's sequence number");
        let Fate::Sent(_, reply) = &fates[n * 8 + 6].fate else { panic!() };
        assert_eq!(reply[19], number, "the reply's identification");
    }
    let opened: Vec<_> = world.flows().iter().map(|(_, record)| record.original().source).collect();
    assert_eq!(opened.len(), 9);
    assert!((0..8).all(|n| opened.contains(&client(n * 8))));
}

#[test]
fn a_burst_for_many_workers_comes_back_in_order() {
    let mut world = Setup::new().service(web()).workers(8).world();
    let fates = world.burst((0..64).map(|n| syn(client(n), FRONTEND)));
    for (n, handled) in fates.iter().enumerate() {
        let (snat, backend) = ends_of(handled);
        let flow = Flow {
            protocol: spillway_lb::model::Protocol::Tcp,
            client: client(n),
            frontend: at(FRONTEND),
            snat,
            backend,
        };
        assert_eq!(world.record(flow).unwrap().0, handled.by, "frame {n}");
    }
    assert!(fates.iter().any(|handled| handled.handed_over));
    assert!(fates.iter().any(|handled| !handled.handed_over));
}

#[test]
fn an_empty_burst_changes_nothing() {
    let mut world = World::with(web());
    assert_eq!(world.burst([]), []);
}

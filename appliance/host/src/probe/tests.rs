//! The prober around a stack that misbehaves.

use super::*;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use spillway_control::health::{Check, Engine};
use spillway_lb::ids::PortId;
use spillway_lb::model::{CheckKind, Clockwork};

/// Where a [`Bomb`] goes off: the path of its check says.
#[derive(Debug)]
struct Bomb {
    at: String,
    polls: u32,
    over: bool,
}

impl Bomb {
    fn tick(&self, place: &str) {
        assert!(self.at != place, "boom in {place}");
    }
}

impl Conversation for Bomb {
    fn open(_: Moment, opening: &Opening) -> Self {
        let CheckKind::Http { path, .. } = &opening.request.kind else { panic!("not mine") };
        let bomb = Self { at: path.clone(), polls: 0, over: false };
        bomb.tick("open");
        bomb
    }

    fn deliver(&mut self, _: &[u8]) {
        self.tick("deliver");
    }

    fn poll(&mut self, _: Moment) -> Option<Result<Answer, ProbeError>> {
        self.polls += 1;
        self.tick("first poll");
        match self.polls {
            1 => None,
            2 => {
                self.tick("second poll");
                Some(Ok(Answer::after(Duration::ZERO)))
            }
            _ => {
                self.tick("closing");
                self.over = true;
                None
            }
        }
    }

    fn sent(&mut self) -> Vec<Box<[u8]>> {
        self.tick("sent");
        Vec::new()
    }

    fn next_due(&mut self, _: Moment) -> Option<Moment> {
        self.tick("next due");
        None
    }

    fn is_connected(&self) -> bool {
        true
    }

    fn syn_sequence(&self) -> Option<u32> {
        None
    }

    fn is_over(&self) -> bool {
        self.over
    }
}

const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 2);
const NOW: Moment = Moment::ZERO;

fn egress() -> Egress {
    Egress { port: PortId::new(0), next_hop: Ipv4Addr::new(10, 0, 1, 10) }
}

/// Requests of checks with these paths, and the engine that made them.
fn requests(paths: &[&str]) -> (Engine, Vec<ProbeRequest>) {
    let check = |path: &&str| {
        Arc::new(Check {
            kind: CheckKind::Http { path: (*path).to_owned(), host: None, expect: 200..=200 },
            address: "10.0.1.10:80".parse().unwrap(),
            clockwork: Clockwork { fall: 1, rise: 1, jitter_percent: 0, ..Clockwork::default() },
        })
    };
    let mut engine = Engine::new(1);
    engine.replace(NOW, paths.iter().map(check));
    let requests = engine.due(Moment::from_millis(100)).collect();
    (engine, requests)
}

#[test]
fn a_panic_anywhere_costs_its_own_check_and_tells_nothing_of_the_backend() {
    for place in ["open", "first poll", "second poll", "sent", "deliver"] {
        let (mut engine, requests) = requests(&[place, "none"]);
        let mut prober = Prober::<Bomb>::new(61_000..=61_009, 0);
        for request in requests.clone() {
            prober.start(NOW, request, SOURCE, egress());
        }
        let local = SocketAddrV4::new(SOURCE, 61_000);
        prober.receive(NOW, requests[0].address, local, &[]);
        prober.poll(NOW);
        let mut outcomes = prober.outcomes();
        outcomes.sort_by_key(|outcome| outcome.id);
        assert_eq!(outcomes.len(), 2, "{place}");
        assert_eq!(outcomes[0].answer, None, "{place}: given up, not failed");
        assert_eq!(
            outcomes[1].answer,
            Some(Ok(Answer::after(Duration::ZERO))),
            "{place}: the other is well"
        );
        assert_eq!(prober.counters().panics, 1, "{place}");
        engine.abandon(outcomes[0].id, NOW);
        assert!(engine.rows().iter().all(|row| row.state.is_serving()));
    }
}

#[test]
fn a_panic_after_the_result_does_not_give_a_second_one() {
    let (_, requests) = requests(&["closing"]);
    let mut prober = Prober::<Bomb>::new(61_000..=61_009, 0);
    prober.start(NOW, requests[0].clone(), SOURCE, egress());
    prober.poll(NOW);
    assert_eq!(prober.outcomes().len(), 1);
    prober.poll(NOW);
    assert_eq!(prober.outcomes(), []);
    assert_eq!((prober.counters().panics, prober.open_count()), (1, 0));
}

#[test]
fn a_panic_about_the_next_deadline_asks_for_a_poll() {
    let (_, requests) = requests(&["next due"]);
    let mut prober = Prober::<Bomb>::new(61_000..=61_009, 0);
    prober.start(NOW, requests[0].clone(), SOURCE, egress());
    let now = Moment::from_millis(7);
    assert_eq!(prober.next_due(now), Some(now));
}

#[test]
fn a_check_that_finds_no_port_is_given_up_and_counted() {
    let (_, requests) = requests(&["a", "b", "c"]);
    let mut prober = Prober::<Bomb>::new(61_000..=61_001, 0);
    for request in requests {
        prober.start(NOW, request, SOURCE, egress());
    }
    assert_eq!(prober.counters().no_port, 1);
    assert_eq!(prober.outcomes().iter().filter(|o| o.answer.is_none()).count(), 1);
}

#[test]
fn the_seed_picks_the_first_port_and_the_last_one_is_followed_by_the_first() {
    let mut prober = Prober::<Bomb>::new(61_000..=61_009, 18);
    assert_eq!([(); 3].map(|()| prober.free_port()), [Some(61_008), Some(61_009), Some(61_000)]);
}

#[test]
fn only_packets_of_the_exact_tuple_are_admitted() {
    let (_, requests) = requests(&["deliver"]);
    let mut prober = Prober::<Bomb>::new(61_000..=61_009, 0);
    prober.start(NOW, requests[0].clone(), SOURCE, egress());
    let (remote, local) = (requests[0].address, SocketAddrV4::new(SOURCE, 61_000));
    let others = [
        (SocketAddrV4::new(*remote.ip(), 81), local),
        (SocketAddrV4::new(Ipv4Addr::new(10, 0, 1, 11), 80), local),
        (remote, SocketAddrV4::new(SOURCE, 61_001)),
        (remote, SocketAddrV4::new(Ipv4Addr::new(10, 0, 1, 3), 61_000)),
    ];
    for (from, to) in others {
        assert!(!prober.receive(NOW, from, to, &[]), "{from} to {to}");
    }
    assert_eq!((prober.counters().not_admitted, prober.counters().panics), (4, 0));
    assert!(prober.receive(NOW, remote, local, &[]));
    assert_eq!(prober.counters().panics, 1, "this one reached the stack");
}

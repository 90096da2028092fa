//! The judge's rules, one by one. `tests/ejection.rs` has them all at once, in a simulation.

use super::*;
use crate::health::stopwatch::Stopwatch;
use std::net::{IpAddr, SocketAddrV4};
use std::time::Duration;

use proptest::prelude::*;
use spillway_lb::model::{Backend, CheckKind, Clockwork, Ejection, HealthCheck};

const SECONDS: fn(u64) -> Moment = |seconds| Moment::from_millis(seconds * 1_000);
const DEAD: State = State::Down(ProbeError::Timeout);
const EMPTY: State = State::Down(ProbeError::NoEndpoints);

fn health(kind: CheckKind, port: Option<u16>) -> HealthCheck {
    HealthCheck { kind, port, clockwork: Clockwork::default() }
}

fn backend(last: u8) -> Backend {
    Backend { address: IpAddr::from([10, 0, 1, last]), port: 30_000, weight: 10 }
}

/// A Service on nodes 1 to `nodes`: kube-proxy's `/healthz`, the node's endpoints, the nodePort.
fn service(name: &str, nodes: u8, ejection: Ejection) -> Service {
    let healthz = CheckKind::Http { path: "/healthz".to_owned(), host: None, expect: 200..=200 };
    Service {
        backends: (1..=nodes).map(backend).collect(),
        checks: vec![
            health(healthz, Some(10_256)),
            health(CheckKind::NodeEndpoints, Some(31_000)),
            health(CheckKind::Tcp, None),
        ],
        ejection,
        ..Service::new(name, ServiceKind::LoadBalancer)
    }
}

fn ejection(percent_max: u8, fail_open: bool) -> Ejection {
    Ejection { percent_max, window: Duration::from_secs(10), fail_open }
}

/// A judge of one Service.
struct World {
    judge: Judge,
    service: Arc<Service>,
}

impl World {
    fn new(service: Service) -> Self {
        let mut world = Self { judge: Judge::default(), service: Arc::new(service) };
        world.set(world.service.clone());
        world
    }

    fn set(&mut self, service: Arc<Service>) -> bool {
        self.service = Arc::clone(&service);
        self.judge.set_model(&Model { services: vec![service], routes: Vec::new() })
    }

    /// The n-th check of a node is in a state now.
    fn turn(&mut self, node: u8, n: usize, state: State, weight: Option<u16>) -> bool {
        let at = SocketAddrV4::new([10, 0, 1, node].into(), 30_000);
        let check = Arc::new(Check::of(&self.service.checks[n], at));
        self.judge.note(&Turn { check, state, weight, at: Moment::ZERO })
    }

    /// A node is well by all of its checks, or not by the first.
    fn says(&mut self, node: u8, state: State) -> bool {
        let checks = if state == State::Up { 0..self.service.checks.len() } else { 0..1 };
        checks.filter(|n| self.turn(node, *n, state, None)).count() > 0
    }

    fn standings(&mut self, now: Moment) -> Vec<Standing> {
        self.judge.standings(&self.service, now)
    }

    /// `+` for each backend that serves, `-` for each that does not.
    fn serving(&mut self, now: Moment) -> String {
        self.standings(now).iter().map(|it| if it.serving { '+' } else { '-' }).collect()
    }

    fn judgements(&self) -> Vec<Judgement> {
        self.judge.view(&self.service).iter().map(|view| view.judgement).collect()
    }
}

#[test]
fn all_serve_before_anything_is_known_and_one_bad_check_of_several_is_enough() {
    let mut world = World::new(service("web", 2, Ejection::default()));
    assert_eq!(world.serving(SECONDS(0)), "++");
    world.turn(1, 0, State::Up, None);
    world.turn(1, 1, State::Up, Some(3));
    world.turn(1, 2, DEAD, None);
    assert_eq!(world.serving(SECONDS(1)), "-+");
    assert_eq!(world.judgements()[0], Judgement::Down(ProbeError::Timeout));
    world.turn(1, 2, State::Up, None);
    assert_eq!(world.serving(SECONDS(2)), "++");
}

#[test]
fn a_node_s_weight_replaces_the_backend_s_but_does_not_undo_a_drain() {
    let mut wanted = service("web", 3, Ejection::default());
    wanted.backends[1].weight = 0;
    let mut world = World::new(wanted);
    for node in 1..=3 {
        world.turn(node, 1, State::Up, (node < 3).then_some(7));
    }
    let weights: Vec<_> = world.standings(SECONDS(0)).iter().map(|it| it.weight).collect();
    assert_eq!(weights, [Some(7), None, None]);
}

#[test]
fn empty_nodes_leave_at_once_and_count_for_nothing() {
    let mut world = World::new(service("web", 4, ejection(25, true)));
    world.serving(SECONDS(0));
    for node in 1..=3 {
        // The nodePort of such a node is deaf: that is not why it leaves.
        world.turn(node, 1, EMPTY, None);
        world.turn(node, 2, DEAD, None);
    }
    assert_eq!(world.serving(SECONDS(1)), "---+");
    assert_eq!(world.judgements()[0], Judgement::NoEndpoints);
    assert_eq!(world.judge.next_change(), None);
    // The last one is the only one that could serve: all of those fail.
    world.says(4, DEAD);
    assert_eq!(world.serving(SECONDS(2)), "---+");
    assert_eq!(world.judgements()[3], Judgement::FailOpen(ProbeError::Timeout));
    // Endpoints are back; the nodePort has not been well since: no leave is needed to stay out.
    world.turn(4, 0, State::Up, None);
    world.turn(1, 1, State::Up, Some(1));
    assert_eq!(world.serving(SECONDS(3)), "---+");
    assert_eq!(world.judgements()[0], Judgement::Down(ProbeError::Timeout));
}

#[test]
fn weight_zero_is_no_capacity_either() {
    let mut world = World::new(service("web", 2, ejection(50, true)));
    world.turn(1, 1, State::Up, Some(0));
    world.says(2, DEAD);
    world.serving(SECONDS(0));
    assert_eq!(world.judgements()[1], Judgement::FailOpen(ProbeError::Timeout), "the only one");
}

#[test]
fn no_more_than_the_limit_leave_within_a_window_and_the_others_follow() {
    let mut world = World::new(service("web", 5, ejection(40, false)));
    assert_eq!(world.serving(SECONDS(0)), "+++++");
    for node in [3, 1, 5] {
        world.says(node, DEAD);
    }
    assert_eq!(world.serving(SECONDS(1)), "-+-++", "two of five");
    assert_eq!(world.judgements()[4], Judgement::Held(ProbeError::Timeout));
    assert_eq!(world.judge.extremes(), Extremes { failing_open: 0, held: 1 });
    assert_eq!(world.judge.next_change(), Some(SECONDS(11)));
    assert_eq!(world.serving(SECONDS(10)), "-+-++");
    assert_eq!(world.serving(SECONDS(11)), "-+-+-", "a dead node leaves in the end");
    assert_eq!(world.judge.next_change(), None);
}

#[test]
fn one_may_always_leave() {
    let mut world = World::new(service("web", 3, ejection(1, false)));
    world.serving(SECONDS(0));
    world.says(1, DEAD);
    world.says(2, DEAD);
    assert_eq!(world.serving(SECONDS(0)), "-++");
}

#[test]
fn the_one_that_has_failed_longest_leaves_first() {
    let mut world = World::new(service("web", 4, ejection(25, false)));
    world.serving(SECONDS(0));
    for (second, node) in [(0, 2), (1, 4), (2, 1)] {
        world.says(node, DEAD);
        world.serving(SECONDS(second));
    }
    assert_eq!(world.serving(SECONDS(9)), "+-++");
    assert_eq!(world.serving(SECONDS(10)), "+-+-");
    assert_eq!(world.serving(SECONDS(20)), "--+-");
}

#[test]
fn one_that_flaps_takes_nobody_s_leave() {
    let mut world = World::new(service("web", 4, ejection(50, false)));
    world.serving(SECONDS(0));
    for second in 0..5 {
        world.says(1, DEAD);
        assert_eq!(world.serving(SECONDS(second)), "-+++");
        world.says(1, State::Up);
        assert_eq!(world.serving(SECONDS(second)), "++++");
    }
    world.says(2, DEAD);
    assert_eq!(world.serving(SECONDS(5)), "+-++");
}

#[test]
fn when_all_fail_all_serve_and_when_one_returns_the_others_leave_by_the_rules() {
    let mut world = World::new(service("web", 4, ejection(50, true)));
    world.serving(SECONDS(0));
    for node in 1..=4 {
        world.says(node, DEAD);
        world.serving(SECONDS(u64::from(node)));
    }
    assert_eq!(world.serving(SECONDS(60)), "++++");
    assert_eq!(world.judgements(), [Judgement::FailOpen(ProbeError::Timeout); 4]);
    assert_eq!(world.judge.extremes(), Extremes { failing_open: 1, held: 0 });
    world.says(3, State::Up);
    assert_eq!(world.serving(SECONDS(100)), "--++");
    assert_eq!(world.serving(SECONDS(110)), "--+-");
}

#[test]
fn without_fail_open_nothing_serves_when_all_fail() {
    let mut world = World::new(service("web", 2, Ejection::default()));
    world.serving(SECONDS(0));
    world.says(1, DEAD);
    world.says(2, DEAD);
    assert_eq!(world.serving(SECONDS(0)), "--");
}

#[test]
fn a_new_service_takes_over_what_its_nodes_have_shown() {
    let mut world = World::new(service("web", 4, ejection(25, false)));
    for node in 1..=3 {
        world.says(node, DEAD);
    }
    let first = Arc::clone(&world.service);
    let second = Arc::new(service("shop", 4, ejection(25, false)));
    let model = Model { services: vec![first, Arc::clone(&second)], routes: Vec::new() };
    assert!(!world.judge.set_model(&model), "the same checks");
    let standings = world.judge.standings(&second, SECONDS(0));
    let serving: Vec<_> = standings.iter().map(|it| it.serving).collect();
    assert_eq!(serving, [false, false, false, true], "none ever served: no leave is needed");
}

#[test]
fn a_changed_service_keeps_the_past_of_its_backends() {
    let mut world = World::new(service("web", 4, ejection(20, false)));
    world.serving(SECONDS(0));
    world.says(1, DEAD);
    world.says(2, DEAD);
    assert_eq!(world.serving(SECONDS(1)), "-+++");
    let since = world.judge.view(&world.service)[0].since;
    assert!(world.set(Arc::new(service("web", 5, ejection(20, false)))), "another node");
    assert_eq!(world.serving(SECONDS(2)), "-++++", "2 still waits");
    assert_eq!(world.judge.view(&world.service)[0].since, since);
    // A new clockwork is not asked yet: what was known holds.
    let mut faster = service("web", 5, ejection(20, false));
    faster.checks[0].clockwork.interval = Duration::from_secs(1);
    assert!(world.set(Arc::new(faster)));
    assert_eq!(world.serving(SECONDS(3)), "-++++");
    assert!(world.turn(1, 0, State::Up, None), "it matters to the one that is out");
    assert_eq!(world.serving(SECONDS(4)), "-++++", "two other checks have not spoken");
    world.turn(1, 1, State::Up, None);
    world.turn(1, 2, State::Up, None);
    assert_eq!(world.serving(SECONDS(4)), "+++++");
}

#[test]
fn the_first_good_answers_are_no_news() {
    let mut world = World::new(service("web", 2, ejection(50, true)));
    world.serving(SECONDS(0));
    assert!(!world.says(1, State::Up));
    assert!(world.turn(2, 1, State::Up, Some(4)), "a weight is");
    assert!(world.says(1, DEAD));
}

#[test]
fn shared_checks_are_one_and_come_first() {
    let share = |name: &str, port: u16| {
        let mut it = service(name, 2, Ejection::default());
        it.backends.iter_mut().for_each(|backend| backend.port = port);
        it.checks[1].port = Some(port + 1);
        Arc::new(it)
    };
    let mut judge = Judge::default();
    let services = (0..5).map(|n| share(&format!("s{n}"), 30_000 + 10 * n)).collect();
    let mut model = Model { services, routes: Vec::new() };
    assert!(judge.set_model(&model));
    assert!(!judge.set_model(&model));
    let checks = judge.checks();
    assert_eq!(checks.len(), 2 + 5 * 2 * 2);
    assert!(checks[..2].iter().all(|check| check.address.port() == 10_256));
    let (users, first) = judge.users(&checks[0]).unwrap();
    assert_eq!((users, first.name.as_str()), (5, "s0"));
    model.services.truncate(1);
    assert!(judge.set_model(&model));
    assert_eq!(judge.checks().len(), 2 + 4);
    model.services.clear();
    assert!(judge.set_model(&model));
    assert_eq!(judge.checks(), []);
}

#[test]
fn without_checks_all_serve_but_what_is_not_forwarded() {
    let mut wanted = service("web", 2, ejection(50, true));
    wanted.checks.clear();
    wanted.backends.push(Backend { address: "fd00::1".parse().unwrap(), ..wanted.backends[0] });
    let mut world = World::new(wanted);
    assert_eq!(world.serving(SECONDS(0)), "++-");
    assert_eq!(world.judgements()[2], Judgement::NotForwarded);
    assert_eq!(world.judge.checks(), []);
}

#[test]
fn a_service_of_another_model_has_no_standings() {
    let mut world = World::new(service("web", 2, Ejection::default()));
    let other = service("web", 3, Ejection::default());
    assert_eq!(world.judge.standings(&other, SECONDS(0)), []);
}

#[test]
fn a_node_behind_ten_thousand_services_is_judged_in_a_blink() {
    let of = |n: u16| {
        let mut it = service(&format!("s{n}"), 10, ejection(50, true));
        it.backends.iter_mut().for_each(|backend| backend.port = n);
        it.checks.remove(1);
        Arc::new(it)
    };
    let services: Vec<_> = (1..=10_000).map(of).collect();
    let model = Model { services, routes: Vec::new() };
    let mut judge = Judge::default();
    let watch = Stopwatch::start();
    judge.set_model(&model);
    let (loaded, checks) = (watch.elapsed(), judge.checks());
    assert_eq!(checks.len(), 10 + 100_000);
    for check in &checks {
        let check = Arc::clone(check);
        judge.note(&Turn { check, state: State::Up, weight: None, at: SECONDS(0) });
    }
    let mut judged = |state: State| {
        let turn = Turn { check: Arc::clone(&checks[0]), state, weight: None, at: SECONDS(0) };
        let watch = Stopwatch::start();
        assert!(judge.note(&turn));
        let out = |service: &Arc<Service>| {
            judge.standings(service, SECONDS(1)).iter().filter(|it| !it.serving).count()
        };
        let out: usize = model.services.iter().map(out).sum();
        (out, watch.elapsed())
    };
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let (out, took) = judged(DEAD);
        assert_eq!(out, 10_000);
        best = best.min(took);
        assert_eq!(judged(State::Up).0, 0);
    }
    let watch = Stopwatch::start();
    judge.set_model(&Model { services: model.services[1..].to_vec(), routes: Vec::new() });
    println!("model {loaded:?}, one node {best:?}, one service less {:?}", watch.elapsed());
    assert!(best < Duration::from_millis(60), "{best:?}");
}

proptest! {
    #[test]
    fn whatever_happens_no_more_than_the_limit_leave_in_any_window(
        nodes in 1_u8..20,
        percent in 1_u8..100,
        fail_open: bool,
        events in prop::collection::vec((0_u8..20, 0_u8..4, 0_u64..4_000), 1..120),
    ) {
        let mut world = World::new(service("web", nodes, ejection(percent, fail_open)));
        let limit = (usize::from(nodes) * usize::from(percent)).div_ceil(100).max(1);
        let mut now = SECONDS(0);
        let mut serving = world.serving(now);
        let mut leaves: Vec<(Moment, usize)> = Vec::new();
        for (node, what, later) in events {
            now = now.plus(Duration::from_millis(later));
            world.says(node % nodes + 1, if what == 0 { State::Up } else { DEAD });
            let next = world.serving(now);
            for (at, _) in serving.chars().zip(next.chars()).enumerate()
                .filter(|(_, change)| *change == ('+', '-'))
            {
                leaves.push((now, at));
            }
            serving = next;
            let window: std::collections::BTreeSet<_> = leaves.iter()
                .filter(|(at, _)| now.since(*at) < Duration::from_secs(10))
                .map(|(_, node)| node)
                .collect();
            prop_assert!(window.len() <= limit, "{window:?} of {nodes}, limit {limit}");
            let failing = world.judgements().iter().all(|it| *it != Judgement::Active);
            prop_assert!(!(fail_open && failing && serving.contains('-')), "closed: {serving}");
        }
        // Left alone, all that fail leave in the end, unless they are all.
        while let Some(due) = world.judge.next_change() {
            prop_assert!(due > now, "a wake-up that changes nothing");
            now = due;
            world.serving(now);
        }
        prop_assert_eq!(world.judge.extremes().held, 0);
    }
}

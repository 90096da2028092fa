//! Engine and judge together, in a simulated cluster: what failing checks may do to a Service.
//!
//! AWS, 2025-10-20: health checks that failed and succeeded by turns took healthy capacity out of load
//! balancers, faster than anybody could look. Here they may not.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use spillway_control::health::{Answer, Engine, Judge, Judgement, Moment, ProbeError};
use spillway_lb::model::{
    Backend, CheckKind, Clockwork, Ejection, HealthCheck, Model, Service, ServiceKind,
};

const NODES: u8 = 64;
const WINDOW: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_secs(2);
const FALL: u8 = 3;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    /// Whether something happens that does so in `percent` of all cases.
    fn says(&mut self, percent: u64) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % 100 < percent
    }
}

struct Cluster {
    now: Moment,
    engine: Engine,
    judge: Judge,
    service: Arc<Service>,
    serving: Vec<bool>,
    /// Nodes that left, and when.
    left: Vec<(Moment, usize)>,
    /// The most that left within a window.
    left_most: usize,
    judged: u64,
}

impl Cluster {
    fn new(seed: u64, hold_down: Duration) -> Self {
        let backend =
            |last| Backend { address: IpAddr::from([10, 0, 1, last]), port: 30_080, weight: 1 };
        let clockwork =
            Clockwork { interval: INTERVAL, fall: FALL, hold_down, ..Clockwork::default() };
        let health = HealthCheck { kind: CheckKind::Tcp, port: Some(10_256), clockwork };
        let service = Arc::new(Service {
            backends: (1..=NODES).map(backend).collect(),
            checks: vec![health],
            ejection: Ejection { percent_max: 50, window: WINDOW, fail_open: true },
            ..Service::new("web", ServiceKind::LoadBalancer)
        });
        let mut judge = Judge::default();
        judge.set_model(&Model { services: vec![Arc::clone(&service)], routes: Vec::new() });
        let mut engine = Engine::new(seed);
        engine.replace(Moment::ZERO, judge.checks());
        let mut cluster = Self {
            now: Moment::ZERO,
            engine,
            judge,
            serving: vec![true; service.backends.len()],
            service,
            left: Vec::new(),
            left_most: 0,
            judged: 0,
        };
        cluster.look();
        cluster
    }

    /// Runs for a while; `is_well` says how a node answers at a moment.
    fn run(&mut self, time: Duration, mut is_well: impl FnMut(Moment, usize) -> bool) {
        let end = self.now.plus(time);
        loop {
            let wake = [self.engine.next_due(), self.judge.next_change()].into_iter().flatten();
            let Some(now) = wake.min().filter(|now| *now < end) else { break };
            self.now = now;
            let mut matters = self.judge.next_change().is_some_and(|due| due <= now);
            for request in self.engine.due(now).collect::<Vec<_>>() {
                let node = usize::from(request.address.ip().octets()[3]) - 1;
                let answer = if is_well(now, node) {
                    Ok(Answer::after(Duration::from_millis(1)))
                } else {
                    Err(ProbeError::Timeout)
                };
                let turn = self.engine.report(request.id, now, answer);
                matters |= turn.is_some_and(|turn| self.judge.note(&turn));
            }
            if matters {
                self.look();
            }
        }
        self.now = end;
    }

    /// What the control loop does with news.
    fn look(&mut self) {
        let now = self.now;
        let standings = self.judge.standings(&self.service, now);
        let serving: Vec<bool> = standings.iter().map(|it| it.serving).collect();
        for (node, (before, after)) in self.serving.iter().zip(&serving).enumerate() {
            if *before && !after {
                self.left.push((now, node));
            }
        }
        let recent = self.left.iter().rev().take_while(|(at, _)| now.since(*at) < WINDOW);
        let recent: BTreeSet<usize> = recent.map(|(_, node)| *node).collect();
        self.left_most = self.left_most.max(recent.len());
        self.serving = serving;
        self.judged += 1;
    }

    fn out(&self) -> usize {
        self.serving.iter().filter(|serving| !**serving).count()
    }
}

#[test]
fn checks_that_fail_at_random_take_out_no_more_than_half_in_a_window() {
    for percent in (0..=100).step_by(10) {
        for seed in 0..4 {
            let mut dice = Dice(seed);
            let mut cluster = Cluster::new(seed, Duration::from_secs(10));
            cluster.run(Duration::from_mins(10), |_, _| !dice.says(percent));
            assert!(cluster.left_most <= 32, "{percent} %: {} in a window", cluster.left_most);
            assert!(percent != 0 || cluster.left.is_empty(), "nothing failed");
            if percent == 100 {
                assert_eq!(cluster.out(), 0, "all fail: all serve");
            }
            // Every node that is well again comes back, the last after its longest hold-down.
            cluster.run(Duration::from_mins(6), |_, _| true);
            assert_eq!(cluster.out(), 0, "{percent} %");
        }
    }
}

#[test]
fn when_most_nodes_die_all_of_them_leave_but_not_at_once() {
    let mut cluster = Cluster::new(1, Duration::ZERO);
    cluster.run(Duration::from_secs(30), |_, _| true);
    let died = cluster.now;
    cluster.run(Duration::from_mins(2), |_, node| node < 4);
    assert_eq!(cluster.out(), 60);
    assert_eq!(cluster.left_most, 32);
    let last = cluster.left.last().unwrap().0;
    let bound = INTERVAL * u32::from(FALL) * 11 / 10 + Duration::from_secs(1) + WINDOW;
    assert!(last.since(died) <= bound, "{:?}", last.since(died));
}

#[test]
fn when_all_nodes_die_all_of_them_serve_and_the_first_that_is_back_says_so() {
    let mut cluster = Cluster::new(1, Duration::ZERO);
    cluster.run(Duration::from_secs(30), |_, _| true);
    cluster.run(Duration::from_mins(2), |_, _| false);
    assert_eq!(cluster.out(), 0);
    let views = cluster.judge.view(&cluster.service);
    assert!(views.iter().all(|view| view.judgement == Judgement::FailOpen(ProbeError::Timeout)));
    assert_eq!(cluster.judge.extremes().failing_open, 1);
    cluster.run(Duration::from_mins(1), |_, node| node == 7);
    assert!(cluster.serving[7] && cluster.out() == 63, "{} out", cluster.out());
    assert_eq!(cluster.left_most, 32);
}

#[test]
fn an_outage_shorter_than_fall_does_nothing() {
    for seed in 0..50 {
        let mut cluster = Cluster::new(seed, Duration::from_secs(10));
        cluster.run(Duration::from_secs(30), |_, _| true);
        let judged = cluster.judged;
        // Two intervals at their shortest: nobody is asked three times.
        cluster.run(Duration::from_millis(3_500), |_, _| false);
        cluster.run(Duration::from_secs(30), |_, _| true);
        assert_eq!((cluster.left.len(), cluster.judged), (0, judged));
    }
}

#[test]
fn failures_that_only_add_up_take_nobody_out() {
    // LoxiLB #1087: a counter that a success did not clear took healthy endpoints out.
    let mut cluster = Cluster::new(1, Duration::ZERO);
    let mut asked: BTreeMap<usize, u32> = BTreeMap::new();
    cluster.run(Duration::from_hours(1), |_, node| {
        let asked = asked.entry(node).or_default();
        *asked += 1;
        asked.is_multiple_of(3) || *asked == 1
    });
    assert!(asked.values().all(|asked| *asked > 1_000));
    assert_eq!(cluster.left, []);
}

#[test]
fn a_node_that_flaps_is_out_most_of_the_time_and_harms_nobody_else() {
    let mut cluster = Cluster::new(1, Duration::from_secs(10));
    let period = |now: Moment| now.micros() / 20_000_000;
    cluster.run(Duration::from_mins(20), |now, node| node != 0 || period(now).is_multiple_of(2));
    assert!(cluster.left.iter().all(|(_, node)| *node == 0));
    let leaves = cluster.left.len();
    assert!((3..=12).contains(&leaves), "{leaves} times instead of 30");
}

#[test]
fn two_services_share_the_probe_of_their_node() {
    let mut cluster = Cluster::new(1, Duration::ZERO);
    let other = Arc::new(Service { name: "shop".to_owned(), ..(*cluster.service).clone() });
    let services = vec![Arc::clone(&cluster.service), Arc::clone(&other)];
    assert!(!cluster.judge.set_model(&Model { services, routes: Vec::new() }));
    cluster.run(Duration::from_mins(1), |_, node| node != 3);
    let at: SocketAddrV4 = "10.0.1.4:10256".parse().unwrap();
    assert_eq!(cluster.engine.rows().iter().filter(|row| row.check.address == at).count(), 1);
    let standings = cluster.judge.standings(&other, cluster.now);
    let out: Vec<usize> = (0..64).filter(|node| !standings[*node].serving).collect();
    assert_eq!(out, [3]);
}

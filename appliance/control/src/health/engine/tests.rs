//! The engine against a simulated world: time is a number, backends answer as they are told.

use super::*;
use crate::health::Target;
use proptest::prelude::*;
use spillway_lb::model::HealthCheck;

const MS: fn(u64) -> Moment = Moment::from_millis;

fn check(interval_ms: u64, timeout_ms: u64, fall: u8, rise: u8, jitter_percent: u8) -> HealthCheck {
    HealthCheck {
        kind: CheckKind::Tcp,
        port: None,
        interval: Duration::from_millis(interval_ms),
        timeout: Duration::from_millis(timeout_ms),
        fall,
        rise,
        jitter_percent,
        hold_down: Duration::ZERO,
    }
}

fn id(service: &str, last: u8) -> TargetId {
    let backend = SocketAddrV4::new([10, 0, 1, last].into(), 80);
    TargetId { service: service.to_owned(), backend }
}

fn target(service: &str, last: u8, check: &HealthCheck) -> Target {
    Target { id: id(service, last), check: check.clone() }
}

fn engine_with(check: &HealthCheck) -> Engine {
    let mut engine = Engine::new(1);
    engine.replace(MS(0), &[target("web", 1, check)]);
    engine
}

/// Starts the one probe when it is next due and answers it at once.
fn answer(engine: &mut Engine, answer: Result<Duration, ProbeError>) -> Option<Transition> {
    let now = engine.next_due().unwrap();
    let request = engine.due(now).next().unwrap();
    engine.report(request.id, now, answer)
}

const GOOD: Result<Duration, ProbeError> = Ok(Duration::from_millis(1));
const BAD: Result<Duration, ProbeError> = Err(ProbeError::Refused);

#[test]
fn the_first_check_is_made_at_once() {
    let mut engine = engine_with(&check(2_000, 1_000, 3, 2, 10));
    assert_eq!(engine.next_due(), Some(MS(0)));
    let request = engine.due(MS(0)).next().unwrap();
    assert_eq!(request.address, "10.0.1.1:80".parse().unwrap());
    assert_eq!(request.timeout, Duration::from_secs(1));
}

#[test]
fn an_unknown_backend_serves_and_one_failure_takes_it_down() {
    let mut engine = engine_with(&check(2_000, 1_000, 3, 2, 10));
    assert_eq!(engine.state(&id("web", 1)), Some(State::Unknown));
    assert!(State::Unknown.is_serving());
    let transition = answer(&mut engine, BAD).unwrap();
    assert_eq!(transition.state, State::Down(ProbeError::Refused));
    assert_eq!(
        transition.to_string(),
        "service web: backend 10.0.1.1:80 is down: connection refused"
    );
}

#[test]
fn after_the_first_success_all_of_fall_is_needed() {
    let mut engine = engine_with(&check(2_000, 1_000, 3, 2, 10));
    assert_eq!(answer(&mut engine, GOOD), None, "unknown already served");
    assert_eq!(engine.state(&id("web", 1)), Some(State::Up));
    assert_eq!(answer(&mut engine, BAD), None);
    assert_eq!(answer(&mut engine, BAD), None);
    assert!(answer(&mut engine, BAD).is_some());
}

#[test]
fn failures_count_only_in_a_row() {
    // LoxiLB #1087: cumulative counts took healthy endpoints out.
    let mut engine = engine_with(&check(2_000, 1_000, 3, 2, 10));
    answer(&mut engine, GOOD);
    for _ in 0..50 {
        for outcome in [BAD, BAD, GOOD] {
            assert_eq!(answer(&mut engine, outcome), None);
        }
    }
}

#[test]
fn a_backend_that_is_down_needs_rise_successes_in_a_row() {
    let mut engine = engine_with(&check(2_000, 1_000, 1, 3, 10));
    assert!(answer(&mut engine, BAD).is_some());
    for outcome in [GOOD, GOOD, BAD, GOOD, GOOD] {
        assert_eq!(answer(&mut engine, outcome), None);
    }
    assert_eq!(answer(&mut engine, GOOD).unwrap().state, State::Up);
}

#[test]
fn the_shown_reason_follows_the_latest_failure_without_a_transition() {
    let mut engine = engine_with(&check(2_000, 1_000, 3, 2, 10));
    answer(&mut engine, BAD);
    let since = engine.rows()[0].since;
    assert_eq!(answer(&mut engine, Err(ProbeError::HttpStatus(503))), None);
    let row = &engine.rows()[0];
    assert_eq!(row.state.to_string(), "down: HTTP 503");
    assert_eq!((row.since, row.transitions, row.failures), (since, 1, 2));
}

#[test]
fn a_check_that_is_still_out_is_not_started_again() {
    let mut engine = engine_with(&check(100, 1_000, 3, 2, 0));
    let request = engine.due(MS(0)).next().unwrap();
    assert_eq!(engine.due(MS(500)).count(), 0);
    engine.report(request.id, MS(900), GOOD);
    assert_eq!(engine.next_due(), Some(MS(900)), "late already: the next follows at once");
}

#[test]
fn checks_start_an_interval_apart_however_long_the_answer_took() {
    let mut engine = engine_with(&check(2_000, 1_000, 3, 2, 0));
    let request = engine.due(MS(0)).next().unwrap();
    engine.report(request.id, MS(700), GOOD);
    assert_eq!(engine.next_due(), Some(MS(2_000)));
}

#[test]
fn many_first_checks_are_spread_and_bounded() {
    let check = check(2_000, 1_000, 3, 2, 10);
    let targets: Vec<_> = (0..100).map(|i| target("web", i, &check)).collect();
    let mut engine = Engine::new(1).with_in_flight_max(16);
    engine.replace(MS(0), &targets);
    assert_eq!(engine.due(MS(0)).count(), 1, "the rest follow half a millisecond apart");
    assert_eq!(engine.due(MS(1_000)).count(), 15, "16 are out together and no more");
}

#[test]
fn one_probe_serves_all_services_that_share_it() {
    let check = check(2_000, 1_000, 3, 2, 10);
    let mut engine = Engine::new(1);
    engine.replace(MS(0), &[target("http", 1, &check), target("https", 1, &check)]);
    let request = engine.due(MS(100)).collect::<Vec<_>>();
    assert_eq!(request.len(), 1);
    let transition = engine.report(request[0].id, MS(100), BAD).unwrap();
    assert_eq!(transition.targets, [id("http", 1), id("https", 1)]);
    assert_eq!(engine.rows().len(), 2);
}

#[test]
fn different_clockworks_are_different_probes() {
    let mut engine = Engine::new(1);
    let (fast, slow) = (check(500, 100, 3, 2, 10), check(2_000, 1_000, 3, 2, 10));
    engine.replace(MS(0), &[target("http", 1, &fast), target("https", 1, &slow)]);
    assert_eq!(engine.due(MS(100)).count(), 2);
}

#[test]
fn replace_keeps_what_stays() {
    let check = check(2_000, 1_000, 3, 2, 0);
    let mut engine = engine_with(&check);
    answer(&mut engine, GOOD);
    answer(&mut engine, BAD);
    let before = engine.rows().remove(0);
    let due = engine.next_due();
    engine.replace(MS(2_100), &[target("web", 1, &check), target("web", 2, &check)]);
    assert_eq!(engine.rows()[0], before);
    assert_eq!(engine.next_due(), Some(MS(2_100)), "the new one is asked at once");
    assert_eq!(engine.due(MS(2_100)).count(), 1);
    engine.replace(MS(2_100), &[target("web", 1, &check)]);
    assert_eq!(engine.next_due(), due);
    assert_eq!(engine.rows().len(), 1);
}

#[test]
fn replace_keeps_an_outstanding_check() {
    let check = check(2_000, 1_000, 3, 2, 0);
    let mut engine = engine_with(&check);
    let request = engine.due(MS(0)).next().unwrap();
    engine.replace(MS(10), &[target("web", 1, &check)]);
    assert_eq!(engine.due(MS(20)).count(), 0);
    assert!(engine.report(request.id, MS(20), BAD).is_some());
}

#[test]
fn a_new_clockwork_inherits_the_state() {
    let mut engine = engine_with(&check(2_000, 1_000, 3, 2, 0));
    answer(&mut engine, BAD);
    engine.replace(MS(10), &[target("web", 1, &check(500, 100, 3, 2, 0))]);
    assert_eq!(engine.state(&id("web", 1)), Some(State::Down(ProbeError::Refused)));
    assert_eq!(engine.next_due(), Some(MS(10)));
}

#[test]
fn a_service_that_joins_learns_the_state_at_once() {
    let check = check(2_000, 1_000, 3, 2, 0);
    let mut engine = engine_with(&check);
    answer(&mut engine, BAD);
    engine.replace(MS(10), &[target("web", 1, &check), target("late", 1, &check)]);
    assert_eq!(engine.state(&id("late", 1)), Some(State::Down(ProbeError::Refused)));
}

#[test]
fn a_report_of_a_removed_target_changes_nothing() {
    let mut engine = engine_with(&check(2_000, 1_000, 3, 2, 0));
    let request = engine.due(MS(0)).next().unwrap();
    engine.replace(MS(1), &[]);
    assert_eq!(engine.report(request.id, MS(2), BAD), None);
    assert_eq!(engine.state(&id("web", 1)), None);
    assert_eq!(engine.next_due(), None);
}

#[test]
fn a_report_counts_once() {
    let mut engine = engine_with(&check(2_000, 1_000, 2, 2, 0));
    answer(&mut engine, GOOD);
    let now = engine.next_due().unwrap();
    let request = engine.due(now).next().unwrap();
    assert_eq!(engine.report(request.id, now, BAD), None);
    assert_eq!(engine.report(request.id, now, BAD), None, "the id was spent");
    assert_eq!(engine.rows()[0].failures, 1);
}

#[test]
fn an_abandoned_check_is_not_counted_and_comes_again() {
    let mut engine = engine_with(&check(2_000, 1_000, 1, 1, 0));
    let request = engine.due(MS(0)).next().unwrap();
    engine.abandon(request.id, MS(5));
    assert_eq!(engine.state(&id("web", 1)), Some(State::Unknown));
    assert_eq!(engine.next_due(), Some(MS(2_000)));
}

#[test]
fn a_check_that_nobody_reports_is_lost_and_made_again() {
    let mut engine = engine_with(&check(2_000, 1_000, 1, 1, 0)).with_in_flight_max(1);
    assert_eq!(engine.due(MS(0)).count(), 1);
    assert_eq!(engine.next_due(), Some(MS(2_000)), "timeout and a second");
    assert_eq!(engine.due(MS(2_000)).count(), 1);
    assert_eq!(engine.lost(), 1);
    assert_eq!(engine.state(&id("web", 1)), Some(State::Unknown));
}

#[test]
fn zeros_in_a_check_do_not_spin() {
    let mut engine = engine_with(&check(0, 0, 0, 0, 200));
    answer(&mut engine, BAD);
    let next = engine.next_due().unwrap();
    assert!(next >= MS(5), "{next}");
    assert!(answer(&mut engine, GOOD).is_some(), "a rise of 0 is a rise of 1");
}

#[test]
fn settled_means_that_everybody_has_been_asked() {
    let mut engine = engine_with(&check(2_000, 1_000, 3, 2, 0));
    assert!(!engine.is_settled());
    answer(&mut engine, GOOD);
    assert!(engine.is_settled());
}

/// How one simulated backend answers.
#[derive(Clone, Copy)]
enum Behaviour {
    /// Answers after so many milliseconds.
    Good(u64),
    /// Never: the probe's timeout reports it.
    Silent,
}

/// Runs a backend that dies at `death`; answers when it was taken out.
fn time_of_death_notice(seed: u64, check: &HealthCheck, death: Moment) -> Moment {
    let mut engine = Engine::new(seed);
    engine.replace(MS(0), &[target("web", 1, check)]);
    loop {
        let now = engine.next_due().unwrap();
        for request in engine.due(now).collect::<Vec<_>>() {
            let behaviour = if now >= death { Behaviour::Silent } else { Behaviour::Good(1) };
            let (at, answer) = match behaviour {
                Behaviour::Good(ms) => (now.plus(Duration::from_millis(ms)), GOOD),
                Behaviour::Silent => (now.plus(request.timeout), Err(ProbeError::Timeout)),
            };
            if let Some(transition) = engine.report(request.id, at, answer) {
                return transition.at;
            }
        }
    }
}

proptest! {
    #[test]
    fn a_dead_backend_is_out_within_the_promised_time(
        seed: u64,
        interval_ms in 200_u64..5_000,
        timeout_share in 1_u64..=50,
        fall in 1_u8..6,
        jitter in 0_u8..=50,
        death_ms in 10_u64..60_000,
    ) {
        let timeout_ms = (interval_ms * timeout_share / 100).max(10);
        let check = check(interval_ms, timeout_ms, fall, 2, jitter);
        let noticed = time_of_death_notice(seed, &check, MS(death_ms));
        let longest = check.interval * u32::from(100 + jitter) / 100;
        let bound = longest * u32::from(fall) + check.timeout;
        prop_assert!(noticed.since(MS(death_ms)) <= bound);
        // It also is not out before `fall` checks could fail.
        let shortest = check.interval * u32::from(100 - jitter) / 100;
        prop_assert!(noticed.since(MS(death_ms)) >= shortest * u32::from(fall - 1));
    }

    #[test]
    fn the_state_is_what_the_last_results_in_a_row_say(
        fall in 1_u8..5, rise in 1_u8..5, outcomes in prop::collection::vec(any::<bool>(), 1..80),
    ) {
        let mut engine = engine_with(&check(1_000, 500, fall, rise, 10));
        // The same law, written down from the whole history.
        let mut serving = true;
        for (i, good) in outcomes.iter().enumerate() {
            let before = serving;
            let run = |wanted: bool| outcomes[..=i].iter().rev().take_while(|g| **g == wanted).count();
            let never_good = !outcomes[..=i].contains(&true);
            if serving && !good && (never_good || run(false) >= usize::from(fall)) {
                serving = false;
            } else if !serving && *good && run(true) >= usize::from(rise) {
                serving = true;
            }
            let transition = answer(&mut engine, if *good { GOOD } else { BAD });
            prop_assert_eq!(transition.is_some(), before != serving);
            prop_assert_eq!(engine.state(&id("web", 1)).unwrap().is_serving(), serving);
        }
    }

    #[test]
    fn starts_of_one_probe_keep_their_distance(seed: u64, jitter in 0_u8..=50) {
        let check = check(1_000, 100, 3, 2, jitter);
        let mut engine = Engine::new(seed);
        engine.replace(MS(0), &[target("web", 1, &check)]);
        let mut last: Option<Moment> = None;
        for _ in 0..50 {
            let now = engine.next_due().unwrap();
            let request = engine.due(now).next().unwrap();
            if let Some(last) = last {
                let apart = now.since(last).as_millis();
                let swing = u128::from(jitter) * 10;
                prop_assert!((1_000 - swing..=1_000 + swing).contains(&apart));
            }
            last = Some(now);
            engine.report(request.id, now.plus(Duration::from_millis(30)), GOOD);
        }
    }

    #[test]
    fn never_more_than_the_bound_are_out_and_nobody_starves(
        seed: u64, count in 1_u8..60, bound in 1_usize..10,
    ) {
        let check = check(1_000, 100, 3, 2, 10);
        let targets: Vec<_> = (0..count).map(|i| target("web", i, &check)).collect();
        let mut engine = Engine::new(seed).with_in_flight_max(bound);
        engine.replace(MS(0), &targets);
        let mut out: Vec<(Moment, ProbeId)> = Vec::new();
        let mut now = MS(0);
        while now < MS(10_000) {
            for (_, id) in out.extract_if(.., |(at, _)| *at <= now) {
                engine.report(id, now, GOOD);
            }
            let started: Vec<_> = engine.due(now).collect();
            out.extend(started.iter().map(|r| (now.plus(Duration::from_millis(10)), r.id)));
            prop_assert!(out.len() <= bound);
            now = now.plus(Duration::from_millis(1));
        }
        prop_assert!(engine.is_settled());
    }
}

//! The engine against a simulated world: time is a number, backends answer as they are told.

use super::*;
use crate::health::stopwatch::Stopwatch;
use proptest::prelude::*;
use spillway_lb::model::Clockwork;
use std::collections::HashMap;

const MS: fn(u64) -> Moment = Moment::from_millis;

/// A TCP check of 10.0.1.`last`.
fn check_of(last: u8, interval_ms: u64, timeout_ms: u64, fall: u8, rise: u8, jitter: u8) -> Check {
    let clockwork = Clockwork {
        interval: Duration::from_millis(interval_ms),
        timeout: Duration::from_millis(timeout_ms),
        fall,
        rise,
        jitter_percent: jitter,
        hold_down: Duration::ZERO,
    };
    let address = SocketAddrV4::new([10, 0, 1, last].into(), 80);
    Check { kind: CheckKind::Tcp, address, clockwork }
}

fn check(interval_ms: u64, timeout_ms: u64, fall: u8, rise: u8, jitter: u8) -> Check {
    check_of(1, interval_ms, timeout_ms, fall, rise, jitter)
}

/// One that is out after one failure, and back after one success, if it is not held.
fn flapping(hold_down: Duration) -> Check {
    let check = check(1_000, 100, 1, 1, 0);
    Check { clockwork: Clockwork { hold_down, ..check.clockwork }, ..check }
}

fn many(count: u8, check: &Check) -> Vec<Arc<Check>> {
    let of = |last| SocketAddrV4::new([10, 0, 1, last].into(), 80);
    (0..count).map(|last| Arc::new(Check { address: of(last), ..check.clone() })).collect()
}

fn one(check: &Check) -> [Arc<Check>; 1] {
    [Arc::new(check.clone())]
}

fn engine_with(check: &Check) -> Engine {
    let mut engine = Engine::new(1);
    assert_eq!(engine.replace(MS(0), one(check)), []);
    engine
}

fn state(engine: &Engine) -> State {
    engine.rows()[0].state
}

/// Starts the one probe when it is next due and answers it at once.
fn answer(engine: &mut Engine, answer: Result<Answer, ProbeError>) -> Option<Turn> {
    let now = engine.next_due().unwrap();
    let request = engine.due(now).next().unwrap();
    engine.report(request.id, now, answer)
}

const GOOD: Result<Answer, ProbeError> = Ok(Answer::after(Duration::from_millis(1)));
const BAD: Result<Answer, ProbeError> = Err(ProbeError::Refused);
const EMPTY: Result<Answer, ProbeError> = Err(ProbeError::NoEndpoints);

fn weighs(weight: u16) -> Answer {
    Answer { latency: Duration::from_millis(1), weight: Some(weight) }
}

#[test]
fn the_first_check_is_made_at_once() {
    let mut engine = engine_with(&check(2_000, 1_000, 3, 2, 10));
    assert_eq!(engine.next_due(), Some(MS(0)));
    let request = engine.due(MS(0)).next().unwrap();
    assert_eq!(request.address, "10.0.1.1:80".parse().unwrap());
    assert_eq!(request.timeout, Duration::from_secs(1));
}

#[test]
fn one_that_is_not_decided_serves_and_two_failures_take_it_down() {
    let mut engine = engine_with(&check(2_000, 1_000, 3, 2, 10));
    assert!(state(&engine).is_serving());
    assert_eq!(answer(&mut engine, BAD), None, "one may be our own start");
    assert_eq!(state(&engine), State::Unknown);
    let turn = answer(&mut engine, BAD).unwrap();
    assert_eq!(turn.to_string(), "10.0.1.1:80 is down: connection refused");
}

#[test]
fn where_fall_is_one_the_first_failure_takes_it_down() {
    let mut engine = engine_with(&check(2_000, 1_000, 1, 2, 10));
    assert!(answer(&mut engine, BAD).is_some());
}

#[test]
fn after_the_first_success_all_of_fall_is_needed() {
    let mut engine = engine_with(&check(2_000, 1_000, 3, 2, 10));
    assert_eq!(answer(&mut engine, GOOD).unwrap().state, State::Up);
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
    let mut engine = engine_with(&check(2_000, 1_000, 1, 2, 10));
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
    let mut engine = Engine::new(1).with_in_flight_max(16);
    engine.replace(MS(0), many(100, &check));
    assert_eq!(engine.due(MS(0)).count(), 1, "the rest follow half a millisecond apart");
    assert_eq!(engine.due(MS(1_000)).count(), 15, "16 are out together and no more");
}

#[test]
fn equal_checks_are_one_probe() {
    let check = check(2_000, 1_000, 1, 2, 10);
    let mut engine = Engine::new(1);
    engine.replace(MS(0), [one(&check), one(&check), one(&check)].concat());
    let requests = engine.due(MS(100)).collect::<Vec<_>>();
    assert_eq!((requests.len(), engine.rows().len()), (1, 1));
    let turn = engine.report(requests[0].id, MS(100), BAD).unwrap();
    assert_eq!(*turn.check, check);
}

#[test]
fn different_clockworks_are_different_probes() {
    let mut engine = Engine::new(1);
    let (fast, slow) = (check(500, 100, 3, 2, 10), check(2_000, 1_000, 3, 2, 10));
    engine.replace(MS(0), [one(&fast), one(&slow)].concat());
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
    let second = check_of(2, 2_000, 1_000, 3, 2, 0);
    assert_eq!(engine.replace(MS(2_100), [one(&second), one(&check)].concat()), []);
    assert_eq!(engine.rows()[0], before);
    assert_eq!(engine.next_due(), Some(MS(2_100)), "the new one is asked at once");
    assert_eq!(engine.due(MS(2_100)).count(), 1);
    engine.replace(MS(2_100), one(&check));
    assert_eq!(engine.next_due(), due);
    assert_eq!(engine.rows().len(), 1);
}

#[test]
fn replace_keeps_an_outstanding_check() {
    let check = check(2_000, 1_000, 1, 2, 0);
    let mut engine = engine_with(&check);
    let request = engine.due(MS(0)).next().unwrap();
    engine.replace(MS(10), one(&check));
    assert_eq!(engine.due(MS(20)).count(), 0);
    assert!(engine.report(request.id, MS(20), BAD).is_some());
}

#[test]
fn a_new_clockwork_takes_over_the_state_and_says_so() {
    let mut engine = engine_with(&check(2_000, 1_000, 1, 2, 0));
    answer(&mut engine, BAD);
    let other = check(500, 100, 3, 2, 0);
    let turns = engine.replace(MS(10), one(&other));
    assert_eq!((turns.len(), turns[0].state), (1, State::Down(ProbeError::Refused)));
    assert_eq!(*turns[0].check, other);
    assert_eq!(engine.next_due(), Some(MS(10)));
}

#[test]
fn one_that_was_gone_begins_anew() {
    let check = check(2_000, 1_000, 1, 2, 0);
    let mut engine = engine_with(&check);
    answer(&mut engine, BAD);
    engine.replace(MS(10), []);
    assert_eq!(engine.replace(MS(20), one(&check)), []);
    assert_eq!(state(&engine), State::Unknown);
}

#[test]
fn a_report_of_a_removed_target_changes_nothing() {
    let mut engine = engine_with(&check(2_000, 1_000, 3, 2, 0));
    let request = engine.due(MS(0)).next().unwrap();
    engine.replace(MS(1), []);
    // Another one takes its place.
    engine.replace(MS(1), one(&check_of(2, 2_000, 1_000, 1, 2, 0)));
    assert_eq!(engine.report(request.id, MS(2), BAD), None);
    assert_eq!(state(&engine), State::Unknown);
    engine.replace(MS(1), []);
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
    assert_eq!(Some(state(&engine)), Some(State::Unknown));
    assert_eq!(engine.next_due(), Some(MS(2_000)));
}

#[test]
fn a_check_that_nobody_reports_is_lost_and_made_again() {
    let mut engine = engine_with(&check(2_000, 1_000, 1, 1, 0)).with_in_flight_max(1);
    assert_eq!(engine.due(MS(0)).count(), 1);
    assert_eq!(engine.next_due(), Some(MS(2_000)), "timeout and a second");
    assert_eq!(engine.due(MS(2_000)).count(), 1);
    assert_eq!(engine.lost(), 1);
    assert_eq!(Some(state(&engine)), Some(State::Unknown));
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
fn time_of_death_notice(seed: u64, check: &Check, death: Moment) -> Moment {
    let mut engine = Engine::new(seed);
    engine.replace(MS(0), one(check));
    loop {
        let now = engine.next_due().unwrap();
        for request in engine.due(now).collect::<Vec<_>>() {
            let behaviour = if now >= death { Behaviour::Silent } else { Behaviour::Good(1) };
            let (at, answer) = match behaviour {
                Behaviour::Good(ms) => (now.plus(Duration::from_millis(ms)), GOOD),
                Behaviour::Silent => (now.plus(request.timeout), Err(ProbeError::Timeout)),
            };
            if let Some(turn) = engine.report(request.id, at, answer)
                && !turn.state.is_serving()
            {
                return turn.at;
            }
        }
    }
}

/// Whether a good answer decides about one of which nothing was known.
fn never_good_before(outcomes: &[bool], engine: &Engine) -> bool {
    !outcomes.contains(&true) && state(engine) == State::Unknown
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
        let longest = check.clockwork.interval * u32::from(100 + jitter) / 100;
        let bound = longest * u32::from(fall) + check.clockwork.timeout;
        prop_assert!(noticed.since(MS(death_ms)) <= bound);
        // It also is not out before `fall` checks could fail.
        let shortest = check.clockwork.interval * u32::from(100 - jitter) / 100;
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
            let fall = if never_good { fall.min(2) } else { fall };
            if serving && !good && run(false) >= usize::from(fall) {
                serving = false;
            } else if !serving && *good && run(true) >= usize::from(rise) {
                serving = true;
            }
            let first = *good && never_good_before(&outcomes[..i], &engine);
            let turn = answer(&mut engine, if *good { GOOD } else { BAD });
            prop_assert_eq!(turn.is_some(), before != serving || first);
            prop_assert_eq!(state(&engine).is_serving(), serving);
        }
    }

    #[test]
    fn starts_of_one_probe_keep_their_distance(seed: u64, jitter in 0_u8..=50) {
        let check = check(1_000, 100, 3, 2, jitter);
        let mut engine = Engine::new(seed);
        engine.replace(MS(0), one(&check));
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
        let mut engine = Engine::new(seed).with_in_flight_max(bound);
        engine.replace(MS(0), many(count, &check));
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

#[test]
fn no_endpoints_is_believed_at_once_and_so_is_its_revocation() {
    let mut engine = engine_with(&check(2_000, 1_000, 3, 5, 0));
    answer(&mut engine, GOOD);
    assert_eq!(answer(&mut engine, EMPTY).unwrap().state, State::Down(ProbeError::NoEndpoints));
    assert_eq!(answer(&mut engine, EMPTY), None);
    assert_eq!(answer(&mut engine, Ok(weighs(2))).unwrap().state, State::Up);
}

#[test]
fn no_endpoints_holds_over_failures_until_they_are_enough() {
    let mut engine = engine_with(&check(2_000, 1_000, 3, 2, 0));
    answer(&mut engine, EMPTY);
    assert_eq!(answer(&mut engine, BAD), None);
    assert_eq!(answer(&mut engine, BAD), None);
    assert_eq!(answer(&mut engine, BAD).unwrap().state, State::Down(ProbeError::Refused));
    assert_eq!(answer(&mut engine, GOOD), None, "now it has to rise");
}

#[test]
fn a_turn_says_when_the_weight_changes_and_only_then() {
    let mut engine = engine_with(&check(2_000, 1_000, 3, 2, 0));
    assert_eq!(answer(&mut engine, Ok(weighs(3))).unwrap().weight, Some(3));
    assert_eq!(answer(&mut engine, Ok(weighs(3))), None);
    assert_eq!(answer(&mut engine, BAD), None, "a failure says nothing of the weight");
    assert_eq!(answer(&mut engine, Ok(weighs(3))), None);
    let turn = answer(&mut engine, Ok(weighs(1))).unwrap();
    assert_eq!(turn.to_string(), "10.0.1.1:80 is up, weight 1");
    assert_eq!(answer(&mut engine, GOOD).unwrap().weight, None);
}

/// Up for `well_ms`, then down by one failure; answers how long it then stays down.
fn time_down(engine: &mut Engine, well_ms: u64) -> Duration {
    let start = engine.next_due().unwrap();
    while engine.next_due().unwrap() < start.plus(Duration::from_millis(well_ms)) {
        answer(engine, GOOD);
    }
    let fell = answer(engine, BAD).unwrap().at;
    loop {
        if let Some(turn) = answer(engine, GOOD) {
            return turn.at.since(fell);
        }
    }
}

#[test]
fn one_that_flaps_is_held_down_twice_as_long_each_time_and_forgiven_when_it_is_steady() {
    let hold_down = Duration::from_secs(10);
    let mut engine = engine_with(&flapping(hold_down));
    answer(&mut engine, GOOD);
    let times: Vec<_> = (0..8).map(|_| time_down(&mut engine, 5_000).as_secs()).collect();
    assert_eq!(times, [1, 10, 20, 40, 80, 160, 300, 300]);
    assert_eq!(time_down(&mut engine, 98_000).as_secs(), 300, "not steady for long enough");
    assert_eq!(time_down(&mut engine, 101_000).as_secs(), 1, "forgiven");
    assert_eq!(time_down(&mut engine, 5_000).as_secs(), 10);
}

#[test]
fn one_that_is_held_says_until_when() {
    let hold_down = Duration::from_secs(10);
    let mut engine = engine_with(&flapping(hold_down));
    answer(&mut engine, GOOD);
    time_down(&mut engine, 1_000);
    let fell = answer(&mut engine, BAD).unwrap().at;
    assert_eq!(engine.rows()[0].held_until, Some(fell.plus(hold_down)));
}

#[test]
fn no_endpoints_is_no_flapping() {
    let hold_down = Duration::from_secs(10);
    let mut engine = engine_with(&flapping(hold_down));
    answer(&mut engine, GOOD);
    for _ in 0..20 {
        assert!(answer(&mut engine, EMPTY).is_some());
        assert!(answer(&mut engine, GOOD).is_some());
    }
}

#[test]
fn more_checks_than_the_budget_stretch_every_interval_by_the_same_share() {
    let check = check(1_000, 100, 3, 2, 0);
    let mut engine = Engine::new(1).with_probes_per_second_max(50);
    engine.replace(MS(0), many(50, &check));
    assert_eq!(engine.stretch(), 100);
    engine.replace(MS(0), many(200, &check));
    assert_eq!(engine.stretch(), 400);
    let mut starts: HashMap<SocketAddrV4, Vec<Moment>> = HashMap::default();
    while let Some(now) = engine.next_due().filter(|now| *now < MS(60_000)) {
        for request in engine.due(now).collect::<Vec<_>>() {
            starts.entry(request.address).or_default().push(now);
            engine.report(request.id, now, GOOD);
        }
    }
    assert_eq!(starts.len(), 200);
    assert!(starts.values().all(|starts| starts.len() >= 14), "nobody starves");
    let total: usize = starts.values().map(Vec::len).sum();
    assert!(total <= 50 * 61, "{total} in a minute");
    engine.replace(MS(60_000), many(10, &check));
    assert_eq!(engine.stretch(), 100, "and back");
}

/// So many checks, all different.
fn crowd(count: u32) -> Vec<Arc<Check>> {
    let template = check(2_000, 1_000, 3, 2, 10);
    let of = |n: u32| Check {
        address: SocketAddrV4::new((0x0a00_0000 + n / 10_000).into(), (n % 10_000) as u16 + 1),
        ..template.clone()
    };
    (0..count).map(|n| Arc::new(of(n))).collect()
}

#[test]
fn sixty_thousand_checks_are_replaced_in_a_blink() {
    let checks = crowd(60_000);
    let mut best = [Duration::MAX; 3];
    for _ in 0..5 {
        let mut engine = Engine::new(1);
        let mut measure = |at: usize, checks: Vec<Arc<Check>>| {
            let watch = Stopwatch::start();
            engine.replace(MS(0), checks);
            best[at] = best[at].min(watch.elapsed());
        };
        measure(0, checks.clone());
        measure(1, checks.clone());
        measure(2, checks[..30_000].to_vec());
    }
    println!("all new, all known, half of them gone: {best:?}");
    assert!(best.iter().all(|took| *took < Duration::from_millis(75)), "{best:?}");
}

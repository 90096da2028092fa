//! The neighbour table by itself: time is a number, answers are calls.

use super::*;
use crate::Neighbors;
use proptest::prelude::*;
use std::sync::Arc;

const PORT: PortId = PortId::new(0);
const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 7]);
const SPOOF: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x66]);

fn address(last: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 + last)
}

fn seconds(s: u64) -> Moment {
    Moment::from_millis(s * 1_000)
}

fn table() -> (Arc<Neighbors>, NeighborTable) {
    let (neighbors, writer) = Neighbors::new(1);
    (neighbors, NeighborTable::new(writer))
}

fn frame(tag: u8) -> Box<[u8]> {
    vec![tag; 60].into_boxed_slice()
}

/// A table that has learned `address(1)` at second 0, configured or not.
fn known(configured: bool) -> (Arc<Neighbors>, NeighborTable) {
    let (neighbors, mut table) = table();
    if configured {
        table.keep(seconds(0), &[(PORT, address(1))].into());
    } else {
        table.want(seconds(0), PORT, address(1));
    }
    table.answered(seconds(0), PORT, address(1), MAC);
    table.actions();
    (neighbors, table)
}

/// What was asked: of whom, or of everybody.
fn asked(table: &mut NeighborTable) -> Vec<Option<MacAddr>> {
    let ask = |action| match action {
        Action::Ask { to, .. } => Some(to),
        Action::Send { .. } => None,
    };
    table.actions().into_iter().filter_map(ask).collect()
}

#[test]
fn a_frame_waits_for_the_answer_and_leaves_in_its_order() {
    let (neighbors, mut table) = table();
    assert_eq!(table.send(seconds(0), PORT, address(1), frame(1)), Sent::Waiting);
    assert_eq!(table.send(seconds(0), PORT, address(1), frame(2)), Sent::Waiting);
    assert_eq!(asked(&mut table), [None], "one question for both");
    assert_eq!(neighbors.lookup(PORT, address(1)), None);
    table.answered(seconds(1), PORT, address(1), MAC);
    let send = |tag| Action::Send { port: PORT, mac: MAC, frame: frame(tag) };
    assert_eq!(table.actions(), [send(1), send(2)]);
    assert_eq!(neighbors.lookup(PORT, address(1)), Some(MAC));
    assert_eq!(table.send(seconds(1), PORT, address(1), frame(3)), Sent::Now);
}

#[test]
fn three_questions_a_second_apart_and_then_it_has_failed() {
    let (_, mut table) = table();
    table.send(seconds(0), PORT, address(1), frame(1));
    for second in 0..3 {
        table.poll(seconds(second));
        assert_eq!(asked(&mut table), [None], "at second {second}");
        assert_eq!(table.next_due(), Some(seconds(second + 1)));
    }
    table.poll(seconds(3));
    assert_eq!(table.state(PORT, address(1)), Some(NeighborState::Failed));
    assert_eq!(table.counters().frames_unresolved, 1);
    assert_eq!(table.send(seconds(4), PORT, address(1), frame(2)), Sent::Dropped, "held");
    assert_eq!(table.counters().frames_unresolved, 2);
    table.poll(seconds(8));
    assert_eq!(table.state(PORT, address(1)), None, "learned ones go");
    assert_eq!(table.send(seconds(8), PORT, address(1), frame(3)), Sent::Waiting, "and come");
}

#[test]
fn a_configured_neighbor_is_asked_for_again_for_ever() {
    let (_, mut table) = table();
    table.keep(seconds(0), &[(PORT, address(1))].into());
    assert_eq!(asked(&mut table), [None]);
    for second in 0..1_000 {
        table.poll(seconds(second));
    }
    // Three questions in three seconds, five seconds of rest.
    let count = asked(&mut table).len();
    assert!((370..380).contains(&count), "{count}");
}

#[test]
fn a_known_neighbor_is_asked_before_it_grows_old_and_used_meanwhile() {
    let (neighbors, mut table) = known(false);
    table.poll(seconds(59));
    assert_eq!(asked(&mut table), []);
    table.poll(seconds(60));
    assert_eq!(asked(&mut table), [Some(MAC)], "itself, not everybody");
    assert_eq!(table.state(PORT, address(1)), Some(NeighborState::Stale));
    assert_eq!(neighbors.lookup(PORT, address(1)), Some(MAC));
    table.answered(seconds(60), PORT, address(1), MAC);
    assert_eq!(table.state(PORT, address(1)), Some(NeighborState::Reachable));
    assert_eq!(table.next_due(), Some(seconds(120)));
}

#[test]
fn a_learned_neighbor_that_fell_silent_is_forgotten_everywhere() {
    let (neighbors, mut table) = known(false);
    for second in 60..63 {
        table.poll(seconds(second));
        assert_eq!(neighbors.lookup(PORT, address(1)), Some(MAC));
    }
    table.poll(seconds(63));
    assert_eq!(neighbors.lookup(PORT, address(1)), None);
    assert_eq!(table.rows(), []);
    assert_eq!(table.next_due(), None, "no timer is left behind");
}

#[test]
fn a_configured_neighbor_that_moved_is_found_again() {
    let (neighbors, mut table) = known(true);
    for second in 60..=63 {
        table.poll(seconds(second));
    }
    assert_eq!(asked(&mut table), [Some(MAC), Some(MAC), Some(MAC), None]);
    assert_eq!(neighbors.lookup(PORT, address(1)), None);
    table.answered(seconds(63), PORT, address(1), SPOOF);
    assert_eq!(neighbors.lookup(PORT, address(1)), Some(SPOOF), "nobody else answered");
}

#[test]
fn a_flood_of_claims_changes_nothing_and_asks_once_a_second() {
    let (neighbors, mut table) = known(true);
    let mut questions = 0;
    // 10,000 a second for ten seconds, half of them dressed as answers to us.
    for tick in 0..100_000_u64 {
        let now = Moment::from_micros(5_000_000 + tick * 100);
        table.claimed(now, PORT, address(1), SPOOF);
        table.answered(now, PORT, address(1), SPOOF);
        table.poll(now);
        for to in asked(&mut table) {
            assert_eq!(to, Some(MAC), "the owner is asked");
            questions += 1;
            table.answered(now, PORT, address(1), MAC);
        }
        assert_eq!(neighbors.lookup(PORT, address(1)), Some(MAC));
    }
    assert!((9..=11).contains(&questions), "{questions}");
}

#[test]
fn a_stale_neighbor_is_confirmed_by_nobody_else() {
    let (neighbors, mut table) = known(true);
    table.poll(seconds(60));
    table.answered(seconds(60), PORT, address(1), SPOOF);
    assert_eq!(table.state(PORT, address(1)), Some(NeighborState::Stale));
    assert_eq!(neighbors.lookup(PORT, address(1)), Some(MAC));
}

#[test]
fn claims_of_strangers_are_not_learned() {
    let (neighbors, mut table) = table();
    table.claimed(seconds(0), PORT, address(1), SPOOF);
    table.answered(seconds(0), PORT, address(1), SPOOF);
    assert_eq!(table.rows(), []);
    assert_eq!(neighbors.lookup(PORT, address(1)), None);
}

#[test]
fn a_failed_neighbor_that_speaks_is_asked_at_once() {
    let (_, mut table) = table();
    table.keep(seconds(0), &[(PORT, address(1))].into());
    for second in 1..=3 {
        table.poll(seconds(second));
    }
    table.actions();
    table.claimed(seconds(4), PORT, address(1), MAC);
    assert_eq!(asked(&mut table), [None]);
    assert_eq!(table.state(PORT, address(1)), Some(NeighborState::Incomplete));
}

#[test]
fn a_pinned_neighbor_is_never_asked_for_and_never_changed() {
    let (neighbors, mut table) = table();
    table.pin(PORT, address(1), MAC);
    table.keep(seconds(0), &[(PORT, address(1))].into());
    table.keep(seconds(0), &[].into());
    table.answered(seconds(1), PORT, address(1), SPOOF);
    table.claimed(seconds(2), PORT, address(1), SPOOF);
    table.poll(seconds(10_000));
    assert_eq!(table.actions(), []);
    assert_eq!(neighbors.lookup(PORT, address(1)), Some(MAC));
    assert_eq!(table.rows()[0].state, NeighborState::Static);
    assert!(table.rows()[0].configured);
}

#[test]
fn a_neighbor_that_is_no_longer_configured_ages_like_a_learned_one() {
    let (_, mut table) = known(true);
    table.keep(seconds(1), &[].into());
    for second in 60..=63 {
        table.poll(seconds(second));
    }
    assert_eq!(table.rows(), []);
}

#[test]
fn the_seventeenth_frame_for_one_neighbor_is_dropped_and_counted() {
    let (_, mut table) = table();
    for _ in 0..WAITING_MAX {
        assert_eq!(table.send(seconds(0), PORT, address(1), frame(0)), Sent::Waiting);
    }
    assert_eq!(table.send(seconds(0), PORT, address(1), frame(0)), Sent::Dropped);
    assert_eq!(table.counters().frames_overflow, 1);
    assert_eq!(table.rows()[0].waiting, WAITING_MAX);
}

#[test]
fn all_waiting_frames_together_are_bounded() {
    let (_, mut table) = table();
    let mut waiting = 0;
    for n in 0..100_u32 {
        for _ in 0..WAITING_MAX {
            let sent = table.send(seconds(0), PORT, address(n), frame(0));
            waiting += usize::from(sent == Sent::Waiting);
        }
    }
    assert_eq!(waiting, WAITING_TOTAL_MAX);
    table.answered(seconds(0), PORT, address(0), MAC);
    assert_eq!(table.send(seconds(0), PORT, address(99), frame(0)), Sent::Waiting, "room again");
}

#[test]
fn new_neighbors_are_learned_at_a_bounded_rate() {
    let (_, mut table) = table();
    let mut dropped = 0;
    for n in 0..2_000 {
        let sent = table.send(seconds(0), PORT, address(n), frame(0));
        dropped += u32::from(sent == Sent::Dropped);
    }
    assert_eq!(table.rows().len(), LEARN_RATE as usize);
    assert_eq!(dropped, 1_000);
    table.want(seconds(1), PORT, address(5_000));
    assert!(table.state(PORT, address(5_000)).is_some(), "a second later there is room");
}

#[test]
fn a_full_table_gives_up_who_does_not_answer_before_who_does() {
    let (neighbors, mut table) = known(false);
    // Far more than fit, as a flood with invented sources would ask for.
    for n in 10..10_000_u32 {
        let now = Moment::from_millis(u64::from(n));
        table.want(now, PORT, address(n));
        table.poll(now);
        assert!(table.rows().len() <= NEIGHBORS_MAX);
        table.actions();
    }
    assert!(table.counters().evicted > 0);
    assert_eq!(neighbors.lookup(PORT, address(1)), Some(MAC), "who answered stays");
}

#[test]
fn a_table_full_of_configured_neighbors_refuses_a_learned_one() {
    let (_, mut table) = table();
    let all = (0..).take(NEIGHBORS_MAX).map(|n| (PORT, address(n))).collect();
    table.keep(seconds(0), &all);
    assert_eq!(table.send(seconds(0), PORT, address(9_999), frame(0)), Sent::Dropped);
    assert_eq!(table.counters().frames_overflow, 1);
}

proptest! {
    #[test]
    fn the_workers_see_exactly_the_macs_of_the_rows_and_no_frame_is_lost_uncounted(
        steps in prop::collection::vec((0_u8..6, 0_u32..5, 0_u64..20_000), 1..200),
    ) {
        let (neighbors, mut table) = table();
        let (mut now, mut given, mut sent) = (Moment::ZERO, 0_u64, 0_u64);
        for (step, n, wait_ms) in steps {
            match step {
                0 => { given += 1; table.send(now, PORT, address(n), frame(0)); }
                1 => table.answered(now, PORT, address(n), MAC),
                2 => table.claimed(now, PORT, address(n), SPOOF),
                3 => table.want(now, PORT, address(n)),
                4 => table.keep(now, &[(PORT, address(n))].into()),
                _ => { now = now.plus(Duration::from_millis(wait_ms)); table.poll(now); }
            }
            let actions = table.actions();
            sent += actions.iter().filter(|a| matches!(a, Action::Send { .. })).count() as u64;
            let rows = table.rows();
            for n in 0..5 {
                let row = rows.iter().find(|row| row.address == address(n));
                prop_assert_eq!(neighbors.lookup(PORT, address(n)), row.and_then(|row| row.mac));
            }
            let waiting = rows.iter().map(|row| row.waiting as u64).sum::<u64>();
            let NeighborCounters { frames_overflow, frames_unresolved, .. } = table.counters();
            prop_assert_eq!(given, sent + waiting + frames_overflow + frames_unresolved);
            prop_assert_eq!(table.waiting_total as u64, waiting);
            prop_assert!(table.timers.len() <= rows.len());
        }
    }
}

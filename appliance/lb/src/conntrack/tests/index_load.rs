//! Both index entries or neither, when the index is crowded and when it is loaded to the brim.

use super::*;
use crate::conntrack::index::{BUCKET_ENTRIES, PROBE_MAX};

const FLOWS: u32 = 1024;

impl Conntrack<'_> {
    fn home(&self, flow: &NewFlow, direction: Direction) -> usize {
        let hash = self.hash(key(flow, direction));
        ((u128::from(hash >> 32) * self.parts.buckets.len() as u128) >> 32) as usize
    }
}

/// Flow numbers whose two keys lie where `wanted` says.
fn numbers(
    table: &Conntrack<'_>,
    wanted: impl Fn(usize, usize) -> bool,
) -> impl Iterator<Item = u32> {
    let is_wanted = move |n: &u32| {
        let flow = flow(*n);
        wanted(table.home(&flow, Direction::Original), table.home(&flow, Direction::Reply))
    };
    (0..1_000_000).filter(is_wanted)
}

/// The first bucket of the neighbourhood that the tests fill.
const CROWD: usize = 100;
/// Buckets of that neighbourhood.
const SPAN: std::ops::Range<usize> = CROWD..CROWD + PROBE_MAX;

/// Fills every place that a key of bucket `CROWD` could have, by flows whose other key is elsewhere.
fn crowd(table: &mut Conntrack<'_>) -> Vec<NewFlow> {
    let places = PROBE_MAX * BUCKET_ENTRIES;
    let crowd: Vec<u32> =
        numbers(table, |original, reply| original == CROWD && !SPAN.contains(&reply))
            .take(places)
            .collect();
    assert_eq!(crowd.len(), places);
    let crowd: Vec<NewFlow> = crowd.into_iter().map(flow).collect();
    for flow in &crowd {
        table.insert_at(flow, START).unwrap();
    }
    crowd
}

fn assert_refused_without_a_trace(table: &mut Conntrack<'_>, n: u32, live: &[NewFlow]) {
    let before = table.parts.buckets.to_vec();
    assert_eq!(table.insert_at(&flow(n), START), Err(InsertError::Crowded));
    let (before, after): (&[u8], &[u8]) =
        (bytemuck::cast_slice(&before), bytemuck::cast_slice(table.parts.buckets));
    assert!(before == after, "the index changed");
    table.assert_holds_exactly(live);
}

#[test]
fn a_flow_whose_first_key_finds_no_place_leaves_no_trace() {
    let mut memory = Memory::for_flows(FLOWS);
    let mut table = memory.table(FLOWS);
    let live = crowd(&mut table);
    let late = numbers(&table, |original, reply| original == CROWD && !SPAN.contains(&reply))
        .nth(live.len())
        .unwrap();
    assert_refused_without_a_trace(&mut table, late, &live);
}

#[test]
fn a_flow_whose_second_key_finds_no_place_leaves_no_trace_of_the_first() {
    let mut memory = Memory::for_flows(FLOWS);
    let mut table = memory.table(FLOWS);
    let live = crowd(&mut table);
    let late = numbers(&table, |original, reply| !SPAN.contains(&original) && reply == CROWD)
        .next()
        .unwrap();
    assert_refused_without_a_trace(&mut table, late, &live);

    // A place in the neighbourhood becomes free: now both keys find theirs.
    let gone = table.lookup(&live[17], Direction::Reply).unwrap().flow;
    table.remove(gone).unwrap();
    table.insert_at(&flow(late), START).unwrap();
    let mut live = live;
    live[17] = flow(late);
    table.assert_holds_exactly(&live);
}

#[test]
fn a_crowd_that_disperses_leaves_nothing() {
    let mut memory = Memory::for_flows(FLOWS);
    let mut table = memory.table(FLOWS);
    let live = crowd(&mut table);
    for (left, gone) in live.iter().enumerate() {
        let at = table.lookup(gone, Direction::Original).unwrap().flow;
        table.remove(at).unwrap();
        table.assert_holds_exactly(&live[left + 1..]);
    }
    table.assert_empty();
}

#[test]
fn a_table_takes_flows_up_to_its_capacity_without_being_crowded() {
    // So many that one key in 150,000 without a place would show.
    let flows = 200_000;
    let mut memory = Memory::for_flows(flows);
    let mut table = memory.table(flows);
    for n in 0..flows {
        assert!(table.insert_at(&flow(n), START).is_ok(), "flow {n} of {flows}");
    }
    let live: Vec<NewFlow> = (0..flows).map(flow).collect();
    table.assert_holds_exactly(&live);
    assert!(live.iter().all(|flow| table.lookup(flow, Direction::Original).is_some()));
    for gone in &live {
        let at = table.lookup(gone, Direction::Reply).unwrap().flow;
        table.remove(at).unwrap();
    }
    table.assert_empty();
}

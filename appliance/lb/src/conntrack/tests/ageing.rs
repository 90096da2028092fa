//! A flow goes when its silence has lasted, within a tick, and never before.

use std::time::Duration;

use super::*;
use crate::time::ticks;

const FIN: TcpFlags = TcpFlags::from_bits(0x11);
const SYN_ACK: TcpFlags = TcpFlags::from_bits(0x12);
const NONE: TcpFlags = TcpFlags::from_bits(0);

type Packets = Vec<(Direction, TcpFlags)>;

/// What brings a new flow into each state, and how long that one may be silent.
fn lives() -> Vec<(FlowState, Packets, Duration)> {
    let client = |flags| (Direction::Original, flags);
    let backend = |flags| (Direction::Reply, flags);
    let syn = client(TcpFlags::SYN);
    let open = vec![syn, backend(SYN_ACK), client(TcpFlags::ACK)];
    let and = |more: &[_]| [&open[..], more].concat();
    let default = Timeouts::default();
    vec![
        (FlowState::SynSent, vec![syn], default.tcp_syn),
        (FlowState::SynReceived, vec![syn, backend(SYN_ACK)], default.tcp_syn),
        (FlowState::Established, open.clone(), default.tcp_established),
        (FlowState::FinClient, and(&[client(FIN)]), default.tcp_established),
        (FlowState::FinBackend, and(&[backend(FIN)]), default.tcp_established),
        (FlowState::Closing, and(&[client(FIN), backend(FIN)]), default.tcp_closing),
        (FlowState::Reset, and(&[backend(TcpFlags::RST)]), default.tcp_closing),
        (FlowState::UdpUnreplied, vec![client(NONE)], default.udp_unreplied),
        (FlowState::UdpReplied, vec![client(NONE), backend(NONE)], default.udp),
    ]
}

fn new(state: FlowState, n: u32) -> NewFlow {
    match state {
        FlowState::UdpUnreplied | FlowState::UdpReplied => udp(n),
        FlowState::SynSent
        | FlowState::SynReceived
        | FlowState::Established
        | FlowState::FinClient
        | FlowState::FinBackend
        | FlowState::Closing
        | FlowState::Reset => flow(n),
    }
}

/// Silence in ticks that is surely longer than `timeout`: packets come up to a tick after their tick.
fn silence(timeout: Duration) -> u32 {
    ticks(timeout) + 1
}

/// Runs the clock tick by tick until the flow goes; `from` is the last tick that was expired at.
fn goes_at(table: &mut Conntrack<'_>, flow: &NewFlow, from: Tick) -> Tick {
    (1..200_000)
        .map(|ahead| from.plus(ahead))
        .find(|now| table.expire_at(*now).contains(&flow.client))
        .unwrap()
}

fn assert_on_time(what: &str, gone: Tick, last_seen: Tick, timeout: Duration) {
    let (lasted, least) = (gone.since(last_seen), silence(timeout));
    assert!((least..=least + 1).contains(&lasted), "{what}: {lasted} ticks, not {least}");
}

#[test]
fn in_every_state_a_flow_goes_within_a_tick_of_its_deadline_and_never_early() {
    for (state, packets, timeout) in lives() {
        // A packet every 7 ticks: the last one counts.
        for gap in [0, 1, 7, 299] {
            let mut memory = Memory::for_flows(4);
            let mut table = memory.table(4);
            let flow = new(state, 1);
            let mut now = START;
            let at = table.insert_at(&flow, now).unwrap();
            for (direction, flags) in &packets {
                now = now.plus(gap);
                assert_eq!(table.expire_at(now), [], "{state}");
                table.touch_at(&flow, *direction, *flags, now);
            }
            assert_eq!(table.record(at).unwrap().state(), Some(state));
            let gone = goes_at(&mut table, &flow, now);
            assert_on_time(&state.to_string(), gone, now, timeout);
            table.assert_empty();
        }
    }
}

#[test]
fn a_flow_that_keeps_talking_never_goes() {
    let mut memory = Memory::for_flows(4);
    let mut table = memory.table(4);
    let flow = udp(1);
    table.insert_at(&flow, START).unwrap();
    let step = silence(Timeouts::default().udp_unreplied) - 1;
    let mut now = START;
    for _ in 0..1000 {
        // The latest moment that is not too late.
        now = now.plus(step);
        assert_eq!(table.expire_at(now), []);
        table.touch_at(&flow, Direction::Original, NONE, now);
    }
    table.assert_holds_exactly(&[flow]);
}

#[test]
fn when_a_state_shortens_the_timeout_the_flow_goes_by_the_new_one() {
    let closing = Timeouts::default().tcp_closing;
    let reset: Packets = vec![(Direction::Original, TcpFlags::RST)];
    let fins: Packets = BOTH.map(|direction| (direction, FIN)).to_vec();
    for end in [reset, fins] {
        // From far on the wheel, after one round of the wheel, and after many.
        for idle in [0, 1, 599, 4_000, 4_095, 4_096, 4_097, 9_000, 70_000] {
            let mut memory = Memory::for_flows(4);
            let mut table = memory.table(4);
            table.insert_at(&flow(1), START).unwrap();
            table.touch_at(&flow(1), Direction::Reply, SYN_ACK, START);
            table.touch_at(&flow(1), Direction::Original, TcpFlags::ACK, START);
            let now = START.plus(idle);
            for at in 1..=idle {
                assert_eq!(table.expire_at(START.plus(at)), []);
            }
            for (direction, flags) in &end {
                table.touch_at(&flow(1), *direction, *flags, now);
            }
            table.assert_holds_exactly(&[flow(1)]);
            let gone = goes_at(&mut table, &flow(1), now);
            assert_on_time(&format!("after {idle} ticks"), gone, now, closing);
        }
    }
}

#[test]
fn a_reset_flow_that_goes_on_lives_by_the_established_timer_again() {
    let mut memory = Memory::for_flows(4);
    let mut table = memory.table(4);
    table.insert_at(&flow(1), START).unwrap();
    table.touch_at(&flow(1), Direction::Original, TcpFlags::RST, START);
    let now = START.plus(100);
    assert_eq!(table.expire_at(now), []);
    table.touch_at(&flow(1), Direction::Reply, TcpFlags::ACK, now);
    let gone = goes_at(&mut table, &flow(1), now);
    assert_on_time("revived", gone, now, Timeouts::default().tcp_established);
}

#[test]
fn a_bounded_slice_falls_behind_and_catches_up_without_taking_the_living() {
    const FLOWS: u32 = 2_000;
    let mut memory = Memory::for_flows(FLOWS);
    let mut table = memory.table(FLOWS);
    for n in 0..FLOWS {
        table.insert_at(&udp(n), START).unwrap();
    }
    // Every second one speaks again, just before all would go.
    let least = silence(Timeouts::default().udp_unreplied);
    let spoke = START.plus(least - 1);
    for n in (0..FLOWS).step_by(2) {
        table.touch_at(&udp(n), Direction::Original, NONE, spoke);
    }
    let (mut gone, mut calls) = (Vec::new(), 0);
    let mut now = START.plus(least);
    while table.len() > FLOWS / 2 {
        let before = gone.len();
        let count =
            table.expire(now, &timeouts(), 32, |record| gone.push(record.original().source));
        assert!(count <= 32, "the budget holds");
        assert_eq!(count as usize, gone.len() - before);
        now = now.plus(1);
        calls += 1;
        assert!(calls < 100, "the cursor does not come on");
    }
    let silent: HashSet<_> = (1..FLOWS).step_by(2).map(|n| udp(n).client).collect();
    assert_eq!(gone.into_iter().collect::<HashSet<_>>(), silent);
    let living: Vec<NewFlow> = (0..FLOWS).step_by(2).map(udp).collect();
    table.assert_holds_exactly(&living);

    // The others go on time, though the cursor had lagged when they were put back.
    assert_eq!(table.expire_at(spoke.plus(least - 1)), []);
    assert_eq!(table.expire_at(spoke.plus(least + 1)).len(), living.len());
    table.assert_empty();
}

#[test]
fn flows_that_come_while_the_cursor_lags_far_behind_do_not_go_early() {
    let mut memory = Memory::for_flows(64);
    let mut table = memory.table(64);
    for n in 0..10 {
        table.insert_at(&udp(n), START).unwrap();
    }
    // No call for longer than the wheel is round; then one that may look at nothing at all.
    let now = START.plus(10_000);
    assert_eq!(table.expire(now, &timeouts(), 0, |_| panic!("no budget")), 0);
    table.insert_at(&udp(20), now).unwrap();
    table.insert_at(&flow(21), now).unwrap();
    table.touch_at(&flow(21), Direction::Original, TcpFlags::RST, now);
    assert_eq!(table.expire_at(now).len(), 10, "all that were silent");
    table.assert_holds_exactly(&[udp(20), flow(21)]);
    let default = Timeouts::default();
    let gone = goes_at(&mut table, &udp(20), now);
    assert_on_time("udp", gone, now, default.udp_unreplied);
    let gone = goes_at(&mut table, &flow(21), gone);
    assert_on_time("reset", gone, now, default.tcp_closing);
}

#[test]
fn a_flow_that_is_removed_is_not_expired_as_well() {
    let mut memory = Memory::for_flows(8);
    let mut table = memory.table(8);
    // Neighbours in one slot: head, middle and tail of its list.
    for gone in 0..3 {
        let at: Vec<_> = (1..=3).map(|n| table.insert_at(&udp(n), START).unwrap()).collect();
        table.remove(at[gone]).unwrap();
        let mut left: Vec<NewFlow> = (1..=3).map(udp).collect();
        left.remove(gone);
        table.assert_holds_exactly(&left);
        for flow in &at {
            table.remove(*flow);
        }
        table.assert_empty();
    }
    assert_eq!(table.expire_at(START.plus(1_000_000)), []);
}

#[test]
fn a_timeout_of_a_fraction_of_a_tick_is_rounded_up() {
    for (duration, want) in [
        (Duration::ZERO, 0),
        (Duration::from_nanos(1), 1),
        (Duration::from_millis(100), 1),
        (Duration::from_micros(100_001), 2),
        (Duration::from_mins(124), 74_400),
        (Duration::MAX, u32::MAX),
    ] {
        assert_eq!(ticks(duration), want, "{duration:?}");
    }
    let longest = Timeouts { udp: Duration::MAX, ..Timeouts::default() };
    assert_eq!(TickTimeouts::new(&longest).of(FlowState::UdpReplied), u32::MAX);
}

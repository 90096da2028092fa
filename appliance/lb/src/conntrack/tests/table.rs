//! Entering, finding, removing, walking; and what the memory must be like.

use super::*;

#[test]
fn a_flow_is_found_in_both_directions_and_nothing_else_is() {
    let mut memory = Memory::for_flows(8);
    let mut table = memory.table(8);
    let at = table.insert_at(&flow(1), START).unwrap();
    for direction in BOTH {
        assert_eq!(table.lookup(&flow(1), direction), Some(Found { flow: at, direction }));
        assert_eq!(table.lookup(&flow(2), direction), None);
        assert_eq!(table.lookup(&udp(1), direction), None, "the protocol belongs to the key");
    }
    let turned = Ends { source: flow(1).frontend, destination: flow(1).client };
    let turned = FlowKey::new(Protocol::Tcp, turned);
    assert_eq!(table.find(turned, table.hash(turned)), None, "the frontend's side is no key");
    table.assert_holds_exactly(&[flow(1)]);
}

#[test]
fn a_record_tells_everything_that_the_flow_was_made_of() {
    let mut memory = Memory::for_flows(8);
    let mut table = memory.table(8);
    let new = udp(5);
    let at = table.insert_at(&new, START).unwrap();
    let record = table.record(at).unwrap();
    assert_eq!(record.state(), Some(FlowState::UdpUnreplied));
    assert_eq!(record.protocol(), Protocol::Udp);
    assert_eq!((record.service(), record.backend_id()), (new.service, new.backend_id));
    assert_eq!(record.original(), Ends { source: new.client, destination: new.frontend });
    assert_eq!(record.reply(), Ends { source: new.backend, destination: new.snat });
    assert_eq!(record.last_seen(), START);
    let forth = record.rewrite(Direction::Original);
    assert_eq!((forth.src, forth.sport), (*new.snat.ip(), new.snat.port()));
    assert_eq!((forth.dst, forth.dport), (*new.backend.ip(), new.backend.port()));
    let back = record.rewrite(Direction::Reply);
    assert_eq!((back.src, back.sport), (*new.frontend.ip(), new.frontend.port()));
    assert_eq!((back.dst, back.dport), (*new.client.ip(), new.client.port()));
}

#[test]
fn a_full_table_refuses_the_new_flow_and_keeps_every_old_one() {
    let mut memory = Memory::for_flows(100);
    let mut table = memory.table(100);
    let live: Vec<NewFlow> = (0..100).map(flow).collect();
    for flow in &live {
        table.insert_at(flow, START).unwrap();
    }
    assert_eq!((table.len(), table.capacity()), (100, 100));
    assert_eq!(table.insert_at(&flow(100), START), Err(InsertError::Full));
    table.assert_holds_exactly(&live);

    // One goes, one comes.
    let gone = table.lookup(&flow(42), Direction::Reply).unwrap().flow;
    assert!(table.remove(gone).is_some());
    assert!(table.insert_at(&flow(100), START).is_ok());
    assert_eq!(table.insert_at(&flow(42), START), Err(InsertError::Full));
    let live: Vec<NewFlow> = (0..=100).filter(|n| *n != 42).map(flow).collect();
    table.assert_holds_exactly(&live);
}

#[test]
fn a_removed_flow_is_gone_in_both_directions_and_can_come_again() {
    let mut memory = Memory::for_flows(8);
    let mut table = memory.table(8);
    for round in 0..100 {
        let now = START.plus(round);
        let at = table.insert_at(&flow(1), now).unwrap();
        assert_eq!(at, FlowIndex(1), "the freed record is used again");
        let record = table.remove(at).unwrap();
        assert_eq!(record.original().source, flow(1).client);
        assert!(table.remove(at).is_none(), "twice");
        assert!(BOTH.iter().all(|direction| table.lookup(&flow(1), *direction).is_none()));
        table.assert_empty();
    }
}

#[test]
fn a_flow_that_never_was_can_be_neither_touched_nor_removed() {
    let mut memory = Memory::for_flows(8);
    let mut table = memory.table(8);
    for flow in [0, 1, 8, 9, u32::MAX].map(FlowIndex) {
        assert!(table.remove(flow).is_none());
        let found = Found { flow, direction: Direction::Original };
        assert!(table.touch(found, TcpFlags::ACK, START, &timeouts()).is_none());
    }
    table.assert_empty();
}

/// Collects clients by pages of `max` indices.
fn walked(table: &Conntrack<'_>, max: u32) -> Vec<SocketAddrV4> {
    let (mut from, mut seen) = (Some(0), Vec::new());
    while let Some(at) = from {
        from = table.walk(at, max, |record| seen.push(record.original().source));
        assert!(from.is_none_or(|next| next > at), "a walk goes forward");
    }
    seen
}

#[test]
fn a_walk_sees_each_flow_exactly_once_whatever_its_pages() {
    let mut memory = Memory::for_flows(300);
    let mut table = memory.table(300);
    assert_eq!(walked(&table, 7), []);
    for n in 0..200 {
        table.insert_at(&flow(n), START).unwrap();
    }
    // Holes at the start, in the middle, at the end.
    let gone = |n: u32| n < 3 || n.is_multiple_of(5) || n > 195;
    for n in (0..200).filter(|n| gone(*n)) {
        let at = table.lookup(&flow(n), Direction::Original).unwrap().flow;
        table.remove(at).unwrap();
    }
    let mut want: Vec<_> = (0..200).filter(|n| !gone(*n)).map(|n| flow(n).client).collect();
    want.sort_unstable();
    for max in [1, 2, 7, 64, 199, 200, 201, 1000, u32::MAX] {
        let mut seen = walked(&table, max);
        seen.sort_unstable();
        assert_eq!(seen, want, "pages of {max}");
    }
}

#[test]
fn a_walk_past_the_end_sees_nothing_and_ends() {
    let mut memory = Memory::for_flows(8);
    let mut table = memory.table(8);
    table.insert_at(&flow(1), START).unwrap();
    for from in [2, 9, 1000, u32::MAX] {
        assert_eq!(table.walk(from, u32::MAX, |_| panic!("a flow beyond the end")), None);
    }
}

#[test]
fn memory_that_does_not_fit_is_refused_with_the_reason() {
    let need = bytes_for(100);
    let refused = |bytes: &mut [u8], flows| Conntrack::create(bytes, flows, KEY, START).err();
    let mut memory = Memory::of(need + 64);
    let bytes = memory.bytes();
    assert_eq!(refused(&mut bytes[..need], 100), None);
    for have in [0, 1, 63, 64, 16_448, need / 2, need - 1] {
        let error = refused(&mut bytes[..have], 100).unwrap();
        assert_eq!(error, RegionError::TooSmall { have, need });
        assert_eq!(
            error.to_string(),
            format!("the flow table needs {need} bytes and its memory has {have}")
        );
    }
    for offset in [1, 8, 32] {
        let error = refused(&mut bytes[offset..offset + need], 100);
        assert_eq!(error, Some(RegionError::Unaligned), "offset {offset}");
    }
    for flows in [0, FLOWS_MAX + 1, u32::MAX] {
        let error = refused(bytes, flows).unwrap();
        assert_eq!(error, RegionError::BadCapacity(flows));
        assert!(error.to_string().contains("1..=67108864"), "{error}");
    }
}

#[test]
fn a_table_of_one_flow_works() {
    let mut memory = Memory::for_flows(1);
    let mut table = memory.table(1);
    let at = table.insert_at(&flow(1), START).unwrap();
    assert_eq!(table.insert_at(&flow(2), START), Err(InsertError::Full));
    table.remove(at).unwrap();
    table.insert_at(&flow(2), START).unwrap();
    table.assert_holds_exactly(&[flow(2)]);
}

#[test]
fn the_size_of_the_memory_is_what_the_documentation_says() {
    for flows in [1u32 << 10, 1 << 16, 1 << 20] {
        let per_flow = (bytes_for(flows) - 16_448) / flows as usize;
        assert!((80..=90).contains(&per_flow), "{flows} flows: {per_flow} bytes each");
    }
    // No overflow at the largest.
    assert!(bytes_for(FLOWS_MAX) > FLOWS_MAX as usize * 64);
}

//! The flow table's laws. A table has to look right from the outside (what is found), and from the
//! inside: index, wheel and free list name the same flows.

mod ageing;
mod index_load;
mod program;
mod states;
mod table;

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddrV4};

use bytemuck::Zeroable;

use super::*;
use crate::ids::{BackendId, ServiceId};
use crate::model::{Protocol, Timeouts};

const KEY: HashKey = HashKey([0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]);
/// Any moment but 0: ticks count from the machine's start.
const START: Tick = Tick::new(1_000_003);

/// Zeroed memory for a table, aligned as a page would be.
struct Memory(Vec<FlowRecord>);

impl Memory {
    fn of(bytes: usize) -> Self {
        Self(vec![FlowRecord::zeroed(); bytes.div_ceil(size_of::<FlowRecord>())])
    }

    fn bytes(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.0)
    }

    fn for_flows(flows_max: u32) -> Self {
        Self::of(bytes_for(flows_max))
    }

    fn table(&mut self, flows_max: u32) -> Conntrack<'_> {
        Conntrack::create(self.bytes(), flows_max, KEY, START).unwrap()
    }
}

fn timeouts() -> TickTimeouts {
    TickTimeouts::new(&Timeouts::default())
}

fn address(network: [u8; 2], host: u32) -> Ipv4Addr {
    let [_, _, high, low] = host.to_be_bytes();
    Ipv4Addr::new(network[0], network[1], high, low)
}

/// The flow with number `n`: every number has its own client and its own SNAT port.
fn flow(n: u32) -> NewFlow {
    let port = u16::try_from(1024 + n % 60_000).unwrap();
    let backend = address([10, 7], n / 60_000);
    NewFlow {
        protocol: Protocol::Tcp,
        client: SocketAddrV4::new(address([192, 0], n >> 4), 40_000 + (n & 15) as u16),
        frontend: SocketAddrV4::new(Ipv4Addr::new(172, 26, 50, 101), 30645),
        backend: SocketAddrV4::new(backend, 80),
        snat: SocketAddrV4::new(Ipv4Addr::new(172, 26, 50, 102), port),
        service: ServiceId::new(3),
        backend_id: BackendId::new(n),
    }
}

fn udp(n: u32) -> NewFlow {
    NewFlow { protocol: Protocol::Udp, ..flow(n) }
}

fn key(flow: &NewFlow, direction: Direction) -> FlowKey {
    FlowKey::new(
        flow.protocol,
        match direction {
            Direction::Original => Ends { source: flow.client, destination: flow.frontend },
            Direction::Reply => Ends { source: flow.backend, destination: flow.snat },
        },
    )
}

const BOTH: [Direction; 2] = [Direction::Original, Direction::Reply];

impl Conntrack<'_> {
    fn lookup(&self, flow: &NewFlow, direction: Direction) -> Option<Found> {
        let key = key(flow, direction);
        let found = self.find(key, self.hash(key));
        // The three stages of a burst come to the same answer as the single lookup.
        if let Some(guess) = self.guess(self.hash(key))
            && self.confirm(guess, key)
        {
            assert_eq!(found, Some(guess));
        }
        found
    }

    fn insert_at(&mut self, flow: &NewFlow, now: Tick) -> Result<FlowIndex, InsertError> {
        self.insert(flow, now, &timeouts())
    }

    fn touch_at(&mut self, flow: &NewFlow, direction: Direction, flags: TcpFlags, now: Tick) {
        let found = self.lookup(flow, direction).unwrap();
        assert!(self.touch(found, flags, now, &timeouts()).is_some());
    }

    /// Expires all that is due and returns the clients' tuples.
    fn expire_at(&mut self, now: Tick) -> Vec<SocketAddrV4> {
        let mut gone = Vec::new();
        let count = self.expire(now, &timeouts(), u32::MAX, |record| {
            gone.push(record.original().source);
        });
        assert_eq!(count as usize, gone.len());
        gone
    }

    /// The flows of one list of the wheel, in order; each points back to where it was reached from.
    fn slot_flows(&self, slot: usize) -> Vec<u32> {
        let mut flows = Vec::new();
        let mut at = self.parts.wheel[slot];
        let mut came_from = u32::try_from(slot).unwrap() | 1 << 31;
        while at != 0 {
            assert_eq!(self.parts.records[at as usize].wheel_prev, came_from);
            assert!(flows.len() <= self.parts.records.len(), "slot {slot} is a ring");
            flows.push(at);
            came_from = at;
            at = self.parts.records[at as usize].wheel_next;
        }
        flows
    }

    /// Index, wheel, free list and counts tell of exactly the flows `live`.
    fn assert_holds_exactly(&self, live: &[NewFlow]) {
        assert_eq!(self.len() as usize, live.len());
        let mut records = HashSet::new();
        for flow in live {
            let found = self.lookup(flow, Direction::Original).unwrap();
            assert_eq!(found.direction, Direction::Original);
            let reply = self.lookup(flow, Direction::Reply).unwrap();
            assert_eq!(reply, Found { direction: Direction::Reply, ..found });
            assert!(records.insert(found.flow.0), "two flows in one record");
        }
        let states = self.parts.records.iter().filter(|record| record.state().is_some());
        assert_eq!(states.count(), live.len(), "records in use");
        assert_eq!(index::entry_count(self.parts.buckets), 2 * live.len(), "index entries");
        let mut linked = HashSet::new();
        for slot in 0..self.parts.wheel.len() {
            for flow in self.slot_flows(slot) {
                assert!(linked.insert(flow), "flow {flow} is on the wheel twice");
            }
        }
        assert_eq!(linked, records, "flows on the wheel");
        let (mut free, mut at) = (0, self.parts.header.free);
        while at != 0 {
            free += 1;
            assert!(self.parts.records[at as usize].state().is_none(), "a free record in use");
            at = self.parts.records[at as usize].wheel_next;
        }
        assert_eq!(free + live.len() + 1, self.parts.header.fresh as usize, "records are lost");
    }

    /// Not a bit is left of any flow.
    fn assert_empty(&self) {
        self.assert_holds_exactly(&[]);
        let buckets: &[u8] = bytemuck::cast_slice(self.parts.buckets);
        assert!(buckets.iter().all(|byte| *byte == 0), "the index is not all zero");
        assert!(self.parts.wheel.iter().all(|head| *head == 0), "the wheel is not all zero");
    }
}

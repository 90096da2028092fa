//! The flow table: one record per flow, two index entries, both or neither.
//!
//! Fixed in size, owned by one worker, kept in memory that the caller provides (a file-backed
//! mapping in the appliance, a boxed slice in tests). An established flow is never evicted: when
//! the table is full, the *new* flow is refused.

mod index;
mod key;
mod layout;
mod record;
mod state;
#[cfg(test)]
mod tests;
mod wheel;

pub use key::{Direction, Ends, FlowKey};
pub use layout::{FLOWS_MAX, RegionError, bytes_for};
pub use record::{FlowIndex, FlowRecord, NewFlow};
pub use state::{FlowState, TickTimeouts};

use index::Entry;
use layout::Parts;
use spillway_packet::tcp::TcpFlags;
use wheel::Wheel;

use crate::hash::HashKey;
use crate::prefetch::prefetch;
use crate::time::Tick;

/// A flow and the direction in which a packet matched it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub flow: FlowIndex,
    pub direction: Direction,
}

/// Why a flow was not recorded.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum InsertError {
    /// All records are in use.
    Full,
    /// A key's buckets are all full: next to impossible with keyed hashing.
    Crowded,
}

/// The flow table of one worker.
#[derive(Debug)]
pub struct Conntrack<'m> {
    parts: Parts<'m>,
    hash_key: HashKey,
}

impl<'m> Conntrack<'m> {
    /// Lays out an empty table in `region`, which must be all zero, 64-byte aligned and at least
    /// [`bytes_for`]`(flows_max)` long.
    ///
    /// # Errors
    /// [`RegionError`] when the region does not fit.
    pub fn create(
        region: &'m mut [u8],
        flows_max: u32,
        hash_key: HashKey,
        now: Tick,
    ) -> Result<Self, RegionError> {
        let parts = layout::create(region, flows_max, hash_key.0)?;
        parts.header.cursor = now.get();
        Ok(Self { parts, hash_key })
    }

    pub fn len(&self) -> u32 {
        self.parts.header.flows
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn capacity(&self) -> u32 {
        self.parts.header.flows_max
    }

    #[inline]
    pub fn hash(&self, key: FlowKey) -> u64 {
        self.hash_key.flow(key)
    }

    /// Stage 1 of a burst's lookup: asks for the bucket's line.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        index::prefetch_home(self.parts.buckets, hash);
    }

    /// Stage 2: the likely record, its line asked for. [`Conntrack::confirm`] tells whether it is.
    #[inline]
    pub fn guess(&self, hash: u64) -> Option<Found> {
        let entry = index::candidate(self.parts.buckets, hash)?;
        let flow = entry.flow();
        if let Some(record) = self.parts.records.get(flow.0 as usize) {
            prefetch(record);
        }
        Some(Found { flow, direction: entry.direction() })
    }

    /// Stage 3: does the guessed record have this key?
    #[inline]
    pub fn confirm(&self, guess: Found, key: FlowKey) -> bool {
        self.record(guess.flow).is_some_and(|record| record.matches(key, guess.direction))
    }

    /// The whole lookup, for one packet.
    pub fn find(&self, key: FlowKey, hash: u64) -> Option<Found> {
        let is_it = |entry: Entry| {
            self.record(entry.flow()).is_some_and(|record| record.matches(key, entry.direction()))
        };
        let entry = index::find(self.parts.buckets, hash, is_it)?;
        Some(Found { flow: entry.flow(), direction: entry.direction() })
    }

    #[inline]
    pub fn record(&self, flow: FlowIndex) -> Option<&FlowRecord> {
        self.parts.records.get(flow.0 as usize)
    }

    /// Notes a packet of the flow: last seen, and the state after it. Returns the record to
    /// translate by; `None` only for an index that never was a flow.
    #[inline]
    pub fn touch(
        &mut self,
        found: Found,
        flags: TcpFlags,
        now: Tick,
        timeouts: &TickTimeouts,
    ) -> Option<&FlowRecord> {
        let record = self.parts.records.get_mut(found.flow.0 as usize)?;
        record.last_seen = now.get();
        let old = record.state()?;
        let new = old.after(found.direction, flags);
        if new != old {
            record.set_state(new);
            if timeouts.of(new) < timeouts.of(old) {
                self.rearm(found.flow, now.plus(timeouts.of(new)));
            }
        }
        self.record(found.flow)
    }

    /// Records a flow under both of its keys.
    ///
    /// # Errors
    /// [`InsertError`]; the table is then as it was.
    pub fn insert(
        &mut self,
        flow: &NewFlow,
        now: Tick,
        timeouts: &TickTimeouts,
    ) -> Result<FlowIndex, InsertError> {
        let at = self.take_record().ok_or(InsertError::Full)?;
        let record = FlowRecord::new(flow, now);
        if let Some(place) = self.parts.records.get_mut(at.0 as usize) {
            *place = record;
        }
        if let Err(error) = self.enter(at, &record) {
            self.give_record(at);
            return Err(error);
        }
        self.parts.header.flows += 1;
        let deadline = now.plus(timeouts.of(FlowState::opening(flow.protocol)));
        self.link(at, deadline);
        Ok(at)
    }

    /// Forgets a flow: both index entries and the record. Returns what it was.
    pub fn remove(&mut self, flow: FlowIndex) -> Option<FlowRecord> {
        let record = *self.record(flow)?;
        record.state()?;
        self.wheel().unlink(flow);
        self.forget(flow, &record);
        Some(record)
    }

    /// Lets go of flows whose silence has lasted, at most `budget` records looked at; `on_expired`
    /// gets each. Returns how many went.
    pub fn expire(
        &mut self,
        now: Tick,
        timeouts: &TickTimeouts,
        mut budget: u32,
        mut on_expired: impl FnMut(&FlowRecord),
    ) -> u32 {
        let mut expired = 0;
        while self.parts.header.cursor <= now.get() {
            let cursor = Tick::new(self.parts.header.cursor);
            let Some(flow) = self.wheel().first(cursor) else {
                self.parts.header.cursor += 1;
                continue;
            };
            if budget == 0 {
                break;
            }
            budget -= 1;
            self.wheel().unlink(flow);
            let Some(record) = self.record(flow).copied() else { continue };
            let Some(state) = record.state() else { continue };
            let deadline = record.last_seen().plus(timeouts.of(state));
            if deadline <= now {
                self.forget(flow, &record);
                on_expired(&record);
                expired += 1;
            } else {
                self.link(flow, deadline);
            }
        }
        expired
    }

    /// Hands live records from index `from` on to `each` until it has seen `max` indices. Returns
    /// where to go on; `None` at the end. Flows that come and go between calls may be missed or
    /// not; none is handed out twice.
    pub fn walk(&self, from: u32, max: u32, mut each: impl FnMut(&FlowRecord)) -> Option<u32> {
        let from = from.max(1);
        let end = from.saturating_add(max).min(self.parts.header.fresh);
        let seen = self.parts.records.get(from as usize..end as usize).unwrap_or_default();
        seen.iter().filter(|record| record.state().is_some()).for_each(&mut each);
        (end < self.parts.header.fresh).then_some(end)
    }

    fn wheel(&mut self) -> Wheel<'_> {
        Wheel { heads: self.parts.wheel, records: self.parts.records }
    }

    fn link(&mut self, flow: FlowIndex, deadline: Tick) {
        let cursor = Tick::new(self.parts.header.cursor);
        self.wheel().link(flow, deadline, cursor);
    }

    fn rearm(&mut self, flow: FlowIndex, deadline: Tick) {
        self.wheel().unlink(flow);
        self.link(flow, deadline);
    }

    fn take_record(&mut self) -> Option<FlowIndex> {
        let header = &mut *self.parts.header;
        if header.free != 0 {
            let at = FlowIndex(header.free);
            header.free = self.parts.records.get(at.0 as usize)?.wheel_next;
            return Some(at);
        }
        if header.fresh > header.flows_max {
            return None;
        }
        let at = FlowIndex(header.fresh);
        header.fresh += 1;
        Some(at)
    }

    fn give_record(&mut self, flow: FlowIndex) {
        if let Some(record) = self.parts.records.get_mut(flow.0 as usize) {
            record.clear();
            record.wheel_next = std::mem::replace(&mut self.parts.header.free, flow.0);
        }
    }

    fn enter(&mut self, flow: FlowIndex, record: &FlowRecord) -> Result<(), InsertError> {
        let original = self.hash(record.key(Direction::Original));
        let reply = self.hash(record.key(Direction::Reply));
        let entry = Entry::new(flow, Direction::Original);
        if !index::insert(self.parts.buckets, original, entry) {
            return Err(InsertError::Crowded);
        }
        if !index::insert(self.parts.buckets, reply, Entry::new(flow, Direction::Reply)) {
            index::remove(self.parts.buckets, original, entry);
            return Err(InsertError::Crowded);
        }
        Ok(())
    }

    /// Takes an unlinked record out of the index and frees it.
    fn forget(&mut self, flow: FlowIndex, record: &FlowRecord) {
        for direction in [Direction::Original, Direction::Reply] {
            let hash = self.hash(record.key(direction));
            let was_there = index::remove(self.parts.buckets, hash, Entry::new(flow, direction));
            debug_assert!(was_there, "a record has two index entries or none");
        }
        self.give_record(flow);
        self.parts.header.flows -= 1;
    }
}

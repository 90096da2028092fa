//! The ageing wheel: one list of records per tick, linked through the records themselves.
//!
//! A packet only writes `last_seen`. When a record's slot comes round, it goes or is put where its
//! silence would end; a timeout longer than the wheel takes several rounds.

use super::record::{FlowIndex, FlowRecord};
use crate::time::Tick;

/// Slots of the wheel: 409.6 s at 100 ms each.
pub(super) const SLOTS: u32 = 4096;
/// Furthest place ahead of the cursor, so that a slot is never linked into while it is emptied.
const AHEAD_MAX: u32 = SLOTS - 1;
/// Marks a `wheel_prev` that is a slot and not a record.
const IS_SLOT: u32 = 1 << 31;

const _: () = assert!(SLOTS.is_power_of_two());

/// The slots' heads and the records that they link.
#[derive(Debug)]
pub(super) struct Wheel<'w> {
    pub(super) heads: &'w mut [u32],
    pub(super) records: &'w mut [FlowRecord],
}

const fn slot(tick: u32) -> u32 {
    tick & (SLOTS - 1)
}

impl Wheel<'_> {
    fn record(&mut self, at: u32) -> Option<&mut FlowRecord> {
        if at == 0 { None } else { self.records.get_mut(at as usize) }
    }

    /// Links a record into the slot of `deadline`, or as far ahead of `cursor` as the wheel reaches.
    pub(super) fn link(&mut self, flow: FlowIndex, deadline: Tick, cursor: Tick) {
        let ahead = deadline.since(cursor).clamp(1, AHEAD_MAX);
        let slot = slot(cursor.get().wrapping_add(ahead));
        let Some(head) = self.heads.get_mut(slot as usize) else { return };
        let first = std::mem::replace(head, flow.0);
        if let Some(record) = self.record(first) {
            record.wheel_prev = flow.0;
        }
        if let Some(record) = self.record(flow.0) {
            record.wheel_next = first;
            record.wheel_prev = slot | IS_SLOT;
        }
    }

    pub(super) fn unlink(&mut self, flow: FlowIndex) {
        let Some(record) = self.record(flow.0) else { return };
        let (next, prev) = (record.wheel_next, record.wheel_prev);
        if prev & IS_SLOT == 0 {
            if let Some(record) = self.record(prev) {
                record.wheel_next = next;
            }
        } else if let Some(head) = self.heads.get_mut((prev & !IS_SLOT) as usize) {
            *head = next;
        }
        if let Some(record) = self.record(next) {
            record.wheel_prev = prev;
        }
    }

    /// First record of the slot that belongs to `cursor`.
    pub(super) fn first(&self, cursor: Tick) -> Option<FlowIndex> {
        match self.heads.get(slot(cursor.get()) as usize) {
            None | Some(0) => None,
            Some(flow) => Some(FlowIndex(*flow)),
        }
    }
}

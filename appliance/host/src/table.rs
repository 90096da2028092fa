//! Who is on the links: asked by ARP, believed only when asked, re-asked before it grows old.
//!
//! ```text
//!   wanted ──► Incomplete ──answer──► Reachable ──60 s──► Stale ──answer──► Reachable
//!                 │ 3 broadcasts         ▲  │ somebody        │ 3 questions to its MAC
//!                 ▼ unanswered           │  ▼ claims it       ▼ unanswered
//!              Failed ──hold──► gone     └─ Stale          gone, or Incomplete when configured
//! ```
//!
//! The states are those of RFC 4861, 7.3.2. Against spoofing (RFC 826 has no defence): an answer
//! counts only while a question is out and only when addressed to us; while the old MAC is still
//! being asked, only it may answer; a claim that nobody asked for can cause one question per
//! second to the present owner, and never a change.

mod entry;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use spillway_lb::ids::PortId;
use spillway_packet::MacAddr;

use crate::Moment;
use crate::neighbors::{NEIGHBORS_MAX, Writer};
use entry::{Entry, State};

pub use entry::{NeighborCounters, NeighborRow, NeighborState};

/// Questions to one neighbour are this far apart.
pub const ASK_INTERVAL: Duration = Duration::from_secs(1);
/// Unanswered questions before a neighbour is given up.
pub const ASKS_MAX: u8 = 3;
/// How long an answer is good for before it is asked for again.
pub const REACHABLE_TIME: Duration = Duration::from_mins(1);
/// How long a neighbour that did not answer is left alone.
pub const FAILED_HOLD: Duration = Duration::from_secs(5);
/// Frames that wait for one neighbour.
pub const WAITING_MAX: usize = 16;
/// Frames that wait for all neighbours together.
pub const WAITING_TOTAL_MAX: usize = 1024;
/// Learned neighbours that may be begun per second, and at once.
pub const LEARN_RATE: u32 = 1000;

/// What the table wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask who has `address`: everybody, or only `to`.
    Ask { port: PortId, address: Ipv4Addr, to: Option<MacAddr> },
    /// Send a frame whose neighbour is known now; its MACs are still to be written.
    Send { port: PortId, mac: MacAddr, frame: Box<[u8]> },
}

type Key = (PortId, Ipv4Addr);

/// Whether a frame found its way.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// An [`Action::Send`] was put out.
    Now,
    /// It waits for the neighbour's answer.
    Waiting,
    /// It was dropped and counted.
    Dropped,
}

/// The neighbour table: the writer's side of [`crate::Neighbors`].
#[derive(Debug)]
pub struct NeighborTable {
    writer: Writer,
    entries: BTreeMap<Key, Entry>,
    timers: BTreeSet<(Moment, Key)>,
    actions: Vec<Action>,
    waiting_total: usize,
    serial_next: u64,
    /// Learned neighbours that may still be begun, and since when.
    tokens: u32,
    tokens_at: Moment,
    counters: NeighborCounters,
}

impl NeighborTable {
    pub fn new(writer: Writer) -> Self {
        Self {
            writer,
            entries: BTreeMap::new(),
            timers: BTreeSet::new(),
            actions: Vec::new(),
            waiting_total: 0,
            serial_next: 0,
            tokens: LEARN_RATE,
            tokens_at: Moment::ZERO,
            counters: NeighborCounters::default(),
        }
    }

    /// Pins a MAC to an address: never asked for, never changed.
    pub fn pin(&mut self, port: PortId, address: Ipv4Addr, mac: MacAddr) {
        let key = (port, address);
        self.forget(key);
        self.insert(key, State::Static { mac }, true);
        self.publish(key, mac);
    }

    /// Makes `configured` the neighbours that are kept for ever and asked for at once. Those that
    /// are no longer in it stay like learned ones. Pinned ones are not concerned.
    pub fn keep(&mut self, now: Moment, configured: &BTreeSet<(PortId, Ipv4Addr)>) {
        for (key, entry) in &mut self.entries {
            if !matches!(entry.state, State::Static { .. }) {
                entry.configured = configured.contains(key);
            }
        }
        for key in configured {
            if !self.entries.contains_key(key) {
                self.insert(*key, State::Failed, true);
                self.ask_everybody(now, *key);
            }
        }
    }

    /// Sends a frame, at once or when its neighbour has answered. Its two MAC addresses are
    /// written by whoever carries out [`Action::Send`].
    pub fn send(&mut self, now: Moment, port: PortId, address: Ipv4Addr, frame: Box<[u8]>) -> Sent {
        let key = (port, address);
        if !self.entries.contains_key(&key) && !self.begin(now, key) {
            self.counters.frames_overflow += 1;
            return Sent::Dropped;
        }
        let Some(entry) = self.entries.get_mut(&key) else { return Sent::Dropped };
        if let Some(mac) = entry.mac() {
            self.actions.push(Action::Send { port, mac, frame });
            return Sent::Now;
        }
        if matches!(entry.state, State::Failed) {
            self.counters.frames_unresolved += 1;
            return Sent::Dropped;
        }
        if entry.waiting.len() >= WAITING_MAX || self.waiting_total >= WAITING_TOTAL_MAX {
            self.counters.frames_overflow += 1;
            return Sent::Dropped;
        }
        entry.waiting.push_back(frame);
        self.waiting_total += 1;
        Sent::Waiting
    }

    /// Somebody on the link will be talked to soon: asks for it, unless it is known or was asked.
    pub fn want(&mut self, now: Moment, port: PortId, address: Ipv4Addr) {
        if !self.entries.contains_key(&(port, address)) {
            self.begin(now, (port, address));
        }
    }

    /// An answer that was addressed to us. Believed when it was asked for.
    pub fn answered(&mut self, now: Moment, port: PortId, address: Ipv4Addr, mac: MacAddr) {
        let key = (port, address);
        let believed = match self.entries.get(&key).map(|entry| entry.state) {
            Some(State::Incomplete { .. }) => true,
            Some(State::Stale { mac: asked, .. }) => asked == mac,
            Some(State::Reachable { .. } | State::Failed | State::Static { .. }) | None => false,
        };
        if believed {
            self.confirm(now, key, mac);
        } else {
            self.claimed(now, port, address, mac);
        }
    }

    /// A claim that nobody asked for: never believed. When it contradicts what is known, the
    /// present owner is asked, at most once per [`ASK_INTERVAL`].
    pub fn claimed(&mut self, now: Moment, port: PortId, address: Ipv4Addr, mac: MacAddr) {
        let key = (port, address);
        let Some(entry) = self.entries.get_mut(&key) else { return };
        let rested = entry.asked.is_none_or(|asked| now.since(asked) >= ASK_INTERVAL);
        match entry.state {
            State::Reachable { mac: known } if known != mac => {
                self.counters.unsolicited += 1;
                if rested {
                    entry.state = State::Stale { mac: known, asks: 0 };
                    self.ask_again(now, key);
                }
            }
            // It seems to be back: no need to wait until the hold is over.
            State::Failed if rested => {
                self.counters.unsolicited += 1;
                self.ask_everybody(now, key);
            }
            State::Reachable { .. } => {}
            State::Incomplete { .. }
            | State::Stale { .. }
            | State::Failed
            | State::Static { .. } => self.counters.unsolicited += 1,
        }
    }

    /// Does what is due; see [`NeighborTable::actions`] for what came of it.
    pub fn poll(&mut self, now: Moment) {
        while let Some(&(due, key)) = self.timers.first()
            && due <= now
        {
            self.timers.pop_first();
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            entry.due = None;
            match entry.state {
                State::Incomplete { asks } if asks < ASKS_MAX => self.ask_again(now, key),
                State::Incomplete { .. } => self.fail(now, key),
                State::Reachable { mac } => {
                    entry.state = State::Stale { mac, asks: 0 };
                    self.ask_again(now, key);
                }
                State::Stale { asks, .. } if asks < ASKS_MAX => self.ask_again(now, key),
                State::Stale { .. } | State::Failed if entry.configured => {
                    self.writer.remove(key.0, key.1);
                    self.ask_everybody(now, key);
                }
                State::Stale { .. } | State::Failed => self.forget(key),
                State::Static { .. } => {}
            }
        }
    }

    /// Takes what is to be done since the last call.
    pub fn actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// When [`NeighborTable::poll`] is worth calling again.
    pub fn next_due(&self) -> Option<Moment> {
        self.timers.first().map(|(due, _)| *due)
    }

    pub fn state(&self, port: PortId, address: Ipv4Addr) -> Option<NeighborState> {
        self.entries.get(&(port, address)).map(Entry::shown)
    }

    pub const fn counters(&self) -> NeighborCounters {
        self.counters
    }

    /// By port and address.
    pub fn rows(&self) -> Vec<NeighborRow> {
        self.entries.iter().map(|((port, address), entry)| entry.row(*port, *address)).collect()
    }

    /// Begins to learn a neighbour; false when that would be too many.
    fn begin(&mut self, now: Moment, key: Key) -> bool {
        let refill = now.since(self.tokens_at).as_micros() * u128::from(LEARN_RATE) / 1_000_000;
        if refill > 0 {
            let refill = u32::try_from(refill).unwrap_or(LEARN_RATE);
            self.tokens = self.tokens.saturating_add(refill).min(LEARN_RATE);
            self.tokens_at = now;
        }
        if self.tokens == 0 || !self.make_room() {
            return false;
        }
        self.tokens -= 1;
        self.insert(key, State::Failed, false);
        self.ask_everybody(now, key);
        true
    }

    /// Sees to it that one more fits; false when all are configured.
    fn make_room(&mut self) -> bool {
        if self.entries.len() < NEIGHBORS_MAX {
            return true;
        }
        let learned = self.entries.iter().filter(|(_, entry)| !entry.configured);
        let first = learned.min_by_key(|(_, entry)| entry.eviction_order()).map(|(key, _)| *key);
        let Some(key) = first else { return false };
        self.counters.evicted += 1;
        self.forget(key);
        true
    }

    fn insert(&mut self, key: Key, state: State, configured: bool) {
        let entry = Entry::new(state, configured, self.serial_next);
        self.serial_next += 1;
        self.entries.insert(key, entry);
    }

    fn forget(&mut self, key: Key) {
        self.schedule(key, None);
        if let Some(entry) = self.entries.remove(&key) {
            self.drop_waiting(&entry.waiting);
            self.writer.remove(key.0, key.1);
        }
    }

    fn fail(&mut self, now: Moment, key: Key) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.state = State::Failed;
            let waiting = std::mem::take(&mut entry.waiting);
            self.drop_waiting(&waiting);
        }
        self.schedule(key, Some(now.plus(FAILED_HOLD)));
    }

    fn drop_waiting(&mut self, waiting: &VecDeque<Box<[u8]>>) {
        self.waiting_total = self.waiting_total.saturating_sub(waiting.len());
        self.counters.frames_unresolved += waiting.len() as u64;
    }

    fn ask_everybody(&mut self, now: Moment, key: Key) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.state = State::Incomplete { asks: 0 };
        }
        self.ask_again(now, key);
    }

    /// Asks once more, in the way of the present state.
    fn ask_again(&mut self, now: Moment, key: Key) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        let to = match &mut entry.state {
            State::Incomplete { asks } => {
                *asks += 1;
                None
            }
            State::Stale { mac, asks } => {
                *asks += 1;
                Some(*mac)
            }
            State::Reachable { .. } | State::Failed | State::Static { .. } => return,
        };
        entry.asked = Some(now);
        self.counters.asked += 1;
        self.actions.push(Action::Ask { port: key.0, address: key.1, to });
        self.schedule(key, Some(now.plus(ASK_INTERVAL)));
    }

    fn confirm(&mut self, now: Moment, key: Key, mac: MacAddr) {
        self.counters.learned += 1;
        self.publish(key, mac);
        let Some(entry) = self.entries.get_mut(&key) else { return };
        entry.state = State::Reachable { mac };
        entry.confirmed = Some(now);
        let waiting = std::mem::take(&mut entry.waiting);
        self.waiting_total = self.waiting_total.saturating_sub(waiting.len());
        let port = key.0;
        self.actions.extend(waiting.into_iter().map(|frame| Action::Send { port, mac, frame }));
        self.schedule(key, Some(now.plus(REACHABLE_TIME)));
    }

    fn publish(&mut self, key: Key, mac: MacAddr) {
        if self.writer.set(key.0, key.1, mac).is_err() {
            self.counters.crowded += 1;
        }
    }

    /// Moves an entry's one timer.
    fn schedule(&mut self, key: Key, due: Option<Moment>) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        if let Some(old) = entry.due {
            self.timers.remove(&(old, key));
        }
        entry.due = due;
        if let Some(due) = due {
            self.timers.insert((due, key));
        }
    }
}

#[cfg(test)]
mod tests;

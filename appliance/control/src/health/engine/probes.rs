//! The engine's checks, found by number and by what they ask.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use spillway_lb::model::CheckKind;

use super::{Check, Moment, Turn};
use crate::health::record::Record;

/// Place of a check. Lent anew when its check is gone.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(usize);

/// One check with its state and its schedule.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) check: Arc<Check>,
    pub(super) record: Record,
    /// When it is to be started next; meaningless while it is out.
    pub(super) due: Moment,
    /// Of the latest [`Probes::replace`] that named it.
    epoch: u64,
}

impl Probe {
    pub(super) fn turn(&self, at: Moment) -> Turn {
        let Record { state, weight, .. } = self.record;
        Turn { check: Arc::clone(&self.check), state, weight, at }
    }
}

/// What [`Probes::replace`] did, as far as the schedule is concerned.
#[derive(Debug, Default)]
pub(super) struct Replaced {
    pub(super) gone: Vec<(Moment, Slot)>,
    pub(super) fresh: Vec<(Moment, Slot)>,
}

/// All checks.
#[derive(Debug, Default)]
pub(super) struct Probes {
    slots: Vec<Option<Probe>>,
    free: Vec<Slot>,
    index: HashMap<Arc<Check>, Slot>,
    epoch: u64,
    /// How often all of them together want to be asked, in millionths of a probe per second.
    micro_hertz: u64,
}

impl Probes {
    pub(super) fn get(&self, slot: Slot) -> Option<&Probe> {
        self.slots.get(slot.0)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Probe> {
        self.slots.get_mut(slot.0)?.as_mut()
    }

    pub(super) fn find(&self, check: &Check) -> Option<&Probe> {
        self.get(*self.index.get(check)?)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Probe> {
        self.slots.iter().flatten()
    }

    pub(super) const fn micro_hertz(&self) -> u64 {
        self.micro_hertz
    }

    /// Makes `checks` the whole truth. New ones are due `spacing` apart, so that a thousand of them
    /// are no burst.
    pub(super) fn replace(
        &mut self,
        now: Moment,
        spacing: Duration,
        checks: impl IntoIterator<Item = Arc<Check>>,
    ) -> Replaced {
        self.epoch += 1;
        self.micro_hertz = 0;
        let mut replaced = Replaced::default();
        let mut due = now;
        let checks = checks.into_iter();
        let more = checks.size_hint().0.saturating_sub(self.index.len());
        self.index.reserve(more);
        self.slots.reserve(more);
        for check in checks {
            // One look-up for each: hashing is most of the work.
            match self.index.entry(check) {
                Entry::Occupied(known) => {
                    let probe = self.slots.get_mut(known.get().0).and_then(Option::as_mut);
                    let Some(probe) = probe.filter(|probe| probe.epoch != self.epoch) else {
                        continue;
                    };
                    probe.epoch = self.epoch;
                    self.micro_hertz = self.micro_hertz.saturating_add(micro_hertz(&probe.check));
                }
                Entry::Vacant(place) => {
                    self.micro_hertz = self.micro_hertz.saturating_add(micro_hertz(place.key()));
                    let (check, record) = (Arc::clone(place.key()), Record::new(now));
                    let probe = Probe { check, record, due, epoch: self.epoch };
                    let slot = *place.insert(lend(&mut self.slots, &mut self.free, probe));
                    replaced.fresh.push((due, slot));
                    due = due.plus(spacing);
                }
            }
        }
        let orphaned = self.sweep(&mut replaced);
        if !orphaned.is_empty() {
            self.bequeath(&orphaned, &replaced.fresh);
        }
        replaced
    }

    /// Removes what the present epoch has not named; answers with what it had shown, if somebody
    /// could take it over.
    fn sweep(&mut self, replaced: &mut Replaced) -> HashMap<Question, Record> {
        let mut orphaned = HashMap::new();
        for (at, place) in self.slots.iter_mut().enumerate() {
            let Some(probe) = place.take_if(|probe| probe.epoch != self.epoch) else { continue };
            self.index.remove(&probe.check);
            self.free.push(Slot(at));
            replaced.gone.push((probe.due, Slot(at)));
            if !replaced.fresh.is_empty() {
                orphaned.insert(question(&probe.check), probe.record);
            }
        }
        orphaned
    }

    /// New checks that ask what a removed one asked, at another pace, start with its state.
    fn bequeath(&mut self, orphaned: &HashMap<Question, Record>, fresh: &[(Moment, Slot)]) {
        for (_, slot) in fresh {
            let Some(probe) = self.get_mut(*slot) else { continue };
            if let Some(record) = orphaned.get(&question(&probe.check)) {
                probe.record = record.inherited();
            }
        }
    }
}

/// Puts a probe into a free place.
fn lend(slots: &mut Vec<Option<Probe>>, free: &mut Vec<Slot>, probe: Probe) -> Slot {
    let slot = free.pop().unwrap_or_else(|| {
        slots.push(None);
        Slot(slots.len() - 1)
    });
    if let Some(place) = slots.get_mut(slot.0) {
        *place = Some(probe);
    }
    slot
}

/// A check without its clockwork.
type Question = (CheckKind, SocketAddrV4);

fn question(check: &Check) -> Question {
    (check.kind.clone(), check.address)
}

fn micro_hertz(check: &Check) -> u64 {
    let interval = u64::try_from(check.clockwork.interval.as_micros()).unwrap_or(u64::MAX);
    1_000_000_000_000 / interval.max(1)
}

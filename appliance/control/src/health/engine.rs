//! The schedule: which check is asked when.

mod probes;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use spillway_lb::model::CheckKind;

use super::jitter::Spread;
use super::{Answer, Check, Moment, ProbeError, State};
use probes::{Probes, Slot};

/// Probes that may be out together, unless [`Engine::with_in_flight_max`] says otherwise.
pub const IN_FLIGHT_MAX: usize = 256;

/// Probes that are started in a second, unless [`Engine::with_probes_per_second_max`] says
/// otherwise.
pub const PROBES_PER_SECOND_MAX: u32 = 2_000;

/// A probe without a report so long after its timeout is given up, and counted as lost.
const LOST_AFTER: Duration = Duration::from_secs(1);

/// One asking of one check. Never reused, so that a late report cannot be taken for another's.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProbeId(u64);

/// A check to be carried out now, and to be reported within its timeout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeRequest {
    pub id: ProbeId,
    pub kind: CheckKind,
    pub address: SocketAddrV4,
    /// From now to the complete answer.
    pub timeout: Duration,
}

/// The meaning of a check has changed: its state, or the weight that a node reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    pub check: Arc<Check>,
    pub state: State,
    /// Of the latest good answer.
    pub weight: Option<u16>,
    pub at: Moment,
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}", self.check, self.state)?;
        self.weight
            .filter(|_| self.state == State::Up)
            .map_or(Ok(()), |weight| write!(f, ", weight {weight}"))
    }
}

/// What is known of one check, for display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub check: Arc<Check>,
    pub state: State,
    /// Of the latest good answer.
    pub weight: Option<u16>,
    /// Of the latest failed check, however long ago.
    pub last_error: Option<ProbeError>,
    /// Of the latest good check.
    pub last_latency: Option<Duration>,
    /// When the latest answer was reported.
    pub last_check: Option<Moment>,
    /// Consecutive.
    pub successes: u32,
    /// Consecutive.
    pub failures: u32,
    /// Times that serving began or ended.
    pub transitions: u64,
    /// When the present state began.
    pub since: Moment,
    /// While it is down for having flapped: until when, at least.
    pub held_until: Option<Moment>,
}

/// A started check that has not been reported.
#[derive(Copy, Clone, Debug)]
struct Outstanding {
    slot: Slot,
    started: Moment,
    /// After this it is lost.
    deadline: Moment,
}

/// The health engine. See the module's page for its laws.
#[derive(Debug)]
pub struct Engine {
    rng: Spread,
    in_flight_max: usize,
    probes_per_second_max: u32,
    stretch_percent: u32,
    probes: Probes,
    /// Idle probes by due time; a probe is here or in `out`, never in both.
    queue: BTreeSet<(Moment, Slot)>,
    out: BTreeMap<ProbeId, Outstanding>,
    id_next: u64,
    lost: u64,
}

impl Engine {
    /// An engine without checks; `seed` decides the jitter and nothing else.
    pub fn new(seed: u64) -> Self {
        Self {
            rng: Spread::new(seed),
            in_flight_max: IN_FLIGHT_MAX,
            probes_per_second_max: PROBES_PER_SECOND_MAX,
            stretch_percent: 100,
            probes: Probes::default(),
            queue: BTreeSet::new(),
            out: BTreeMap::new(),
            id_next: 0,
            lost: 0,
        }
    }

    /// Bounds how many probes are out together; at least 1.
    #[must_use]
    pub fn with_in_flight_max(mut self, in_flight_max: usize) -> Self {
        self.in_flight_max = in_flight_max.max(1);
        self
    }

    /// Bounds how many probes are started in a second, on average; at least 1.
    #[must_use]
    pub fn with_probes_per_second_max(mut self, probes_per_second_max: u32) -> Self {
        self.probes_per_second_max = probes_per_second_max.max(1);
        self
    }

    /// How many probes may be out together.
    pub const fn in_flight_max(&self) -> usize {
        self.in_flight_max
    }

    /// Length of every interval, in percent of what its check asks for: 100, or more when all checks
    /// together would exceed the budget of probes per second.
    pub const fn stretch(&self) -> u32 {
        self.stretch_percent
    }

    /// Probes that were given up because nobody reported them.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Makes `checks` the whole truth; those that come first are asked first. One that stays keeps
    /// its state, its counts, its schedule and its outstanding probe. One whose clockwork alone is
    /// new takes over the state, and a turn says so.
    pub fn replace(
        &mut self,
        now: Moment,
        checks: impl IntoIterator<Item = Arc<Check>>,
    ) -> Vec<Turn> {
        let spacing = Duration::from_secs(1) / self.probes_per_second_max;
        let replaced = self.probes.replace(now, spacing, checks);
        for (due, slot) in &replaced.gone {
            self.queue.remove(&(*due, *slot));
        }
        if !replaced.gone.is_empty() {
            self.out.retain(|_, out| self.probes.get(out.slot).is_some());
        }
        // Built from sorted runs: sixty thousand single insertions would take several times as long.
        let mut fresh: BTreeSet<(Moment, Slot)> = replaced.fresh.iter().copied().collect();
        self.queue.append(&mut fresh);
        let percent = self
            .probes
            .micro_hertz()
            .saturating_mul(100)
            .div_ceil(u64::from(self.probes_per_second_max) * 1_000_000);
        self.stretch_percent = u32::try_from(percent).unwrap_or(u32::MAX).max(100);
        let probes = replaced.fresh.iter().filter_map(|(_, slot)| self.probes.get(*slot));
        let known = probes.filter(|probe| probe.record.state != State::Unknown);
        known.map(|probe| probe.turn(now)).collect()
    }

    /// Starts every probe that is due, as far as the bound of outstanding ones allows. Each
    /// request must be answered by [`Engine::report`] or [`Engine::abandon`].
    #[must_use = "a probe that is not carried out is a lost probe"]
    pub fn due(&mut self, now: Moment) -> impl Iterator<Item = ProbeRequest> + use<> {
        self.give_up_lost(now);
        let mut requests = Vec::new();
        while self.out.len() < self.in_flight_max
            && let Some(&(due, slot)) = self.queue.first()
            && due <= now
        {
            self.queue.pop_first();
            let Some(probe) = self.probes.get(slot) else { continue };
            let check = &probe.check;
            let id = ProbeId(self.id_next);
            self.id_next += 1;
            let timeout = check.clockwork.timeout;
            let deadline = now.plus(timeout).plus(LOST_AFTER);
            self.out.insert(id, Outstanding { slot, started: now, deadline });
            requests.push(ProbeRequest {
                id,
                kind: check.kind.clone(),
                address: check.address,
                timeout,
            });
        }
        requests.into_iter()
    }

    /// When [`Engine::due`] is worth calling again; `None` while there is nothing to check. With
    /// all places taken this is when the first of them would be lost: reports come sooner.
    pub fn next_due(&self) -> Option<Moment> {
        let lost = self.out.values().map(|out| out.deadline).min();
        let idle = if self.out.len() < self.in_flight_max {
            self.queue.first().map(|(due, _)| *due)
        } else {
            None
        };
        [lost, idle].into_iter().flatten().min()
    }

    /// Takes the outcome of a probe, and answers with a turn when the check's meaning changed. A
    /// report of a check that is gone changes nothing.
    pub fn report(
        &mut self,
        id: ProbeId,
        now: Moment,
        answer: Result<Answer, ProbeError>,
    ) -> Option<Turn> {
        let out = self.out.remove(&id)?;
        let probe = self.probes.get_mut(out.slot)?;
        let turned = probe.record.take(&probe.check.clockwork, now, answer);
        let turn = turned.then(|| probe.turn(now));
        self.reschedule(&out, now);
        turn
    }

    /// The probe could not be carried out, for a reason of ours: it says nothing of the backend
    /// and is not counted. Asked again after an interval.
    pub fn abandon(&mut self, id: ProbeId, now: Moment) {
        if let Some(out) = self.out.remove(&id) {
            self.reschedule(&out, now);
        }
    }

    /// The state of a check; `None` when it is not one of ours.
    pub fn state(&self, check: &Check) -> Option<State> {
        Some(self.probes.find(check)?.record.state)
    }

    /// Whether every check has been answered at least once.
    pub fn is_settled(&self) -> bool {
        self.probes.iter().all(|probe| probe.record.last_check.is_some())
    }

    /// One row for each check.
    pub fn rows(&self) -> Vec<Row> {
        let row = |probe: &probes::Probe| Row {
            check: Arc::clone(&probe.check),
            state: probe.record.state,
            weight: probe.record.weight,
            last_error: probe.record.last_error,
            last_latency: probe.record.last_latency,
            last_check: probe.record.last_check,
            successes: probe.record.successes,
            failures: probe.record.failures,
            transitions: probe.record.transitions,
            since: probe.record.since,
            held_until: probe.record.held_until(),
        };
        self.probes.iter().map(row).collect()
    }

    /// Starts are an interval apart; a check that ran longer is followed by the next at once.
    fn reschedule(&mut self, out: &Outstanding, now: Moment) {
        let Some(probe) = self.probes.get_mut(out.slot) else { return };
        let clockwork = &probe.check.clockwork;
        let asked = clockwork.interval.saturating_mul(self.stretch_percent) / 100;
        let interval = self.rng.around(asked, clockwork.jitter_percent);
        probe.due = out.started.plus(interval).max(now);
        self.queue.insert((probe.due, out.slot));
    }

    fn give_up_lost(&mut self, now: Moment) {
        let lost: Vec<ProbeId> =
            self.out.iter().filter(|(_, out)| out.deadline <= now).map(|(id, _)| *id).collect();
        for id in lost {
            self.lost += 1;
            self.abandon(id, now);
        }
    }
}

#[cfg(test)]
mod tests;

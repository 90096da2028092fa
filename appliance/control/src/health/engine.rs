//! The schedule: which probe is asked when, and whom its answer concerns.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::SocketAddrV4;
use std::time::Duration;

use spillway_lb::model::CheckKind;

use super::jitter::Spread;
use super::probe::{Probe, ProbeKey, Record};
use super::{Moment, ProbeError, State, Target, TargetId};

/// Probes that may be out together, unless [`Engine::with_in_flight_max`] says otherwise.
pub const IN_FLIGHT_MAX: usize = 256;

/// New probes are started this far apart, so that a thousand of them are no burst.
const FIRST_SPACING: Duration = Duration::from_micros(500);

/// A probe without a report so long after its timeout is given up, and counted as lost.
const LOST_AFTER: Duration = Duration::from_secs(1);

/// One asking of one probe. Never reused, so that a late report cannot be taken for another's.
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

/// Serving began or ended for some backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Every service's backend that shares the probe.
    pub targets: Vec<TargetId>,
    /// [`State::Up`], or [`State::Down`] with its reason.
    pub state: State,
    pub at: Moment,
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, target) in self.targets.iter().enumerate() {
            write!(f, "{}{target}", if i == 0 { "" } else { ", " })?;
        }
        write!(f, " is {}", self.state)
    }
}

/// What is known of one target, for display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub target: TargetId,
    pub kind: CheckKind,
    /// Where the probe goes.
    pub address: SocketAddrV4,
    pub state: State,
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
}

/// A started check that has not been reported.
#[derive(Copy, Clone, Debug)]
struct Outstanding {
    probe: u64,
    started: Moment,
    /// After this it is lost.
    deadline: Moment,
}

/// The health engine. See the module's page for its laws.
#[derive(Debug)]
pub struct Engine {
    rng: Spread,
    in_flight_max: usize,
    /// By serial number, in the order of the targets that brought them.
    probes: BTreeMap<u64, Probe>,
    serial_next: u64,
    /// Idle probes by due time; a probe is here or in `out`, never in both.
    queue: BTreeSet<(Moment, u64)>,
    out: BTreeMap<ProbeId, Outstanding>,
    id_next: u64,
    lost: u64,
}

impl Engine {
    /// An engine without targets; `seed` decides the jitter and nothing else.
    pub const fn new(seed: u64) -> Self {
        Self {
            rng: Spread::new(seed),
            in_flight_max: IN_FLIGHT_MAX,
            probes: BTreeMap::new(),
            serial_next: 0,
            queue: BTreeSet::new(),
            out: BTreeMap::new(),
            id_next: 0,
            lost: 0,
        }
    }

    /// Bounds how many probes are out together; at least 1.
    #[must_use]
    pub const fn with_in_flight_max(mut self, in_flight_max: usize) -> Self {
        self.in_flight_max = if in_flight_max == 0 { 1 } else { in_flight_max };
        self
    }

    /// How many probes may be out together.
    pub const fn in_flight_max(&self) -> usize {
        self.in_flight_max
    }

    /// Probes that were given up because nobody reported them.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Makes `targets` the whole truth. A probe that stays keeps its state, its counts, its
    /// schedule and its outstanding check; one whose clockwork alone changed keeps its state.
    pub fn replace(&mut self, now: Moment, targets: &[Target]) {
        let mut old = std::mem::take(&mut self.probes);
        let index: HashMap<ProbeKey, u64> =
            old.iter().map(|(serial, probe)| (probe.key.clone(), *serial)).collect();
        for probe in old.values_mut() {
            probe.users.clear();
        }
        let mut placed: HashMap<ProbeKey, u64> = HashMap::new();
        let mut first_due = now;
        for target in targets {
            let key = ProbeKey::of(target);
            let serial = if let Some(serial) = placed.get(&key) {
                *serial
            } else {
                let (serial, probe) = match index.get(&key) {
                    Some(serial) => (*serial, old.get(serial).cloned()),
                    None => (self.serial_next, None),
                };
                let probe = probe.unwrap_or_else(|| {
                    self.serial_next += 1;
                    let due = first_due;
                    first_due = first_due.plus(FIRST_SPACING);
                    Probe::new(key.clone(), inherited(&old, &key, now), due)
                });
                self.probes.insert(serial, probe);
                placed.insert(key, serial);
                serial
            };
            if let Some(probe) = self.probes.get_mut(&serial)
                && !probe.users.contains(&target.id)
            {
                probe.users.push(target.id.clone());
            }
        }
        self.out.retain(|_, out| self.probes.contains_key(&out.probe));
        let busy: BTreeSet<u64> = self.out.values().map(|out| out.probe).collect();
        self.queue = (self.probes.iter())
            .filter(|(serial, _)| !busy.contains(serial))
            .map(|(serial, probe)| (probe.due, *serial))
            .collect();
    }

    /// Starts every probe that is due, as far as the bound of outstanding ones allows. Each
    /// request must be answered by [`Engine::report`] or [`Engine::abandon`].
    #[must_use = "a probe that is not carried out is a lost probe"]
    pub fn due(&mut self, now: Moment) -> impl Iterator<Item = ProbeRequest> + use<> {
        self.give_up_lost(now);
        let mut requests = Vec::new();
        while self.out.len() < self.in_flight_max
            && let Some(&(due, serial)) = self.queue.first()
            && due <= now
        {
            self.queue.pop_first();
            let Some(probe) = self.probes.get(&serial) else { continue };
            let id = ProbeId(self.id_next);
            self.id_next += 1;
            let deadline = now.plus(probe.key.timeout).plus(LOST_AFTER);
            self.out.insert(id, Outstanding { probe: serial, started: now, deadline });
            requests.push(ProbeRequest {
                id,
                kind: probe.key.kind.clone(),
                address: probe.key.address,
                timeout: probe.key.timeout,
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

    /// Takes the outcome of a check; `Ok` is how long the answer took. Answers with a transition
    /// when serving began or ended. A report of a probe that is gone changes nothing.
    pub fn report(
        &mut self,
        id: ProbeId,
        now: Moment,
        answer: Result<Duration, ProbeError>,
    ) -> Option<Transition> {
        let out = self.out.remove(&id)?;
        let probe = self.probes.get_mut(&out.probe)?;
        let turned = probe.record.take(&probe.key, now, answer);
        let transition = turned.then(|| Transition {
            targets: probe.users.clone(),
            state: probe.record.state,
            at: now,
        });
        self.reschedule(out.probe, out.started, now);
        transition
    }

    /// The check could not be carried out, for a reason of ours: it says nothing of the backend
    /// and is not counted. Asked again after an interval.
    pub fn abandon(&mut self, id: ProbeId, now: Moment) {
        if let Some(out) = self.out.remove(&id) {
            self.reschedule(out.probe, out.started, now);
        }
    }

    /// The state of a target; `None` when it has no check. A target with several checks (which one
    /// service cannot declare) is as bad as its worst.
    pub fn state(&self, target: &TargetId) -> Option<State> {
        let states = self.probes.values().filter(|p| p.users.contains(target));
        states.map(|probe| probe.record.state).max_by_key(|state| !state.is_serving())
    }

    /// Whether every probe has been answered at least once.
    pub fn is_settled(&self) -> bool {
        self.probes.values().all(|probe| probe.record.state != State::Unknown)
    }

    /// One row for each target, in the order of services and backends.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = self.probes.values().flat_map(Probe::rows).collect();
        rows.sort_by(|a, b| a.target.cmp(&b.target));
        rows
    }

    /// Starts are an interval apart; a check that ran longer is followed by the next at once.
    fn reschedule(&mut self, serial: u64, started: Moment, now: Moment) {
        let Some(probe) = self.probes.get_mut(&serial) else { return };
        let interval = self.rng.around(probe.key.interval, probe.key.jitter_percent);
        probe.due = started.plus(interval).max(now);
        self.queue.insert((probe.due, serial));
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

/// The record that a new probe starts with: that of one which asked the same at another pace.
fn inherited(old: &BTreeMap<u64, Probe>, key: &ProbeKey, now: Moment) -> Record {
    old.values()
        .find(|probe| probe.key.asks_the_same(key))
        .map_or_else(|| Record::new(now), |probe| probe.record.inherited())
}

impl Probe {
    const fn new(key: ProbeKey, record: Record, due: Moment) -> Self {
        Self { key, record, users: Vec::new(), due }
    }

    fn rows(&self) -> impl Iterator<Item = Row> {
        self.users.iter().map(|target| Row {
            target: target.clone(),
            kind: self.key.kind.clone(),
            address: self.key.address,
            state: self.record.state,
            last_error: self.record.last_error,
            last_latency: self.record.last_latency,
            last_check: self.record.last_check,
            successes: self.record.successes,
            failures: self.record.failures,
            transitions: self.record.transitions,
            since: self.record.since,
        })
    }
}

#[cfg(test)]
mod tests;

//! Which backends of a Service serve, given what their checks have shown.
//!
//! A backend is well when all of its checks are, empty when its node says that it has no endpoints,
//! and failing otherwise. Of the Services' backends:
//!
//! - An empty one leaves at once, whatever the limits: its node knows best.
//! - A failing one leaves unless as many as the Service's `percent_max` of those that could serve
//!   (rounded up, one at least) have left within `window`. It is held then: it serves on, and leaves
//!   as soon as the window allows. A dead node leaves in the end, a fault of the checks not at once
//!   (AWS, 2025-10-20: load balancers took out capacity as fast as their checks could fail).
//! - With `fail_open`, all that could serve do while every one of them fails. When the first is
//!   well again the others leave, within the limits.
//! - One that was out stays out while its checks change; one that never served needs no leave.
//!
//! Drained backends (weight 0) and empty ones are not counted, neither as leaving nor as staying.

mod checks;
mod seat;

use std::collections::HashMap;
use std::sync::Arc;

use spillway_lb::model::{Model, Service, ServiceKind};
use spillway_lb::snapshot::Standing;

use super::{Check, Moment, ProbeError, State, Turn};
use checks::{CheckId, Checks};
use seat::{Seat, Seats};

/// What is decided about a backend, and why.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// All of its checks are well, or not decided yet.
    Active,
    Down(ProbeError),
    /// Its node says that no endpoint is there.
    NoEndpoints,
    /// Fails, and serves because all others fail too.
    FailOpen(ProbeError),
    /// Fails, and serves until so many may have left.
    Held(ProbeError),
    /// Its address is of a family that is not forwarded.
    NotForwarded,
}

impl Judgement {
    pub const fn is_serving(self) -> bool {
        match self {
            Self::Active | Self::FailOpen(_) | Self::Held(_) => true,
            Self::Down(_) | Self::NoEndpoints | Self::NotForwarded => false,
        }
    }
}

/// One backend of a Service, for display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgeView {
    pub judgement: Judgement,
    /// When it began or ceased to serve.
    pub since: Moment,
    /// In the order of the Service's checks.
    pub checks: Vec<Arc<Check>>,
}

/// How many are not judged by their checks alone.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Extremes {
    /// Services of which every backend fails and serves.
    pub failing_open: usize,
    /// Backends that fail and wait for their leave.
    pub held: usize,
}

/// One Service and its backends.
#[derive(Debug)]
struct Entry {
    service: Arc<Service>,
    seats: Seats,
    /// A check has turned since the last judgement.
    is_stale: bool,
}

/// The judge. See the module's page for its rules.
#[derive(Debug, Default)]
pub struct Judge {
    checks: Checks,
    /// In the model's order.
    entries: Vec<Entry>,
    names: HashMap<ServiceKind, HashMap<String, usize>>,
}

impl Judge {
    /// Makes the model's Services the ones that are judged; what is known of those that stay is kept.
    /// True when [`Judge::checks`] is another than before.
    pub fn set_model(&mut self, model: &Model) -> bool {
        let same = self.entries.len() == model.services.len()
            && (self.entries.iter().zip(&model.services))
                .all(|(entry, service)| Arc::ptr_eq(&entry.service, service));
        if same {
            return false;
        }
        let mut old: Vec<Option<Entry>> =
            std::mem::take(&mut self.entries).into_iter().map(Some).collect();
        for service in &model.services {
            let names = self.names.get(&service.kind);
            let at = names.and_then(|names| names.get(&service.name));
            let known = at.and_then(|at| old.get_mut(*at)?.take());
            self.entries.push(match known {
                Some(mut entry) if *entry.service == **service => {
                    entry.service = Arc::clone(service);
                    entry
                }
                known => {
                    let before = known.map(|entry| entry.seats);
                    let seats = Seats::of(service, before, &mut self.checks);
                    Entry { service: Arc::clone(service), seats, is_stale: true }
                }
            });
        }
        self.names.clear();
        for (at, service) in model.services.iter().enumerate() {
            self.names.entry(service.kind).or_default().insert(service.name.clone(), at);
        }
        self.checks.set_users(self.entries.iter().map(|entry| entry.seats.checks()))
    }

    /// Every check that the model asks for, once; those that most Services share come first.
    pub fn checks(&self) -> Vec<Arc<Check>> {
        self.checks.by_users()
    }

    /// Takes in a turn. True when a standing may follow from it.
    pub fn note(&mut self, turn: &Turn) -> bool {
        let Some((before, users)) = self.checks.note(turn) else { return false };
        // The first good answer changes nothing for those that have served since the start.
        let settled = before.state == State::Unknown
            && turn.state == State::Up
            && before.weight == turn.weight;
        let mut matters = false;
        for user in users {
            let Some(entry) = self.entries.get_mut(*user) else { continue };
            entry.is_stale = true;
            matters |= !(settled && entry.seats.are_all_active());
        }
        matters
    }

    /// How many Services use a check, and the first of them: for the log.
    pub fn users(&self, check: &Check) -> Option<(usize, &Service)> {
        let users = self.checks.users(check)?;
        Some((users.len(), &self.entries.get(*users.first()?)?.service))
    }

    /// The standing of each backend of a Service of the model, in their order. A Service that is not
    /// of the model has none.
    pub fn standings(&mut self, service: &Service, now: Moment) -> Vec<Standing> {
        let Some(entry) = self.find(service).and_then(|at| self.entries.get_mut(at)) else {
            return Vec::new();
        };
        if entry.is_stale || entry.seats.due().is_some_and(|due| due <= now) {
            entry.is_stale = false;
            entry.seats.judge(&entry.service.ejection, &self.checks, now);
        }
        entry.seats.iter().map(Seat::standing).collect()
    }

    /// When the standings change without a turn, because a backend that is held may leave. They are
    /// to be asked for again then.
    pub fn next_change(&self) -> Option<Moment> {
        self.entries.iter().filter_map(|entry| entry.seats.due()).min()
    }

    /// The backends of a Service, in their order, as they were judged last.
    pub fn view(&self, service: &Service) -> Vec<JudgeView> {
        let entry = self.find(service).and_then(|at| self.entries.get(at));
        let seats = entry.into_iter().flat_map(|entry| entry.seats.iter());
        seats.map(|seat| seat.view(&self.checks)).collect()
    }

    /// What an operator should know of: where the limits have overruled the checks.
    pub fn extremes(&self) -> Extremes {
        let mut extremes = Extremes::default();
        for entry in self.entries.iter().filter(|entry| !entry.seats.are_all_active()) {
            let judgements = || entry.seats.iter().map(Seat::judgement);
            let open = judgements().any(|it| matches!(it, Judgement::FailOpen(_)));
            extremes.failing_open += usize::from(open);
            extremes.held += judgements().filter(|it| matches!(it, Judgement::Held(_))).count();
        }
        extremes
    }

    fn find(&self, service: &Service) -> Option<usize> {
        let at = *self.names.get(&service.kind)?.get(&service.name)?;
        let known = &*self.entries.get(at)?.service;
        (std::ptr::eq(known, service) || known == service).then_some(at)
    }
}

#[cfg(test)]
mod tests;

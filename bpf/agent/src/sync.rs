//! Carries the ledger's steps out.
//!
//! ```text
//! NodeView ─→ Ledger::plan ─→ steps ─→ Store (the maps)
//!                  ↑                     │ a step is refused
//!                  └── adopt, bar it ────┘
//! ```
//! A row that the kernel refuses (the map is full with rows of others, or memory is short) stops the plan where it is; by
//! the order of its steps everything is served then, as it was or as it will be. What is there is adopted, the Service
//! whose row it was keeps what it has, and the rest of the view is tried again.

use std::collections::BTreeMap;
use std::io;
use std::thread;
use std::time::Duration;

use aya::maps::MapError;
use aya::maps::lpm_trie::Key;
use spillway_cluster::node::NodeView;

use crate::layout::SourceRange;
use crate::ledger::{
    Capacity, Failed, Found, GoneBackend, Ledger, NodePlaces, Plan, Range, SourceKey, Step,
};
use crate::maps::{self, Maps};

/// Programs that began before it have ended after it: they run for microseconds, and on a kernel that preempts them for
/// not much longer.
const SETTLE: Duration = Duration::from_millis(20);

/// Refusals in one sync, after which the rest of the view waits for the next.
const REFUSALS_MAX: usize = 8;

/// Before a view with refused rows is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// A map cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("map {map}: {attempt} fails: {reason}")]
pub struct StoreError {
    map: &'static str,
    attempt: &'static str,
    reason: String,
}

/// The maps, or a test's.
pub trait Store {
    fn capacity(&self) -> Capacity;
    fn found(&self) -> Result<Found, StoreError>;
    fn choices(&self, range: Range) -> Option<Vec<u32>>;
    fn apply(&mut self, step: &Step) -> Result<(), StoreError>;
}

/// What became of a view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Services that were looked at closely.
    pub touched: usize,
    /// Steps that were carried out, by their kind.
    pub steps: BTreeMap<&'static str, usize>,
    /// Services, or parts of them, that are not served as they should be; the rest of the view is.
    pub failed: Vec<Failed>,
    /// Backends that no Service has any longer.
    pub gone: Vec<GoneBackend>,
    /// When the view should be tried again: places will be free then, or memory.
    pub retry_at: Option<Duration>,
    pub names_changed: bool,
    pub spent: Duration,
}

/// The ledger with its maps' state.
#[derive(Debug)]
pub struct Sync {
    ledger: Ledger,
}

impl Sync {
    /// Takes up what the maps hold, and deletes what makes no sense.
    pub fn adopt(store: &mut impl Store) -> Result<Self, StoreError> {
        Ok(Self { ledger: adopt(store)? })
    }

    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Makes the maps serve `view`. `clock` is the time since any moment, the same for all calls.
    ///
    /// # Errors
    /// The maps cannot even be read. What they serve goes on.
    pub fn sync(
        &mut self,
        store: &mut impl Store,
        view: &NodeView,
        places: &NodePlaces,
        clock: impl Fn() -> Duration,
    ) -> Result<Outcome, StoreError> {
        let started = clock();
        let mut outcome = Outcome::default();
        let mut refused_until = None;
        self.ledger.unbar();
        for attempt in 0.. {
            let plan = self.ledger.plan(view, places, clock());
            outcome.touched += plan.touched;
            outcome.names_changed |= plan.names_changed;
            let Err((step, error)) = carry_out(store, &plan, &mut outcome) else {
                let now = clock();
                self.ledger.applied(now);
                let is_due = plan.retry_at.is_some_and(|at| at <= now);
                outcome.finish(plan);
                if is_due && attempt < REFUSALS_MAX {
                    continue;
                }
                break;
            };
            let name = self.ledger.name_of(step.service()).cloned();
            let mut barred = self.ledger.unbar();
            self.ledger = adopt(store)?;
            let is_last = attempt + 1 >= REFUSALS_MAX;
            refused_until = Some(clock() + RETRY);
            match name {
                Some(name) if !is_last => _ = barred.insert(name, error.to_string()),
                name => {
                    let service = name.map_or_else(|| "all services".to_owned(), |(name, _)| name);
                    let reason = format!("service {service}: {error}; the rest of the view waits");
                    outcome.failed.push(Failed { service, reason });
                    outcome.names_changed = true;
                    break;
                }
            }
            for (service, why) in barred {
                self.ledger.bar(service, why);
            }
        }
        outcome.retry_at = outcome.retry_at.into_iter().chain(refused_until).min();
        outcome.spent = clock().saturating_sub(started);
        Ok(outcome)
    }
}

impl Outcome {
    fn finish(&mut self, plan: Plan) {
        let Plan { steps: _, failed, gone, touched: _, retry_at, names_changed: _ } = plan;
        self.failed = failed;
        self.gone.extend(gone);
        self.retry_at = retry_at;
    }
}

fn adopt(store: &mut impl Store) -> Result<Ledger, StoreError> {
    let found = store.found()?;
    let (ledger, repairs) = Ledger::adopt(store.capacity(), found, |range| store.choices(range));
    repairs.iter().try_for_each(|step| store.apply(step))?;
    Ok(ledger)
}

fn carry_out<'p>(
    store: &mut impl Store,
    plan: &'p Plan,
    outcome: &mut Outcome,
) -> Result<(), (&'p Step, StoreError)> {
    for step in &plan.steps {
        store.apply(step).map_err(|error| (step, error))?;
        *outcome.steps.entry(step.kind()).or_default() += 1;
    }
    Ok(())
}

impl Store for Maps {
    fn capacity(&self) -> Capacity {
        Self::capacity(self)
    }

    fn found(&self) -> Result<Found, StoreError> {
        let sizes = self.sizes();
        let frontends = maps::rows(&self.frontends, sizes.frontends).collect::<Result<_, _>>();
        let sources = self.source_ranges.keys().take(sizes.source_ranges as usize).map(|key| {
            let key: Key<SourceRange> = key?;
            Ok(SourceKey { bits: key.prefix_len(), range: key.data() })
        });
        Ok(Found {
            frontends: frontends.map_err(|error| failure("frontends", "reading", &error))?,
            backends: self
                .backends
                .iter()
                .collect::<Result<_, _>>()
                .map_err(|error| failure("backends", "reading", &error))?,
            source_ranges: sources
                .collect::<Result<_, MapError>>()
                .map_err(|error| failure("source_ranges", "reading", &error))?,
        })
    }

    fn choices(&self, range: Range) -> Option<Vec<u32>> {
        (range.first..range.end()).map(|place| self.choices.get(&place, 0).ok()).collect()
    }

    fn apply(&mut self, step: &Step) -> Result<(), StoreError> {
        match step {
            Step::WriteBackend { index, row } | Step::FreeBackend { index, row } => {
                check("backends", "writing", self.backends.set(*index, row, 0))
            }
            Step::WriteChoices { first, rows } => {
                let mut places = (*first..).zip(rows);
                let written = places.try_for_each(|(place, row)| self.choices.set(place, row, 0));
                check("choices", "writing", written)
            }
            Step::PutSourceRange(key) => {
                check("source_ranges", "writing", self.source_ranges.insert(&trie(*key), 1, 0))
            }
            Step::DeleteSourceRange(key) => {
                check_gone("source_ranges", self.source_ranges.remove(&trie(*key)))
            }
            Step::PutFrontend { key, row } => {
                check("frontends", "writing", self.frontends.insert(key, row, 0))
            }
            Step::DeleteFrontend(key) => check_gone("frontends", self.frontends.remove(key)),
            Step::Settle => {
                thread::sleep(SETTLE);
                Ok(())
            }
        }
    }
}

const fn trie(key: SourceKey) -> Key<SourceRange> {
    Key::new(key.bits, key.range)
}

fn check(
    map: &'static str,
    attempt: &'static str,
    result: Result<(), MapError>,
) -> Result<(), StoreError> {
    result.map_err(|error| failure(map, attempt, &error))
}

/// What is gone already need not be deleted.
fn check_gone(map: &'static str, result: Result<(), MapError>) -> Result<(), StoreError> {
    match result {
        Err(error)
            if maps::os_error(&error).is_some_and(|it| it.kind() == io::ErrorKind::NotFound) =>
        {
            Ok(())
        }
        result => check(map, "deleting", result),
    }
}

fn failure(map: &'static str, attempt: &'static str, error: &MapError) -> StoreError {
    // aya's own text names the system call only.
    let reason = maps::os_error(error).map_or_else(|| error.to_string(), ToString::to_string);
    StoreError { map, attempt, reason }
}

//! The maps as plain tables, and a reader that looks things up as the programs do.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use spillway_node::layout::{BACKEND_FREE, Backend, Frontend, FrontendKey};
use spillway_node::ledger::{Capacity, Found, Ledger, Plan, REST, Range, SourceKey, Step};

/// What a frontend leads to: its service, and every backend that can be met.
pub(crate) type Sight = (u32, BTreeSet<SocketAddr>);

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) capacity: Capacity,
    pub(crate) frontends: BTreeMap<FrontendKey, Frontend>,
    pub(crate) choices: Vec<u32>,
    pub(crate) backends: Vec<Backend>,
    pub(crate) sources: BTreeSet<SourceKey>,
    /// When a place of `choices`, or a row of `backends`, was last in use.
    left: HashMap<(bool, u32), Duration>,
}

impl World {
    pub(crate) fn new(capacity: Capacity) -> Self {
        Self {
            capacity,
            frontends: BTreeMap::new(),
            choices: vec![0; capacity.choices as usize],
            backends: vec![Backend::default(); capacity.backends as usize],
            sources: BTreeSet::new(),
            left: HashMap::new(),
        }
    }

    /// One write, with what the kernel and the readers would not forgive.
    pub(crate) fn apply(&mut self, step: &Step, now: Duration) {
        match step {
            Step::WriteBackend { index, row } => {
                let old = &mut self.backends[*index as usize];
                let is_same =
                    (old.address, old.port, old.service) == (row.address, row.port, row.service);
                if *index == 0 {
                    assert_eq!(row.state, BACKEND_FREE, "row 0 is nobody's");
                } else if old.state == BACKEND_FREE {
                    assert_rested(&self.left, (true, *index), now);
                } else {
                    assert!(is_same, "a row in use gets another backend: {old:?} {row:?}");
                }
                *old = *row;
            }
            Step::WriteChoices { first, rows } => {
                for (place, row) in (*first..).zip(rows) {
                    let is_used =
                        self.ranges().iter().any(|it| (it.first..it.end()).contains(&place));
                    assert!(!is_used, "place {place} is written while a frontend leads there");
                    assert_rested(&self.left, (false, place), now);
                    self.choices[place as usize] = *row;
                }
            }
            Step::PutFrontend { key, row } => {
                self.frontends.insert(*key, *row);
                assert!(self.frontends.len() <= self.capacity.frontends as usize, "E2BIG");
            }
            Step::DeleteFrontend(key) => {
                assert!(self.frontends.remove(key).is_some(), "ENOENT {key:?}");
            }
            Step::Settle => {}
            Step::FreeBackend { index, row } => {
                let old = self.backends[*index as usize];
                assert_eq!(*row, Backend { state: BACKEND_FREE, pad: row.pad, ..old });
                self.backends[*index as usize] = *row;
            }
            Step::PutSourceRange(key) => {
                assert!(self.sources.insert(*key), "it is there: {key:?}");
                assert!(self.sources.len() <= self.capacity.source_ranges as usize, "ENOSPC");
            }
            Step::DeleteSourceRange(key) => {
                assert!(self.sources.remove(key), "ENOENT {key:?}");
            }
        }
    }

    /// All ranges of choices that frontends lead to, each once.
    pub(crate) fn ranges(&self) -> BTreeSet<Range> {
        let ranges = self.frontends.values().map(|it| Range { first: it.first, count: it.count });
        ranges.filter(|range| range.count > 0).collect()
    }

    /// Frontend, choices, backends; every choice must lead to a backend of the frontend's service.
    pub(crate) fn see(&self, key: &FrontendKey) -> Option<Sight> {
        let frontend = self.frontends.get(key)?;
        let backend = |place: u32| {
            let row = self.choices[place as usize];
            let backend = self.backends[row as usize];
            assert_ne!(backend.state, BACKEND_FREE, "{key:?} leads to a row that is free");
            assert_eq!(backend.service, frontend.service, "{key:?} leads to another's backend");
            backend.socket()
        };
        let places = frontend.first..frontend.first + frontend.count;
        Some((frontend.service, places.map(backend).collect()))
    }

    pub(crate) fn see_all(&self) -> BTreeMap<FrontendKey, Sight> {
        self.frontends.keys().filter_map(|key| Some((*key, self.see(key)?))).collect()
    }

    /// Carries out a plan, and looks at every frontend after every step.
    pub(crate) fn carry_out(&mut self, plan: &Plan, now: Duration) {
        let before = self.see_all();
        let mut end = self.clone();
        for step in &plan.steps {
            end.apply(step, now);
        }
        let after = end.see_all();
        let used = |world: &Self| -> BTreeSet<(bool, u32)> {
            let rows = (1..).zip(world.backends.iter().skip(1));
            let rows =
                rows.filter(|(_, row)| row.state != BACKEND_FREE).map(|(row, _)| (true, row));
            let places = world.ranges().into_iter().flat_map(|it| it.first..it.end());
            rows.chain(places.map(|place| (false, place))).collect()
        };
        let used_before = used(self);
        for step in &plan.steps {
            self.apply(step, now);
            for key in before.keys().chain(after.keys()) {
                let (old, new) = (before.get(key), after.get(key));
                let seen = self.see(key);
                let is_due = seen.as_ref() == old || seen.as_ref() == new;
                assert!(is_due, "{key:?}: {seen:?} is neither {old:?} nor {new:?}, after {step:?}");
            }
        }
        let used_after = used(self);
        for gone in used_before.difference(&used_after) {
            self.left.insert(*gone, now);
        }
    }

    pub(crate) fn found(&self) -> Found {
        Found {
            frontends: self.frontends.iter().map(|(key, row)| (*key, *row)).collect(),
            backends: self.backends.clone(),
            source_ranges: self.sources.iter().copied().collect(),
        }
    }

    /// Another agent takes over.
    pub(crate) fn adopt(&mut self) -> (Ledger, Vec<Step>) {
        self.left.clear();
        let choices = |range: Range| {
            let places = range.first as usize..range.end() as usize;
            self.choices.get(places).map(<[u32]>::to_vec)
        };
        Ledger::adopt(self.capacity, self.found(), choices)
    }

    /// Nothing is in use that nobody uses, and what rests is known.
    pub(crate) fn assert_no_leak(&self, ledger: &Ledger) {
        let (choices, rows) = ledger.resting();
        let usage = ledger.usage();
        let places: u32 = self.ranges().iter().map(|range| range.count).sum();
        assert_eq!(usage.choices, places + choices, "places in use and resting");
        let live = self.backends.iter().filter(|row| row.state != BACKEND_FREE).count();
        assert_eq!(usage.backends as usize, 1 + live + rows, "rows in use and resting");
        assert_eq!(usage.frontends as usize, self.frontends.len());
        assert_eq!(usage.source_ranges as usize, self.sources.len());
        let serving: BTreeSet<u32> = self.frontends.values().map(|row| row.service).collect();
        for row in self.backends.iter().filter(|row| row.state != BACKEND_FREE) {
            assert!(serving.contains(&row.service), "a backend without a frontend: {row:?}");
        }
        for key in &self.sources {
            assert!(serving.contains(&key.range.service), "a source without a frontend: {key:?}");
        }
    }
}

fn assert_rested(left: &HashMap<(bool, u32), Duration>, place: (bool, u32), now: Duration) {
    let rested = left.get(&place).is_none_or(|left| now >= *left + REST);
    assert!(rested, "{place:?} is taken again too early");
}

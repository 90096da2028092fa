//! Tells the API server what the box does: status, finalizers, events; never before every worker does it.
//!
//! Level-triggered. For each Service that the translation has a [`Promise`] for, the next write is planned from
//! the object as the watch has it, once for each version of the object and each promise. The writer retries
//! what the API server cannot take, and a newer plan replaces an older one. A box that does not hold the
//! Lease plans nothing; when it gets it, it plans everything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use spillway_cluster::events::{Draft, Reason};
use spillway_cluster::status::{Circumstances, Write, plan};
use spillway_cluster::translate::{Promise, Promised};
use spillway_cluster::{Cluster, ObjectKey, View};
use spillway_kube::{Writer, Written, utc};
use spillway_lb::ids::Generation;
use spillway_lb::model::ServiceKind;

/// One Service and how far its object is.
#[derive(Debug)]
struct Entry {
    promise: Arc<Promise>,
    /// The first Generation that keeps the promise; `None` until it is built.
    since: Option<Generation>,
    /// The object's version that the last write was planned from: its answer is another.
    planned: Option<String>,
}

/// Counted since the start.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeraldCounters {
    pub(crate) done: u64,
    pub(crate) failed: u64,
}

/// See the module's page.
#[derive(Debug)]
pub(crate) struct Herald {
    writer: Writer,
    class: String,
    entries: BTreeMap<ObjectKey, Entry>,
    /// Whose object may have to change.
    dirty: BTreeSet<ObjectKey>,
    /// Whose last write was not answered for good.
    out: BTreeSet<ObjectKey>,
    /// Promised, with nowhere to send anybody.
    unavailable: BTreeSet<ObjectKey>,
    counters: HeraldCounters,
}

impl Herald {
    pub(crate) fn new(writer: Writer, class: String) -> Self {
        Self {
            writer,
            class,
            entries: BTreeMap::new(),
            dirty: BTreeSet::new(),
            out: BTreeSet::new(),
            unavailable: BTreeSet::new(),
            counters: HeraldCounters::default(),
        }
    }

    pub(crate) const fn counters(&self) -> HeraldCounters {
        self.counters
    }

    /// Whether the API server forbids writing.
    pub(crate) fn is_read_only(&self) -> bool {
        self.writer.is_read_only()
    }

    /// Services whose write is out or waits for the workers. Asked after all news: looks only at those that
    /// wait, which are few while the box works.
    pub(crate) fn pending(&self) -> usize {
        self.out.len() + self.dirty.iter().filter(|key| !self.out.contains(*key)).count()
    }

    /// Takes in what is promised now.
    pub(crate) fn promise(&mut self, view: &View) {
        let mut old = std::mem::take(&mut self.entries);
        for promise in &view.intents {
            let entry = match old.remove(&promise.service) {
                Some(entry) if entry.promise == *promise => entry,
                Some(_) | None => {
                    self.dirty.insert(promise.service.clone());
                    self.out.remove(&promise.service);
                    Entry { promise: Arc::clone(promise), since: None, planned: None }
                }
            };
            self.entries.insert(promise.service.clone(), entry);
        }
        for key in old.keys() {
            self.dirty.remove(key);
            self.out.remove(key);
        }
    }

    /// Tells of Services that have an address and nobody behind it, once each time that it comes about.
    pub(crate) fn warn_of_empty(&mut self, view: &View) {
        let has_backends: BTreeSet<&str> = (view.model.services.iter())
            .filter(|it| it.kind == ServiceKind::LoadBalancer && !it.backends.is_empty())
            // `namespace/name:port`
            .filter_map(|it| it.name.split(':').next())
            .collect();
        let served = view.intents.iter().filter(|it| matches!(it.state, Promised::Serve { .. }));
        let empty: Vec<&Arc<Promise>> =
            served.filter(|it| !has_backends.contains(it.service.to_string().as_str())).collect();
        for promise in &empty {
            if self.unavailable.contains(&promise.service) {
                continue;
            }
            let reason = Reason::UnAvailableLoadBalancer;
            let (service, uid) = (promise.service.clone(), promise.uid.clone());
            let message = reason.message().unwrap_or_default().to_owned();
            self.writer.submit(vec![Write::Event(Draft { service, uid, reason, message })]);
        }
        self.unavailable = empty.into_iter().map(|it| it.service.clone()).collect();
    }

    /// What was promised before this Generation was built, it keeps.
    pub(crate) fn built(&mut self, generation: Generation) {
        for entry in self.entries.values_mut() {
            entry.since.get_or_insert(generation);
        }
    }

    /// The object may be another than before.
    pub(crate) fn changed(&mut self, service: &ObjectKey) {
        if self.entries.contains_key(service) {
            self.dirty.insert(service.clone());
        }
    }

    /// All objects were read anew.
    pub(crate) fn review(&mut self) {
        self.dirty.extend(self.entries.keys().cloned());
    }

    /// The Lease is ours since now: whatever was planned before was not written by us.
    pub(crate) fn lead(&mut self) {
        for entry in self.entries.values_mut() {
            entry.planned = None;
        }
        self.review();
    }

    /// What became of a write.
    pub(crate) fn written(&mut self, service: &ObjectKey, outcome: &Written) {
        match outcome {
            Written::Done(_) => self.counters.done += 1,
            Written::Unavailable(text) | Written::Forbidden(text) => {
                // The writer tries it again.
                tracing::debug!("service {service}: not written: {text}");
                self.counters.failed += 1;
                return;
            }
            Written::Invalid(text) => {
                tracing::warn!(
                    "service {service}: the API server does not take its status: {text}"
                );
                self.counters.failed += 1;
            }
            // Whatever it is now comes by the watch.
            Written::Conflict(_) | Written::Gone | Written::NotLeader => {}
        }
        self.out.remove(service);
    }

    /// Plans what can be planned, with what all workers serve.
    pub(crate) fn work(&mut self, cluster: &Cluster, served: Generation) {
        if self.dirty.is_empty() {
            return;
        }
        let now = utc();
        for key in std::mem::take(&mut self.dirty) {
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            let Some(service) = cluster.index().service(&key) else { continue };
            let version = &service.meta.resource_version;
            if entry.planned.as_ref() == Some(version) {
                continue;
            }
            let since = entry.since.unwrap_or(Generation::new(u64::MAX));
            let circumstances =
                Circumstances { now: &now, served, class: &self.class, book: cluster.book() };
            let writes = plan(&entry.promise.at(since), service, &circumstances);
            if !writes.is_empty() {
                entry.planned = Some(version.clone());
                self.out.insert(key);
                self.writer.submit(writes);
            } else if served < since {
                self.dirty.insert(key);
            }
        }
    }

    /// Whether something is to be written as soon as the workers serve more.
    pub(crate) fn waits_for(&self, served: Generation) -> bool {
        let since = |key| self.entries.get(key).and_then(|entry| entry.since);
        self.dirty.iter().filter_map(since).any(|since| since > served)
    }
}

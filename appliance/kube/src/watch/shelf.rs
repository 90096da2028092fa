//! What is known of all kinds, shared between the watch and the cache.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use spillway_cluster::{Kind, Object};
use tokio::sync::watch;

use crate::cache::Saved;
use crate::watch::mirror::{Mirror, Origin};

/// A mirror for each kind.
pub(crate) struct Shelf {
    services: Mutex<Mirror>,
    slices: Mutex<Mirror>,
    nodes: Mutex<Mirror>,
    changes: watch::Sender<u64>,
}

impl Shelf {
    pub(crate) fn new() -> Self {
        Self {
            services: Mutex::default(),
            slices: Mutex::default(),
            nodes: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }

    /// Never held over a wait.
    pub(crate) fn mirror(&self, kind: Kind) -> MutexGuard<'_, Mirror> {
        let mirror = match kind {
            Kind::Service => &self.services,
            Kind::EndpointSlice => &self.slices,
            Kind::Node => &self.nodes,
        };
        mirror.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Believes the cache, until the API server says better.
    pub(crate) fn seed(&self, saved: Saved) {
        self.mirror(saved.kind).seed(saved.at, saved.objects);
    }

    /// What the cache should hold now. A kind that the API server has not told of keeps the age it had.
    pub(crate) fn saved(&self, now: SystemTime) -> Vec<Saved> {
        let of = |kind| {
            let mirror = self.mirror(kind);
            let at = match mirror.origin() {
                Origin::Nothing => return None,
                Origin::Cache(at) => at,
                Origin::ApiServer => now,
            };
            Some(Saved { kind, at, objects: mirror.objects() })
        };
        Kind::ALL.into_iter().filter_map(of).collect()
    }

    pub(crate) fn objects(&self, kind: Kind) -> Vec<Object> {
        self.mirror(kind).objects()
    }

    pub(crate) fn tell_changed(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

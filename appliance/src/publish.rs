//! Handing a Generation to the workers, and knowing when all of them serve it.
//!
//! Tables are immutable. The publisher builds them and keeps every Generation that a worker may
//! still hold, so their memory is freed on the control side only.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;
use spillway_lb::ids::Generation;
use spillway_lb::tables::Tables;

/// One worker's letter box for tables.
#[derive(Debug)]
pub(crate) struct Slot {
    pending: ArrayQueue<Arc<Tables>>,
    adopted: AtomicU64,
}

impl Slot {
    /// The worker's side: newer tables, if there are any.
    #[inline]
    pub(crate) fn newer(&self) -> Option<Arc<Tables>> {
        if self.pending.is_empty() { None } else { self.pending.pop() }
    }

    /// The worker's side: from now on it uses nothing older.
    pub(crate) fn acknowledge(&self, generation: Generation) {
        self.adopted.store(generation.get(), Ordering::Release);
    }
}

/// The control side of all slots.
#[derive(Debug)]
pub(crate) struct Publisher {
    slots: Vec<Arc<Slot>>,
    /// Every Generation that some worker may still use, oldest first.
    kept: Vec<Arc<Tables>>,
}

impl Publisher {
    /// `first`: what the workers start with.
    pub(crate) fn new(workers: usize, first: Arc<Tables>) -> Self {
        let slot = || Slot {
            pending: ArrayQueue::new(1),
            adopted: AtomicU64::new(first.generation.get()),
        };
        Self { slots: (0..workers).map(|_| Arc::new(slot())).collect(), kept: vec![first] }
    }

    pub(crate) fn slot(&self, worker: usize) -> Option<Arc<Slot>> {
        self.slots.get(worker).cloned()
    }

    /// Gives every worker the new tables; one that was not fetched yet is replaced.
    pub(crate) fn publish(&mut self, tables: Tables) {
        let tables = Arc::new(tables);
        for slot in &self.slots {
            drop(slot.pending.force_push(Arc::clone(&tables)));
        }
        self.kept.push(tables);
        self.release();
    }

    /// The newest Generation that every worker serves.
    pub(crate) fn adopted(&self) -> Generation {
        let adopted = self.slots.iter().map(|slot| slot.adopted.load(Ordering::Acquire)).min();
        Generation::new(adopted.unwrap_or(u64::MAX))
    }

    /// What was published last.
    pub(crate) fn newest(&self) -> Option<&Arc<Tables>> {
        self.kept.last()
    }

    /// Lets go of Generations that no worker uses any more.
    fn release(&mut self) {
        let oldest = self.adopted().get();
        let newest = self.kept.last().map_or(0, |tables| tables.generation.get());
        self.kept.retain(|tables| {
            let generation = tables.generation.get();
            generation >= oldest || generation == newest
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spillway_lb::hash::HashKey;
    use spillway_lb::model::{Model, Network};
    use spillway_lb::snapshot::Identities;

    fn tables(identities: &mut Identities) -> Tables {
        let network = Network { ports: Vec::new(), snat: Vec::new(), probe_ports: 1..=2 };
        let snapshot = identities.snapshot(&Model::default(), |_| Vec::new());
        Tables::compile(&snapshot, &network, HashKey([1, 2]))
    }

    #[test]
    fn tables_are_kept_until_every_worker_has_moved_on_and_freed_by_the_publisher() {
        let identities = &mut Identities::default();
        let mut publisher = Publisher::new(2, Arc::new(tables(identities)));
        let (one, two) = (publisher.slot(0).unwrap(), publisher.slot(1).unwrap());
        publisher.publish(tables(identities));
        one.acknowledge(one.newer().unwrap().generation);
        publisher.publish(tables(identities));
        assert_eq!(publisher.kept.len(), 3, "worker 1 may still use the first");
        two.acknowledge(two.newer().unwrap().generation);
        one.acknowledge(one.newer().unwrap().generation);
        publisher.release();
        assert_eq!(publisher.kept.len(), 1);
        assert!(one.newer().is_none());
    }
}

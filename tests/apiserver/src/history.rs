//! What happened to the objects of one kind, as far back as the window reaches.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::object::{Key, Object};

/// One change: before, after, and the version that it made.
#[derive(Clone, Debug)]
pub struct Change {
    pub version: u64,
    pub before: Option<Arc<Object>>,
    /// `None`: it was deleted.
    pub after: Option<Arc<Object>>,
}

impl Change {
    fn key(&self) -> Option<Key> {
        self.after.as_ref().or(self.before.as_ref()).map(|object| object.key())
    }
}

/// A bounded log of changes. Versions up to `floor` are forgotten.
#[derive(Debug, Default)]
pub struct History {
    changes: VecDeque<Change>,
    floor: u64,
}

/// The version asked for is older than the window.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// The oldest version from which one can go on.
    pub floor: u64,
}

impl History {
    /// Adds a change and forgets the oldest beyond `limit`.
    pub fn record(&mut self, change: Change, limit: usize) {
        self.changes.push_back(change);
        while self.changes.len() > limit {
            if let Some(oldest) = self.changes.pop_front() {
                self.floor = oldest.version;
            }
        }
    }

    /// Forgets everything up to `version`.
    pub fn compact(&mut self, version: u64) {
        self.floor = self.floor.max(version);
        while self.changes.front().is_some_and(|change| change.version <= version) {
            self.changes.pop_front();
        }
    }

    /// The changes after `version`, oldest first.
    pub fn since(&self, version: u64) -> Result<impl Iterator<Item = &Change>, Forgotten> {
        if version < self.floor {
            return Err(Forgotten { floor: self.floor });
        }
        let start = self.changes.partition_point(|change| change.version <= version);
        Ok(self.changes.range(start..))
    }

    /// `objects` as they were at `version`: the later changes undone.
    pub fn undo(
        &self,
        objects: &BTreeMap<Key, Arc<Object>>,
        version: u64,
    ) -> Result<BTreeMap<Key, Arc<Object>>, Forgotten> {
        let later: Vec<&Change> = self.since(version)?.collect();
        let mut objects = objects.clone();
        for change in later.into_iter().rev() {
            let Some(key) = change.key() else { continue };
            match &change.before {
                Some(before) => objects.insert(key, Arc::clone(before)),
                None => objects.remove(&key),
            };
        }
        Ok(objects)
    }
}

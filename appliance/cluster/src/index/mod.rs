//! All objects that the watch has told of, and which Services a change touches.
//!
//! Pure: [`Index::apply`] is fed with changes, [`Index::take_dirty`] says what they touched. The order of changes to
//! different objects never matters: a slice may come before its Service, and a Service before its nodes.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::change::{Change, Kind, ObjectKey};
use crate::object::{EndpointSlice, Node, Object, Service};

/// What has changed since the last look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dirty {
    /// Services that came, went or changed.
    pub services: BTreeSet<ObjectKey>,
    /// Services whose slices came, went or changed.
    pub endpoints: BTreeSet<ObjectKey>,
    /// Whether any node came, went or changed.
    pub nodes: bool,
    /// Whether an object that cannot be read came or went.
    pub unreadable: bool,
}

impl Dirty {
    pub fn is_clean(&self) -> bool {
        self.services.is_empty() && self.endpoints.is_empty() && !self.nodes && !self.unreadable
    }
}

/// The cluster as it was last heard of.
#[derive(Clone, Debug, Default)]
pub struct Index {
    services: BTreeMap<ObjectKey, Arc<Service>>,
    slices: BTreeMap<ObjectKey, Arc<EndpointSlice>>,
    nodes: BTreeMap<ObjectKey, Arc<Node>>,
    unreadable: BTreeMap<(Kind, ObjectKey), String>,
    /// Names of the slices of a Service; both are of one namespace.
    slices_of: HashMap<ObjectKey, BTreeSet<String>>,
    dirty: Dirty,
}

impl Index {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in one step of the watch.
    pub fn apply(&mut self, change: Change<Object>) {
        match change {
            Change::Replace { kind, objects } => self.replace(kind, objects),
            Change::Upsert(object) => self.upsert(object),
            Change::Delete { kind, key } => self.delete(kind, &key),
        }
    }

    pub fn service(&self, key: &ObjectKey) -> Option<&Arc<Service>> {
        self.services.get(key)
    }

    /// In the order of namespace and name.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.values()
    }

    /// In the order of their names.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.values()
    }

    /// The slices of one Service, in the order of their names, whether or not the Service is there.
    pub fn slices_of(&self, service: &ObjectKey) -> impl Iterator<Item = &Arc<EndpointSlice>> {
        let names = self.slices_of.get(service).into_iter().flatten();
        names.filter_map(|name| {
            let key = ObjectKey { namespace: service.namespace.clone(), name: name.clone() };
            self.slices.get(&key)
        })
    }

    /// What is there and cannot be served, with a sentence.
    pub fn unreadable(&self) -> impl Iterator<Item = (Kind, &ObjectKey, &str)> {
        self.unreadable.iter().map(|((kind, key), reason)| (*kind, key, reason.as_str()))
    }

    /// Everything, for a copy on disk: applied to an empty Index it gives an equal one.
    pub fn objects(&self) -> impl Iterator<Item = Object> {
        let services = self.services.values().cloned().map(Object::Service);
        let slices = self.slices.values().cloned().map(Object::EndpointSlice);
        let nodes = self.nodes.values().cloned().map(Object::Node);
        let unreadable = self.unreadable.iter().map(|((kind, key), reason)| Object::Unreadable {
            kind: *kind,
            key: key.clone(),
            reason: reason.clone(),
        });
        services.chain(slices).chain(nodes).chain(unreadable)
    }

    /// How many objects of a kind there are, readable or not.
    pub fn count(&self, kind: Kind) -> usize {
        let readable = match kind {
            Kind::Service => self.services.len(),
            Kind::EndpointSlice => self.slices.len(),
            Kind::Node => self.nodes.len(),
        };
        readable + self.unreadable.keys().filter(|(it, _)| *it == kind).count()
    }

    /// What has changed since this was last asked.
    pub fn take_dirty(&mut self) -> Dirty {
        std::mem::take(&mut self.dirty)
    }

    fn replace(&mut self, kind: Kind, objects: Vec<Object>) {
        // A LIST holds one kind. What is of another was put there by nobody whom we could ask.
        let objects: Vec<Object> =
            objects.into_iter().filter(|object| object.kind() == kind).collect();
        let kept: HashSet<ObjectKey> = objects.iter().map(Object::key).collect();
        for key in self.keys(kind) {
            if !kept.contains(&key) {
                self.delete(kind, &key);
            }
        }
        for object in objects {
            self.upsert(object);
        }
    }

    fn keys(&self, kind: Kind) -> Vec<ObjectKey> {
        let mut keys: Vec<ObjectKey> = match kind {
            Kind::Service => self.services.keys().cloned().collect(),
            Kind::EndpointSlice => self.slices.keys().cloned().collect(),
            Kind::Node => self.nodes.keys().cloned().collect(),
        };
        keys.extend(
            self.unreadable.keys().filter(|(it, _)| *it == kind).map(|(_, key)| key.clone()),
        );
        keys
    }

    fn upsert(&mut self, object: Object) {
        let key = object.key();
        match object {
            Object::Service(service) => {
                self.readable(Kind::Service, &key);
                let same = self.services.get(&key).is_some_and(|old| old.says_same(&service));
                self.services.insert(key.clone(), service);
                if !same {
                    self.dirty.services.insert(key);
                }
            }
            Object::EndpointSlice(slice) => {
                self.readable(Kind::EndpointSlice, &key);
                self.upsert_slice(key, slice);
            }
            Object::Node(node) => {
                self.readable(Kind::Node, &key);
                let same = self.nodes.get(&key).is_some_and(|old| old.says_same(&node));
                self.nodes.insert(key, node);
                self.dirty.nodes |= !same;
            }
            Object::Unreadable { kind, key, reason } => {
                self.remove(kind, &key);
                self.dirty.unreadable = true;
                self.unreadable.insert((kind, key), reason);
            }
        }
    }

    fn upsert_slice(&mut self, key: ObjectKey, slice: Arc<EndpointSlice>) {
        let old = self.slices.get(&key);
        if old.is_some_and(|old| old.says_same(&slice)) {
            self.slices.insert(key, slice);
            return;
        }
        // Its label may have moved it from one Service to another.
        self.remove(Kind::EndpointSlice, &key);
        if let Some(service) = slice.service() {
            self.slices_of.entry(service.clone()).or_default().insert(key.name.clone());
            self.dirty.endpoints.insert(service);
        }
        self.slices.insert(key, slice);
    }

    fn delete(&mut self, kind: Kind, key: &ObjectKey) {
        self.readable(kind, key);
        self.remove(kind, key);
    }

    /// Forgets that an object could not be read.
    fn readable(&mut self, kind: Kind, key: &ObjectKey) {
        if self.unreadable.is_empty() {
            return;
        }
        self.dirty.unreadable |= self.unreadable.remove(&(kind, key.clone())).is_some();
    }

    fn remove(&mut self, kind: Kind, key: &ObjectKey) {
        match kind {
            Kind::Service => {
                if self.services.remove(key).is_some() {
                    self.dirty.services.insert(key.clone());
                }
            }
            Kind::EndpointSlice => {
                let Some(service) = self.slices.remove(key).and_then(|slice| slice.service())
                else {
                    return;
                };
                if let Some(names) = self.slices_of.get_mut(&service) {
                    names.remove(&key.name);
                    if names.is_empty() {
                        self.slices_of.remove(&service);
                    }
                }
                self.dirty.endpoints.insert(service);
            }
            Kind::Node => self.dirty.nodes |= self.nodes.remove(key).is_some(),
        }
    }
}

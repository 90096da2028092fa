//! What the companion holds of a cluster: changes in, views out.
//!
//! | what changed | what is done again |
//! |---|---|
//! | the slices of a Service | its backends |
//! | a Service | its spec; if that is another: who has which place, of all |
//! | the zone of this node | the backends of all |
//! | its addresses | who has which place |
//! | anything else of a node, other nodes | nothing |
//!
//! The result is the same as that of a fresh [`NodeCluster`] fed with [`Index::objects`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::build::{Built, build};
use super::facts::Facts;
use super::join::Join;
use super::model::{NodeService, NodeView};
use super::policy::NodePolicy;
use super::settle::{Won, settle};
use super::spec::Spec;
use crate::change::{Change, Kind, ObjectKey};
use crate::index::{Dirty, Index};
use crate::object::Object;

/// One Service and what has been made of it.
#[derive(Debug)]
struct Entry {
    spec: Spec,
    won: Won,
    built: Built,
}

/// A cluster as one of its nodes serves it.
#[derive(Debug)]
pub struct NodeCluster {
    policy: NodePolicy,
    index: Index,
    facts: Facts,
    entries: BTreeMap<ObjectKey, Entry>,
    view: Option<Arc<NodeView>>,
}

/// What the next view must do again.
#[derive(Debug, Default)]
struct Stale {
    /// Somebody wants other places.
    places: bool,
    /// Whose backends are to be looked up.
    backends: BTreeSet<ObjectKey>,
}

impl NodeCluster {
    pub fn new(policy: NodePolicy) -> Self {
        Self {
            policy,
            index: Index::new(),
            facts: Facts::default(),
            entries: BTreeMap::new(),
            view: None,
        }
    }

    /// Takes in one step of the watch. Cheap: the work is done by [`NodeCluster::view`].
    pub fn apply(&mut self, change: Change<Object>) {
        self.index.apply(change);
    }

    /// All objects, for a copy on disk.
    pub fn index(&self) -> &Index {
        &self.index
    }

    pub fn policy(&self) -> &NodePolicy {
        &self.policy
    }

    /// What is to be served now: the static services, too.
    pub fn view(&mut self) -> Arc<NodeView> {
        let dirty = self.index.take_dirty();
        if let Some(view) = self.view.as_ref().filter(|_| dirty.is_clean()) {
            return Arc::clone(view);
        }
        let mut stale = Stale::default();
        self.look_at_node(&dirty, &mut stale);
        self.read_services(&dirty, &mut stale);
        stale.backends.extend(dirty.endpoints);
        if stale.places {
            self.settle(&mut stale);
        }
        self.build(&stale);
        let now = self.assemble();
        if let Some(view) = self.view.as_ref().filter(|view| ***view == now) {
            return Arc::clone(view);
        }
        let view = Arc::new(now);
        self.view = Some(Arc::clone(&view));
        view
    }

    fn look_at_node(&mut self, dirty: &Dirty, stale: &mut Stale) {
        if !dirty.nodes {
            return;
        }
        let node = self.index.nodes().find(|node| node.meta.name == self.policy.node);
        let facts = node.map_or_else(Facts::default, |node| Facts::of(node));
        stale.places |= facts.own != self.facts.own;
        if facts.zone != self.facts.zone {
            stale.backends.extend(self.entries.keys().cloned());
        }
        self.facts = facts;
    }

    fn read_services(&mut self, dirty: &Dirty, stale: &mut Stale) {
        for key in &dirty.services {
            let Some(service) = self.index.service(key) else {
                stale.places |= self.entries.remove(key).is_some();
                continue;
            };
            let spec = Spec::read(service, &self.policy);
            if self.entries.get(key).is_some_and(|entry| entry.spec == spec) {
                continue;
            }
            stale.places = true;
            stale.backends.insert(key.clone());
            if let Some(entry) = self.entries.get_mut(key) {
                entry.spec = spec;
            } else {
                let entry = Entry { spec, won: Won::default(), built: Built::default() };
                self.entries.insert(key.clone(), entry);
            }
        }
    }

    fn settle(&mut self, stale: &mut Stale) {
        let specs = self.entries.values().map(|entry| &entry.spec);
        let statics = self.policy.services.iter().map(AsRef::as_ref);
        let mut settled = settle(specs, statics, &self.facts.own);
        for (key, entry) in &mut self.entries {
            let now = settled.remove(key).unwrap_or_default();
            if entry.won != now {
                entry.won = now;
                stale.backends.insert(key.clone());
            }
        }
    }

    fn build(&mut self, stale: &Stale) {
        for key in &stale.backends {
            let Some(entry) = self.entries.get_mut(key) else { continue };
            let slices: Vec<_> = self.index.slices_of(key).collect();
            let join = Join {
                slices: &slices,
                node: &self.policy.node,
                zone: &self.facts.zone,
                publish_not_ready: entry.spec.publish_not_ready,
            };
            entry.built = build(&entry.spec, &entry.won, join, &entry.built.services);
        }
    }

    fn assemble(&self) -> NodeView {
        let mut services: Vec<Arc<NodeService>> = self.policy.services.clone();
        let mut health_ports = Vec::new();
        let mut refused = Vec::new();
        for entry in self.entries.values() {
            services.extend(entry.built.services.iter().cloned());
            health_ports.extend(entry.built.health_port.clone());
            refused.extend(entry.spec.refused.iter().cloned());
            refused.extend(entry.won.refused.iter().cloned());
            refused.extend(entry.built.refused.iter().cloned());
        }
        services.sort_by(|a, b| (&a.name, a.family).cmp(&(&b.name, b.family)));
        health_ports.sort_by_key(|health| health.port);
        // Other nodes are none of our business.
        let unreadable = self.index.unreadable();
        let ours =
            unreadable.filter(|(kind, key, _)| *kind != Kind::Node || key.name == self.policy.node);
        refused.extend(ours.map(|(_, _, reason)| reason.to_owned()));
        NodeView {
            services,
            health_ports,
            node_addresses: self.facts.internal.clone(),
            is_eligible: self.facts.is_eligible,
            refused,
        }
    }
}

//! What the daemon holds of a cluster: changes in, views out.
//!
//! A view is made of steps whose results are kept per Service, and a step is taken again only where its input changed:
//!
//! | what changed | what is done again |
//! |---|---|
//! | the slices of a Service | its backends |
//! | a Service | its spec; if that is another: addresses and frontends of all, which may change hands |
//! | addresses, labels, prefixes of nodes | the backends of all |
//! | anything else of a node, a status | nothing but its row |
//!
//! The result is the same as that of a fresh [`Cluster`] fed with [`Index::objects`], lent addresses aside: of these a
//! fresh one knows what the status says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use spillway_lb::model::{self, Model, ServiceKind};

use crate::addresses::{AddressBook, AddressError, Assignment, PoolUsage, Request};
use crate::change::{Change, ObjectKey};
use crate::eligibility::{NodeRow, Nodes, Reserved};
use crate::index::{Dirty, Index};
use crate::object::{Object, Service, Shown};
use crate::policy::{BackendMode, Policy};
use crate::pool::Pool;
use crate::translate::build::{Built, build};
use crate::translate::endpoints::Join;
use crate::translate::fronts::{Claimant, Won, settle};
use crate::translate::spec::Spec;
use crate::translate::{Promise, RefusalReason, Refused};

/// What a cluster wants served, at one moment.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Services in the order of namespace and name, port and kind. What did not change since the last view is
    /// the same allocation.
    pub model: Model,
    /// Like the rest of a View shared with the one before, as far as it is the same.
    ///
    /// What is not served and why, in the order of namespace and name; objects that cannot be read come last.
    pub refused: Vec<Arc<Refused>>,
    /// What statuses are to say, in the order of namespace and name.
    pub intents: Vec<Arc<Promise>>,
    /// In the order of their names.
    pub nodes: Vec<NodeRow>,
    /// How full the pools are, in the order of the configuration.
    pub pools: Vec<PoolUsage>,
}

/// One Service and what has been made of it.
#[derive(Debug)]
struct Entry {
    service: Arc<Service>,
    spec: Spec,
    assigned: Option<Result<Assignment, AddressError>>,
    won: Won,
    built: Built,
    promise: Option<Arc<Promise>>,
    /// All that is not served of it, whichever step said so.
    refused: Vec<Arc<Refused>>,
}

/// A cluster under an operator's rules.
#[derive(Debug)]
pub struct Cluster {
    policy: Policy,
    reserved: Reserved,
    index: Index,
    book: AddressBook,
    nodes: Nodes,
    entries: BTreeMap<ObjectKey, Entry>,
    view: Option<Arc<View>>,
}

/// What the next view must do again.
#[derive(Debug, Default)]
struct Stale {
    /// Somebody asks for other addresses.
    requests: bool,
    /// Somebody wants other frontends.
    claims: bool,
    /// Whose backends are to be looked up.
    backends: BTreeSet<ObjectKey>,
    /// Whose status may have to say something else.
    promises: BTreeSet<ObjectKey>,
}

impl Cluster {
    pub fn new(policy: Policy, pools: Vec<Pool>) -> Self {
        Self {
            reserved: Reserved::new(&policy, &pools),
            policy,
            index: Index::new(),
            book: AddressBook::new(pools),
            nodes: Nodes::default(),
            entries: BTreeMap::new(),
            view: None,
        }
    }

    /// Takes in one step of the watch. Cheap: the work is done by [`Cluster::view`].
    pub fn apply(&mut self, change: Change<Object>) {
        self.index.apply(change);
    }

    /// All objects, for a copy on disk.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Who has which address.
    pub fn book(&self) -> &AddressBook {
        &self.book
    }

    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What is to be served now.
    pub fn view(&mut self) -> Arc<View> {
        let dirty = self.index.take_dirty();
        if let Some(view) = self.view.as_ref().filter(|_| dirty.is_clean()) {
            return Arc::clone(view);
        }
        let mut stale = Stale::default();
        self.judge_nodes(&dirty, &mut stale);
        self.read_services(&dirty, &mut stale);
        stale.backends.extend(dirty.endpoints);
        if stale.requests {
            self.assign(&mut stale);
        }
        if stale.claims {
            self.settle(&mut stale);
        }
        self.build(&stale);
        let view = Arc::new(self.assemble());
        self.view = Some(Arc::clone(&view));
        view
    }

    fn judge_nodes(&mut self, dirty: &Dirty, stale: &mut Stale) {
        if !dirty.nodes {
            return;
        }
        let nodes = Nodes::judge(self.index.nodes(), &self.reserved);
        if !nodes.serve_same(&self.nodes) {
            stale.backends.extend(self.entries.keys().cloned());
        }
        self.nodes = nodes;
    }

    fn read_services(&mut self, dirty: &Dirty, stale: &mut Stale) {
        for key in &dirty.services {
            let Some(service) = self.index.service(key) else {
                if let Some(gone) = self.entries.remove(key) {
                    stale.requests |= gone.spec.request.is_some();
                    stale.claims = true;
                }
                continue;
            };
            let spec = Spec::read(service, &self.policy);
            stale.promises.insert(key.clone());
            if let Some(entry) = self.entries.get_mut(key) {
                entry.service = Arc::clone(service);
                // Without an address, what the status says may help.
                stale.requests |=
                    entry.spec.request != spec.request || matches!(entry.assigned, Some(Err(_)));
                if entry.spec != spec {
                    entry.spec = spec;
                    stale.claims = true;
                    stale.backends.insert(key.clone());
                }
                continue;
            }
            stale.requests |= spec.request.is_some();
            stale.claims = true;
            stale.backends.insert(key.clone());
            let service = Arc::clone(service);
            let (won, built) = (Won::default(), Built::default());
            let entry = Entry {
                service,
                spec,
                assigned: None,
                won,
                built,
                promise: None,
                refused: Vec::new(),
            };
            self.entries.insert(key.clone(), entry);
        }
    }

    fn assign(&mut self, stale: &mut Stale) {
        let requests = self.entries.values().filter_map(|entry| {
            let ingress = entry.service.status.load_balancer.ingress.iter();
            let current = ingress.filter_map(|it| it.ip.as_deref()?.parse().ok()).collect();
            entry.spec.request.as_ref().map(|request| Request { current, ..request.clone() })
        });
        let requests: Vec<Request> = requests.collect();
        let mut assigned = self.book.assign(&requests);
        for (key, entry) in &mut self.entries {
            let now = assigned.remove(key);
            if entry.assigned != now {
                entry.assigned = now;
                stale.claims = true;
                stale.promises.insert(key.clone());
            }
        }
    }

    fn settle(&mut self, stale: &mut Stale) {
        let claimants: Vec<Claimant<'_>> = self
            .entries
            .values()
            .map(|entry| {
                let assigned = entry.assigned.as_ref().and_then(|it| it.as_ref().ok());
                Claimant { spec: &entry.spec, assigned }
            })
            .collect();
        let mut settled = settle(&claimants, &self.policy);
        for (key, entry) in &mut self.entries {
            let now = settled.remove(key).unwrap_or_default();
            if entry.won != now {
                entry.won = now;
                stale.backends.insert(key.clone());
                stale.promises.insert(key.clone());
            }
        }
    }

    fn build(&mut self, stale: &Stale) {
        for key in &stale.backends {
            let Some(entry) = self.entries.get_mut(key) else { continue };
            let slices: Vec<_> = self.index.slices_of(key).collect();
            let join = Join {
                slices: &slices,
                nodes: &self.nodes,
                reserved: &self.reserved,
                publish_not_ready: entry.spec.terms.publish_not_ready,
            };
            entry.built =
                build(&entry.spec, &entry.won.fronts, join, &self.policy, &entry.built.services);
        }
        let book = &self.book;
        for key in stale.promises.union(&stale.backends) {
            let Some(entry) = self.entries.get_mut(key) else { continue };
            let owns = |address| book.owns(address);
            let assigned = entry.assigned.as_ref();
            let promise = Promise::of(&entry.service, &entry.spec, assigned, &entry.won, owns);
            entry.promise = promise.map(Arc::new);
            let refused = entry.spec.refused.iter().cloned().chain(address_refusals(entry));
            let refused = refused.chain(entry.won.refused.iter().cloned());
            entry.refused =
                refused.chain(entry.built.refused.iter().cloned()).map(Arc::new).collect();
        }
    }

    fn assemble(&self) -> View {
        let mut services: Vec<Arc<model::Service>> = Vec::new();
        let mut refused = Vec::new();
        let mut intents = Vec::new();
        let mut uses_pods = self.policy.mode == BackendMode::Pod;
        for entry in self.entries.values() {
            services.extend(entry.built.services.iter().cloned());
            refused.extend(entry.refused.iter().cloned());
            intents.extend(entry.promise.clone());
            uses_pods |= entry.spec.terms.mode == BackendMode::Pod && !entry.won.fronts.is_empty();
        }
        refused.extend(self.index.unreadable().map(|(_, key, reason)| {
            // Whatever cannot be read may have a name that nobody should print.
            let shown = |text: &str| Shown(text).to_string();
            let service = ObjectKey { namespace: shown(&key.namespace), name: shown(&key.name) };
            let message = reason.to_owned();
            let reason = RefusalReason::Unreadable;
            Arc::new(Refused { service, port: None, kind: None, reason, message })
        }));
        let routes = if uses_pods { self.nodes.routes() } else { Vec::new() };
        View {
            model: Model { services, routes },
            refused,
            intents,
            nodes: self.nodes.rows().to_vec(),
            pools: self.book.pools(),
        }
    }
}

/// What a Service asked of the pools and did not get.
fn address_refusals(entry: &Entry) -> impl Iterator<Item = Refused> + '_ {
    let errors: &[AddressError] = match &entry.assigned {
        None => &[],
        Some(Ok(assignment)) => &assignment.notes,
        Some(Err(error)) => std::slice::from_ref(error),
    };
    errors.iter().map(|error| Refused {
        service: entry.spec.key.clone(),
        port: None,
        kind: Some(ServiceKind::LoadBalancer),
        reason: RefusalReason::from(error),
        message: error.to_string(),
    })
}

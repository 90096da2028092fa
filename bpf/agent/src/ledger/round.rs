//! One plan: what changed, who may have which frontend, what is left over.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use spillway_cluster::node::{NodeService, NodeView};
use spillway_lb::model::Protocol;

use super::wish::{self, Wish};
use super::{
    Failed, GivenUp, GoneBackend, Held, HeldBackend, HeldPool, Ledger, NodePlaces, Plan, REST,
    SCOPES, SourceKey, Spot, Step,
};
use crate::layout::{BACKEND_FREE, Backend};

/// A Service that is looked at closely.
pub(super) struct Dirty {
    pub(super) service: Arc<NodeService>,
    pub(super) id: u32,
    position: usize,
    /// Those that others have are not among them.
    pub(super) wishes: Vec<Wish>,
    /// Whether others have some of them.
    pub(super) has_lost: bool,
}

/// A plan in the making.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) steps: Vec<Step>,
    pub(super) failed: Vec<Failed>,
    /// Which service will have a spot.
    pub(super) claims: HashMap<Spot, u32>,
    /// Spots that their service gives up, and another one wants.
    pub(super) left: Vec<(Spot, u32)>,
    /// Something did not fit.
    pub(super) wants_room: bool,
    free_backends: Vec<(u32, Backend)>,
    free_sources: Vec<SourceKey>,
    gone: BTreeSet<GoneBackend>,
    names_changed: bool,
}

impl Draft {
    fn fail(&mut self, service: &NodeService, reason: String) {
        self.failed.push(Failed { service: service.name.clone(), reason });
    }

    pub(super) fn give_up_backend(&mut self, service: u32, protocol: u8, held: &HeldBackend) {
        let HeldBackend { address, port, row, state: _, flags } = *held;
        let free = Backend { address, port, state: BACKEND_FREE, flags, service, pad: 0 };
        self.free_backends.push((row, free));
        let protocol =
            if protocol == Protocol::Tcp.number() { Protocol::Tcp } else { Protocol::Udp };
        let address = SocketAddr::new(address.into(), port.into());
        self.gone.insert(GoneBackend { protocol, address, service });
    }

    pub(super) fn give_up_sources(&mut self, sources: impl IntoIterator<Item = SourceKey>) {
        self.free_sources.extend(sources);
    }
}

impl Ledger {
    /// The steps to `view`. What they lead to counts as held from here on: carry all of them out, then call
    /// [`Self::applied`]; if that fails, adopt anew.
    ///
    /// A view that is not known yet must not come here: what is not in it is removed.
    pub fn plan(&mut self, view: &NodeView, places: &NodePlaces, now: Duration) -> Plan {
        // In case nobody told.
        self.applied(now);
        self.choices.wake(now);
        self.backends.wake(now);
        self.round += 1;
        let are_places_new = self.places != *places;
        if are_places_new {
            self.places = places.clone();
        }
        let mut draft = Draft::default();
        let mut dirty = self.look(view, are_places_new, &mut draft);
        self.add_displaced(view, &mut dirty);
        dirty.sort_by_key(|it| it.position);
        self.claim(&mut dirty, &mut draft);
        let removed = self.take_removed(&mut draft);
        for one in &dirty {
            self.fit(one, &mut draft);
        }
        let touched = dirty.len() + removed.len();
        self.sweep(&dirty, removed, &mut draft);
        self.close(draft, touched, now)
    }

    /// What may not be as it should be.
    fn look(&mut self, view: &NodeView, are_places_new: bool, draft: &mut Draft) -> Vec<Dirty> {
        let mut dirty = Vec::new();
        for (position, service) in view.services.iter().enumerate() {
            let known = self.names.of(service.family).get(&service.name).copied();
            let Some(id) = known.or_else(|| self.welcome(service, draft)) else {
                let reason = format!(
                    "service {}: no number is left for it; `spillway-node uninstall` starts anew",
                    service.name
                );
                draft.fail(service, reason);
                continue;
            };
            let round = self.round;
            let Some(held) = self.services.get_mut(&id) else { continue };
            if held.round == round {
                let reason =
                    format!("service {}: it is there twice; the first counts", service.name);
                draft.fail(service, reason);
                continue;
            }
            held.round = round;
            held.position = position;
            let is_same = held.made_from.as_ref().is_some_and(|it| Arc::ptr_eq(it, service));
            if !is_same || (are_places_new && wish::has_node_place(service)) {
                dirty.push(self.dirty(service, id, position));
            }
        }
        dirty
    }

    fn dirty(&self, service: &Arc<NodeService>, id: u32, position: usize) -> Dirty {
        let wishes = wish::wishes(service, &self.places);
        Dirty { service: Arc::clone(service), id, position, wishes, has_lost: false }
    }

    /// A number for a Service that had none: of what an agent before us served at its frontends, else the next.
    fn welcome(&mut self, service: &NodeService, draft: &mut Draft) -> Option<u32> {
        let adopted = wish::wishes(service, &self.places).into_iter().find_map(|wish| {
            let owner = self.spots.get(&wish.spot)?.service;
            self.services.get(&owner)?.name.is_none().then_some(owner)
        });
        let id = adopted.unwrap_or(self.next_service);
        if adopted.is_none() {
            self.next_service = id.checked_add(1)?;
        }
        let held = self.services.entry(id).or_default();
        held.name = Some((service.name.clone(), service.family));
        held.protocol = service.protocol.number();
        self.names.of_mut(service.family).insert(service.name.clone(), id);
        draft.names_changed = true;
        Some(id)
    }

    /// Adds the unchanged Services that lose a frontend to one before them.
    fn add_displaced(&self, view: &NodeView, dirty: &mut Vec<Dirty>) {
        let mut known: HashSet<u32> = dirty.iter().map(|it| it.id).collect();
        let mut displaced = Vec::new();
        for one in &*dirty {
            for wish in &one.wishes {
                let owner = self.spots.get(&wish.spot).map(|spot| spot.service);
                let Some((id, held)) = owner.and_then(|id| Some((id, self.services.get(&id)?)))
                else {
                    continue;
                };
                let is_later = held.round == self.round && held.position > one.position;
                if let Some(service) = view.services.get(held.position)
                    && is_later
                    && known.insert(id)
                {
                    displaced.push(self.dirty(service, id, held.position));
                }
            }
        }
        dirty.extend(displaced);
    }

    /// First come, first served, in the view's order.
    fn claim(&self, dirty: &mut [Dirty], draft: &mut Draft) {
        let changed: HashSet<u32> = dirty.iter().map(|it| it.id).collect();
        for one in dirty {
            let Dirty { service, id, position: _, wishes, has_lost } = one;
            wishes.retain(|wish| {
                let unchanged = self.spots.get(&wish.spot).map(|spot| spot.service).filter(|id| {
                    let held = self.services.get(id);
                    held.is_some_and(|it| it.round == self.round) && !changed.contains(id)
                });
                let owner = draft.claims.get(&wish.spot).copied().or(unchanged);
                let Some(owner) = owner.filter(|owner| owner != id) else {
                    draft.claims.insert(wish.spot, *id);
                    return true;
                };
                *has_lost = true;
                let reason = format!(
                    "service {}: {}/{} is served for {}, which comes first; give one of them another \
                     address or port",
                    service.name,
                    wish.spot.key(0).socket(),
                    service.protocol,
                    self.name_of(owner).map_or("another service", |(name, _)| name.as_str()),
                );
                draft.fail(service, reason);
                false
            });
        }
    }

    /// Takes out what the view has no longer, and deletes the frontends that nobody else wants.
    fn take_removed(&mut self, draft: &mut Draft) -> Vec<(u32, Held)> {
        let round = self.round;
        let mut removed: Vec<(u32, Held)> =
            self.services.extract_if(|_, held| held.round != round).collect();
        removed.sort_unstable_by_key(|(id, _)| *id);
        for (id, held) in &removed {
            if let Some((name, family)) = &held.name {
                self.names.of_mut(*family).remove(name);
                draft.names_changed = true;
            }
            for spot in &held.spots {
                self.abandon(*spot, *id, draft);
            }
        }
        removed
    }

    /// Deletes the frontend, or leaves it to the one that wants it.
    pub(super) fn abandon(&mut self, spot: Spot, owner: u32, draft: &mut Draft) {
        if draft.claims.contains_key(&spot) {
            draft.left.push((spot, owner));
        } else {
            self.delete_spot(spot, draft);
        }
    }

    fn delete_spot(&mut self, spot: Spot, draft: &mut Draft) {
        let Some(held) = self.spots.remove(&spot) else { return };
        for (scope, row) in SCOPES.into_iter().zip(held.rows) {
            if row.is_some() {
                draft.steps.push(Step::DeleteFrontend(spot.key(scope)));
                self.frontend_rows -= 1;
            }
        }
    }

    /// Frontends that were left to somebody who could not take them are deleted; then all that nobody uses any
    /// longer is given up.
    fn sweep(&mut self, dirty: &[Dirty], removed: Vec<(u32, Held)>, draft: &mut Draft) {
        for (spot, owner) in mem::take(&mut draft.left) {
            if self.spots.get(&spot).is_some_and(|it| it.service == owner) {
                self.delete_spot(spot, draft);
            }
        }
        for (id, held) in removed {
            self.give_up(id, held, draft);
        }
        // What did not fit kept what it had, though others may have taken all its frontends.
        for one in dirty {
            if let Some(held) = self.services.get_mut(&one.id).filter(|held| held.spots.is_empty())
            {
                let (backends, pools) = (mem::take(&mut held.backends), mem::take(&mut held.pools));
                let sources = mem::take(&mut held.sources);
                let rest =
                    Held { protocol: held.protocol, backends, pools, sources, ..Held::default() };
                self.give_up(one.id, rest, draft);
            }
        }
    }

    fn give_up(&mut self, id: u32, held: Held, draft: &mut Draft) {
        for backend in &held.backends {
            draft.give_up_backend(id, held.protocol, backend);
        }
        draft.give_up_sources(held.sources);
        self.give_up_pools(held.pools);
    }

    pub(super) fn give_up_pools(&mut self, pools: impl IntoIterator<Item = HeldPool>) {
        self.given_up.ranges.extend(pools.into_iter().map(|pool| pool.range));
    }

    fn close(&mut self, draft: Draft, touched: usize, now: Duration) -> Plan {
        // Rows that went after somebody had no room: there may be some now.
        let has_more_room = !draft.free_sources.is_empty()
            || draft.steps.iter().any(|step| matches!(step, Step::DeleteFrontend(_)));
        let mut steps = draft.steps;
        if !draft.free_backends.is_empty() || !draft.free_sources.is_empty() {
            steps.push(Step::Settle);
        }
        for (index, row) in draft.free_backends {
            steps.push(Step::FreeBackend { index, row });
            self.given_up.rows.push(index);
        }
        for source in draft.free_sources {
            steps.push(Step::DeleteSourceRange(source));
            self.source_rows = self.source_rows.saturating_sub(1);
        }
        let marks = (u64::from(self.next_service) << 32) | u64::from(self.next_frontend);
        if marks != self.marks {
            self.marks = marks;
            let row = Backend { pad: marks, ..Backend::default() };
            steps.insert(0, Step::WriteBackend { index: 0, row });
        }
        let GivenUp { ranges, rows } = &self.given_up;
        let soon = (!ranges.is_empty() || !rows.is_empty()).then(|| now + REST);
        let at_once = has_more_room.then_some(now);
        let wakes = [self.choices.next_wake(), self.backends.next_wake(), soon, at_once];
        Plan {
            steps,
            failed: draft.failed,
            gone: draft.gone.into_iter().collect(),
            touched,
            retry_at: wakes.into_iter().flatten().min().filter(|_| draft.wants_room),
            names_changed: draft.names_changed,
        }
    }
}

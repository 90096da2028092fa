//! One Service: what it needs, whether that fits, the steps to it.
//!
//! Everything that can fail comes first and is undone if it does; what follows cannot fail.

use std::collections::BTreeSet;

use spillway_cluster::node::NodeService;

use super::round::{Dirty, Draft};
use super::wish::{self, Numbers};
use super::{
    Failed, Held, HeldBackend, HeldPool, HeldSpot, Ledger, Range, SCOPES, SourceKey, Spot, Step,
    pool,
};
use crate::layout::{Address, BACKEND_ACTIVE, BACKEND_LOCAL, BACKEND_TERMINATING, Backend, Be16};

/// What a Service gets, before it has it.
struct Parts {
    backends: Vec<HeldBackend>,
    /// Of every pool; those that no frontend leads to are empty.
    ranges: Vec<Range>,
    pools: Vec<HeldPool>,
    /// What must be written, and where.
    fresh: Vec<(Range, Vec<u32>)>,
    sources: BTreeSet<SourceKey>,
}

impl Ledger {
    /// Makes one Service as it should be, or leaves it as it is and says why.
    pub(super) fn fit(&mut self, one: &Dirty, draft: &mut Draft) {
        let Some(mut held) = self.services.remove(&one.id) else { return };
        match self.parts(one, &held, draft) {
            Ok(parts) => {
                self.carry_out(one, &mut held, parts, draft);
                held.made_from = (!one.has_lost).then(|| one.service.clone());
            }
            Err(reason) => {
                held.made_from = None;
                let service = one.service.name.clone();
                let reason = format!("service {service}: {reason}: it keeps what it had");
                draft.failed.push(Failed { service, reason });
            }
        }
        self.services.insert(one.id, held);
    }

    fn parts(&mut self, one: &Dirty, held: &Held, draft: &mut Draft) -> Result<Parts, String> {
        if let Some(name) = held.name.as_ref().filter(|_| !self.barred.is_empty())
            && let Some(why) = self.barred.get(name)
        {
            return Err(why.clone());
        }
        // Without a frontend nobody asks for the rest.
        let is_served = !one.wishes.is_empty();
        let sources = wish::sources(&one.service, one.id).filter(|_| is_served);
        let sources: BTreeSet<SourceKey> = sources.collect();
        let room = self.check_frontends(one, held, draft).and_then(|()| {
            let more = sources.difference(&held.sources).count();
            check("source_ranges", self.capacity.source_ranges, self.source_rows, more, 0)
        });
        let taken = room.and_then(|()| {
            let (backends, fresh_rows) = self.take_backends(one, held)?;
            match self.take_pools(one, held, &backends) {
                Ok((ranges, pools, fresh)) => Ok(Parts { backends, ranges, pools, fresh, sources }),
                Err(reason) => {
                    self.backends.give_back(fresh_rows);
                    Err(reason)
                }
            }
        });
        draft.wants_room |= taken.is_err();
        taken
    }

    /// Whether the rows of the frontends fit, those that go away taken off.
    fn check_frontends(&self, one: &Dirty, held: &Held, draft: &Draft) -> Result<(), String> {
        let (mut more, mut less) = (0, 0);
        for wish in &one.wishes {
            let has =
                self.spots.get(&wish.spot).map_or([false; 2], |it| it.rows.map(|it| it.is_some()));
            for (has, wants) in has.into_iter().zip(wish.scopes()) {
                more += usize::from(wants && !has);
                less += usize::from(has && !wants);
            }
        }
        for spot in held.spots.iter().filter(|spot| !draft.claims.contains_key(spot)) {
            let rows = self.spots.get(spot).map_or([None; 2], |it| it.rows);
            less += rows.iter().flatten().count();
        }
        check("frontends", self.capacity.frontends, self.frontend_rows, more, less)
    }

    /// A row for every backend: the one it has, else a fresh one. Also those that are fresh.
    fn take_backends(
        &mut self,
        one: &Dirty,
        held: &Held,
    ) -> Result<(Vec<HeldBackend>, Vec<u32>), String> {
        let is_served = !one.wishes.is_empty();
        let wanted = one.service.backends.iter().map(wanted).filter(|_| is_served);
        let mut backends: Vec<HeldBackend> = wanted.collect();
        backends.sort_unstable();
        backends.dedup_by_key(|it| (it.address, it.port));
        let mut missing = Vec::new();
        for backend in &mut backends {
            match held.backend(backend.address, backend.port) {
                Some(had) => backend.row = had.row,
                None => missing.push(&mut backend.row),
            }
        }
        let Some(rows) = self.backends.take(missing.len()) else {
            let more = missing.len();
            return Err(no_room("backends", self.capacity.backends, self.usage().backends, more));
        };
        missing.into_iter().zip(&rows).for_each(|(place, row)| *place = *row);
        Ok((backends, rows))
    }

    /// Places for every pool that a frontend leads to: where its choices are, else fresh ones.
    #[expect(clippy::type_complexity, reason = "three parts of one thing, taken apart at once")]
    fn take_pools(
        &mut self,
        one: &Dirty,
        held: &Held,
        backends: &[HeldBackend],
    ) -> Result<(Vec<Range>, Vec<HeldPool>, Vec<(Range, Vec<u32>)>), String> {
        let service = &one.service;
        let row_of = rows_by_index(service, backends);
        let (mut ranges, mut fresh) = (Vec::new(), Vec::<(Range, Vec<u32>)>::new());
        let mut pools: Vec<HeldPool> = Vec::new();
        for (at, pool) in (0u8..).zip(&service.pools) {
            let mut rows = Vec::new();
            if one.wishes.iter().any(|wish| wish.leads_to(at)) {
                let choices = pool::choices(service, pool);
                rows.extend(choices.iter().filter_map(|at| row_of.get(usize::from(*at)).copied()));
            }
            let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
            if count == 0 {
                ranges.push(Range::default());
                continue;
            }
            let fingerprint = pool::fingerprint(&rows);
            let is_same = |it: &&HeldPool| it.range.count == count && it.fingerprint == fingerprint;
            if let Some(same) = pools.iter().chain(&held.pools).find(is_same).copied() {
                ranges.push(same.range);
                if !pools.contains(&same) {
                    pools.push(same);
                }
                continue;
            }
            let Some(range) = self.choices.take(count) else {
                for (range, _) in fresh {
                    self.choices.give_back(range);
                }
                let (max, used) = (self.capacity.choices, self.choices.used());
                return Err(no_room("choices", max, used, rows.len()));
            };
            ranges.push(range);
            pools.push(HeldPool { range, fingerprint });
            fresh.push((range, rows));
        }
        Ok((ranges, pools, fresh))
    }

    fn carry_out(&mut self, one: &Dirty, held: &mut Held, parts: Parts, draft: &mut Draft) {
        let Parts { backends, ranges, pools, fresh, sources } = parts;
        let wanted: BTreeSet<Spot> = one.wishes.iter().map(|wish| wish.spot).collect();
        for spot in held.spots.difference(&wanted) {
            self.abandon(*spot, one.id, draft);
        }
        for backend in &backends {
            if held.backend(backend.address, backend.port) != Some(backend) {
                draft.steps.push(write_backend(one.id, backend));
            }
        }
        for (range, rows) in fresh {
            draft.steps.push(Step::WriteChoices { first: range.first, rows });
        }
        for source in sources.difference(&held.sources) {
            draft.steps.push(Step::PutSourceRange(*source));
            self.source_rows += 1;
        }
        self.put_frontends(one, &ranges, draft);

        let is_kept = |had: &HeldBackend| {
            backends
                .binary_search_by_key(&(had.address, had.port), |it| (it.address, it.port))
                .is_ok()
        };
        for had in held.backends.iter().filter(|had| !is_kept(had)) {
            draft.give_up_backend(one.id, held.protocol, had);
        }
        draft.give_up_sources(held.sources.difference(&sources).copied());
        let unused = held.pools.iter().filter(|had| !pools.contains(had)).copied();
        self.give_up_pools(unused.collect::<Vec<_>>());
        *held = Held { backends, pools, spots: wanted, sources, ..std::mem::take(held) };
    }

    fn put_frontends(&mut self, one: &Dirty, ranges: &[Range], draft: &mut Draft) {
        let is_table = pool::is_table(&one.service);
        for wish in &one.wishes {
            let before = self.spots.get(&wish.spot).copied();
            let own = before.filter(|before| before.service == one.id);
            let id = own.map_or(self.next_frontend, |own| own.id);
            if own.is_none() {
                // They last for a year of 136 new ones a second.
                self.next_frontend = id.checked_add(1).unwrap_or(1);
            }
            let numbers = Numbers { frontend: id, service: one.id, pools: ranges, is_table };
            let rows = wish::rows(&one.service, wish, &numbers);
            let had = before.map_or([None; 2], |before| before.rows);
            for ((scope, row), had) in SCOPES.into_iter().zip(rows).zip(had) {
                let key = wish.spot.key(scope);
                match row {
                    Some(row) if had != Some(row) => {
                        draft.steps.push(Step::PutFrontend { key, row });
                        self.frontend_rows += u32::from(had.is_none());
                    }
                    None if had.is_some() => {
                        draft.steps.push(Step::DeleteFrontend(key));
                        self.frontend_rows -= 1;
                    }
                    Some(_) | None => {}
                }
            }
            self.spots.insert(wish.spot, HeldSpot { id, service: one.id, rows });
            if let Some(before) = before.filter(|before| before.service != one.id)
                && let Some(loser) = self.services.get_mut(&before.service)
            {
                loser.spots.remove(&wish.spot);
            }
        }
    }
}

/// The row of every index of [`NodeService::backends`].
fn rows_by_index(service: &NodeService, backends: &[HeldBackend]) -> Vec<u32> {
    let row = |it: &spillway_cluster::node::NodeBackend| {
        let key = (Address::from(it.address), Be16::from(it.port));
        let at = backends.binary_search_by_key(&key, |it| (it.address, it.port));
        at.ok().and_then(|at| backends.get(at)).map_or(0, |it| it.row)
    };
    service.backends.iter().map(row).collect()
}

fn wanted(backend: &spillway_cluster::node::NodeBackend) -> HeldBackend {
    HeldBackend {
        address: backend.address.into(),
        port: backend.port.into(),
        row: 0,
        state: if backend.is_terminating { BACKEND_TERMINATING } else { BACKEND_ACTIVE },
        flags: if backend.is_local { BACKEND_LOCAL } else { 0 },
    }
}

fn write_backend(service: u32, backend: &HeldBackend) -> Step {
    let HeldBackend { address, port, row, state, flags } = *backend;
    Step::WriteBackend { index: row, row: Backend { address, port, state, flags, service, pad: 0 } }
}

fn check(map: &str, max: u32, used: u32, more: usize, less: usize) -> Result<(), String> {
    let needed = (used as usize + more).saturating_sub(less);
    if more == 0 || needed <= max as usize {
        return Ok(());
    }
    Err(no_room(map, max, used, more))
}

fn no_room(map: &str, max: u32, used: u32, more: usize) -> String {
    format!("map {map} has no room for {more} more ({used} of {max} in use; raise maps.{map})")
}

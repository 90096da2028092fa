//! From the rows that an agent before us left.
//!
//! What hangs together is taken up as it is, under the same numbers; the rest, if there is any, is deleted. Places need
//! no rest here: whoever gave them up is dead, and programs end within microseconds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    Capacity, Held, HeldBackend, HeldPool, HeldSpot, Ledger, Range, Ranges, Rows, SCOPES,
    SourceKey, Spot, Step, pool,
};
use crate::layout::{
    Address, BACKEND_ACTIVE, BACKEND_FREE, BACKEND_TERMINATING, Backend, Be16, Frontend,
    FrontendKey,
};

/// The rows of the maps, as they are.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub frontends: Vec<(FrontendKey, Frontend)>,
    /// From row 0 on.
    pub backends: Vec<Backend>,
    pub source_ranges: Vec<SourceKey>,
}

/// Backends by service, address and port.
type ByService = HashMap<u32, BTreeMap<(Address, Be16), HeldBackend>>;

impl Ledger {
    /// Takes up what is there. `choices` reads a range of that map. Also answers with the steps that delete what hangs
    /// together with nothing.
    pub fn adopt(
        capacity: Capacity,
        mut found: Found,
        mut choices: impl FnMut(Range) -> Option<Vec<u32>>,
    ) -> (Self, Vec<Step>) {
        let mut repairs = Repairs::default();
        found.frontends.sort_unstable_by_key(|(key, _)| *key);
        let mut by_service = live_backends(&found.backends, &mut repairs);
        let mut adoption = Adoption {
            capacity,
            pools: BTreeMap::new(),
            held: HashMap::new(),
            spots: HashMap::new(),
        };
        for (key, row) in &found.frontends {
            let backends = by_service.get(&row.service);
            if adoption.frontend(key, row, backends, &mut choices).is_none() {
                repairs.frontends.push(*key);
            }
        }
        let Adoption { capacity: _, pools: _, mut held, spots } = adoption;
        for (service, backends) in by_service.drain() {
            match held.get_mut(&service) {
                Some(held) => held.backends = backends.into_values().collect(),
                None => repairs.rows.extend(backends.into_values().map(|it| it.row)),
            }
        }
        for key in &found.source_ranges {
            match held.get_mut(&key.range.service) {
                Some(held) if (32..=160).contains(&key.bits) => _ = held.sources.insert(*key),
                Some(_) | None => repairs.sources.push(*key),
            }
        }
        let marks = found.backends.first().map_or(0, |row| row.pad);
        let ledger = Self::of_parts(capacity, held, spots, marks, &found.backends);
        (ledger, repairs.steps(&found.backends))
    }

    fn of_parts(
        capacity: Capacity,
        held: HashMap<u32, Held>,
        spots: HashMap<Spot, HeldSpot>,
        marks: u64,
        rows: &[Backend],
    ) -> Self {
        let taken: BTreeSet<u32> =
            held.values().flat_map(|held| held.backends.iter().map(|it| it.row)).collect();
        // Also of rows that are free by now: they tell which numbers were given once.
        let numbers = rows.iter().map(|row| row.service).chain(held.keys().copied());
        let ids = spots.values().map(|spot| spot.id);
        let after = |numbers: &mut dyn Iterator<Item = u32>| {
            // A number at the very end can only be garbage, and would leave none to give.
            let plausible = numbers.filter(|number| *number < u32::MAX / 2).max();
            plausible.map_or(1, |max| max + 1)
        };
        let halves = [marks >> 32, marks & u64::from(u32::MAX)];
        let halves = halves.map(|half| u32::try_from(half).unwrap_or(0));
        let [service_mark, frontend_mark] =
            halves.map(|mark| if mark < u32::MAX / 2 { mark } else { 0 });
        let pools = held.values().flat_map(|held| held.pools.iter().map(|pool| pool.range));
        Self {
            choices: Ranges::new(0, capacity.choices, pools),
            backends: Rows::new((1..capacity.backends).filter(|row| !taken.contains(row))),
            frontend_rows: count(
                spots.values().map(|spot| spot.rows.iter().flatten().count()).sum(),
            ),
            source_rows: count(held.values().map(|held| held.sources.len()).sum()),
            next_service: after(&mut numbers.into_iter()).max(service_mark),
            next_frontend: after(&mut ids.into_iter()).max(frontend_mark),
            marks,
            spots,
            services: held,
            ..Self::new(capacity)
        }
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The rows that have a backend; what is neither that nor free is to be freed.
fn live_backends(rows: &[Backend], repairs: &mut Repairs) -> ByService {
    let mut by_service = ByService::new();
    if rows.first().is_some_and(|row| row.state != BACKEND_FREE) {
        repairs.rows.push(0);
    }
    for (row, backend) in (0u32..).zip(rows).skip(1) {
        let Backend { address, port, state, flags, service, pad: _ } = *backend;
        let held = HeldBackend { address, port, row, state, flags };
        match state {
            BACKEND_FREE => {}
            BACKEND_ACTIVE | BACKEND_TERMINATING if service != 0 => {
                let backends = by_service.entry(service).or_default();
                if *backends.entry((address, port)).or_insert(held) != held {
                    repairs.rows.push(row);
                }
            }
            _ => repairs.rows.push(row),
        }
    }
    by_service
}

struct Adoption {
    capacity: Capacity,
    /// By their first place: the rest of the range, and whose it is.
    pools: BTreeMap<u32, (HeldPool, u32)>,
    held: HashMap<u32, Held>,
    spots: HashMap<Spot, HeldSpot>,
}

impl Adoption {
    /// `None`: the row makes no sense.
    fn frontend(
        &mut self,
        key: &FrontendKey,
        row: &Frontend,
        backends: Option<&BTreeMap<(Address, Be16), HeldBackend>>,
        choices: &mut impl FnMut(Range) -> Option<Vec<u32>>,
    ) -> Option<()> {
        let scope = SCOPES.iter().position(|scope| *scope == key.scope)?;
        let is_sound =
            matches!(key.protocol, 6 | 17) && row.kind <= 3 && row.service != 0 && row.id != 0;
        is_sound.then_some(())?;
        let spot = Spot::of(key);
        let (id, service) = (row.id, row.service);
        let other = self.spots.get(&spot);
        other.is_none_or(|other| (other.id, other.service) == (id, service)).then_some(())?;
        let protocol = self.held.get(&service).map_or(key.protocol, |held| held.protocol);
        (protocol == key.protocol).then_some(())?;
        if row.count > 0 {
            self.pool(Range { first: row.first, count: row.count }, service, backends?, choices)?;
        }
        let held = self.held.entry(service).or_default();
        held.protocol = key.protocol;
        held.spots.insert(spot);
        let pool = self.pools.get(&row.first).map(|(pool, _)| *pool).filter(|_| row.count > 0);
        held.pools.extend(pool.filter(|pool| !held.pools.contains(pool)));
        let empty = HeldSpot { id, service, rows: [None; 2] };
        *self.spots.entry(spot).or_insert(empty).rows.get_mut(scope)? = Some(*row);
        Some(())
    }

    /// Checks that the range is this service's alone and leads to its backends.
    fn pool(
        &mut self,
        range: Range,
        service: u32,
        backends: &BTreeMap<(Address, Be16), HeldBackend>,
        choices: &mut impl FnMut(Range) -> Option<Vec<u32>>,
    ) -> Option<()> {
        let end = range.first.checked_add(range.count)?;
        (end <= self.capacity.choices).then_some(())?;
        if let Some((_, (last, owner))) = self.pools.range(..end).next_back()
            && last.range.end() > range.first
        {
            return (last.range == range && *owner == service).then_some(());
        }
        let rows = choices(range)?;
        let live: BTreeSet<u32> = backends.values().map(|it| it.row).collect();
        (rows.len() == range.count as usize && rows.iter().all(|row| live.contains(row)))
            .then_some(())?;
        let pool = HeldPool { range, fingerprint: pool::fingerprint(&rows) };
        self.pools.insert(range.first, (pool, service));
        Some(())
    }
}

/// What hangs together with nothing.
#[derive(Default)]
struct Repairs {
    frontends: Vec<FrontendKey>,
    rows: Vec<u32>,
    sources: Vec<SourceKey>,
}

impl Repairs {
    fn steps(mut self, rows: &[Backend]) -> Vec<Step> {
        self.rows.sort_unstable();
        let mut steps: Vec<Step> = self.frontends.into_iter().map(Step::DeleteFrontend).collect();
        let has_more = !self.rows.is_empty() || !self.sources.is_empty();
        if !steps.is_empty() && has_more {
            steps.push(Step::Settle);
        }
        let free = |index: u32| {
            let row = rows.get(index as usize).copied().unwrap_or_default();
            Step::FreeBackend { index, row: Backend { state: BACKEND_FREE, ..row } }
        };
        steps.extend(self.rows.into_iter().map(free));
        steps.extend(self.sources.into_iter().map(Step::DeleteSourceRange));
        steps
    }
}

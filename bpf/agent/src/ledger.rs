//! What the maps hold, and the steps from there to what they should hold. Pure: time and rows are arguments.
//!
//! ```text
//! maps ─ Rows → adopt ─→ Ledger ─ plan(NodeView, NodePlaces, now) → Plan { steps, failed, gone }
//! ```
//!
//! | room | noun |
//! |---|---|
//! | [`step`] | one write to a map, a plan of them, and what did not fit |
//! | `ranges`, `rows` | free places of `choices` and of `backends` |
//! | `pool` | the choices of a pool |
//! | `wish` | the rows that one Service asks for |
//! | `round` | who may have which frontend, in one plan |
//! | `fit` | one Service: what it needs, whether it fits, its steps |
//! | `adopt` | from the rows of an agent that is gone |
//!
//! **Laws.** After every single step a program finds, for every frontend, either none (before it existed, after it was
//! deleted), or a backend of the old or of the new pool of that very service. New pools go into fresh places, then the
//! frontend's row is replaced, then what it left rests ([`REST`]). A Service that does not fit keeps all that it had, and
//! the others go on. The agent may die between any two steps: [`Ledger::adopt`] takes up what it finds. Frontends keep
//! their ids, services and backends their rows, as long as they are there; no id is given twice, for row 0 of
//! `backends`, which is nobody's, keeps the next ones.

mod adopt;
mod fit;
mod pool;
mod ranges;
mod round;
mod rows;
pub mod step;
mod wish;

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use spillway_cluster::addresses::Family;
use spillway_cluster::node::NodeService;

pub use self::adopt::Found;
pub use self::ranges::Range;
pub use self::step::{Failed, GoneBackend, Plan, SourceKey, Step};

use self::ranges::Ranges;
use self::rows::Rows;
use crate::layout::{self, Address, Be16, FrontendKey};

/// How long places and rows that were given up stay as they are.
pub const REST: Duration = Duration::from_secs(1);

/// Sizes of the maps.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Capacity {
    pub frontends: u32,
    pub choices: u32,
    /// Row 0, which is nobody's, included.
    pub backends: u32,
    pub source_ranges: u32,
}

/// How much of the maps is in use; what rests counts.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub services: u32,
    pub frontends: u32,
    pub choices: u32,
    pub backends: u32,
    pub source_ranges: u32,
}

/// Where [`spillway_cluster::node::Place::Node`] is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodePlaces {
    /// Addresses that NodePorts are served on, to everybody.
    pub addresses: Vec<IpAddr>,
    /// Loopback addresses: served to sockets of the host's own network namespace only.
    pub host_only: Vec<IpAddr>,
}

/// A frontend, of either scope.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Spot {
    address: Address,
    port: Be16,
    protocol: u8,
}

impl Spot {
    const fn key(self, scope: u8) -> FrontendKey {
        let Self { address, port, protocol } = self;
        FrontendKey { address, port, protocol, scope }
    }

    const fn of(key: &FrontendKey) -> Self {
        Self { address: key.address, port: key.port, protocol: key.protocol }
    }
}

/// The rows of a spot, by scope.
type ScopeRows = [Option<layout::Frontend>; 2];

/// Both scopes, in the order of [`ScopeRows`].
const SCOPES: [u8; 2] = [layout::SCOPE_INTERNAL, layout::SCOPE_EXTERNAL];

/// A frontend that is in the map.
#[derive(Copy, Clone, Debug)]
struct HeldSpot {
    id: u32,
    service: u32,
    rows: ScopeRows,
}

/// A row of `backends` that is in the map.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct HeldBackend {
    address: Address,
    port: Be16,
    row: u32,
    state: u8,
    flags: u8,
}

/// Choices that are in the map.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct HeldPool {
    range: Range,
    fingerprint: u64,
}

/// What a service has in the maps.
#[derive(Clone, Debug, Default)]
struct Held {
    /// Whose it is; `None`: adopted, nobody has claimed it yet.
    name: Option<(String, Family)>,
    protocol: u8,
    /// What all of it was made from; `None`: something of it is not as it should be.
    made_from: Option<Arc<NodeService>>,
    /// Sorted by address and port.
    backends: Vec<HeldBackend>,
    pools: Vec<HeldPool>,
    spots: BTreeSet<Spot>,
    sources: BTreeSet<SourceKey>,
    /// Of the last plan that saw it.
    round: u64,
    /// In that plan's view.
    position: usize,
}

impl Held {
    fn backend(&self, address: Address, port: Be16) -> Option<&HeldBackend> {
        let at = self.backends.binary_search_by_key(&(address, port), |it| (it.address, it.port));
        self.backends.get(at.ok()?)
    }
}

/// What was given up, and does not rest yet: it may be in use until the plan is carried out.
#[derive(Clone, Debug, Default)]
struct GivenUp {
    ranges: Vec<Range>,
    rows: Vec<u32>,
}

/// What the maps hold.
#[derive(Clone, Debug)]
pub struct Ledger {
    capacity: Capacity,
    /// By their numbers.
    services: HashMap<u32, Held>,
    names: Names,
    spots: HashMap<Spot, HeldSpot>,
    /// Rows of `frontends`.
    frontend_rows: u32,
    source_rows: u32,
    choices: Ranges,
    backends: Rows,
    given_up: GivenUp,
    next_service: u32,
    next_frontend: u32,
    /// What row 0 of `backends` says of the two.
    marks: u64,
    places: NodePlaces,
    round: u64,
    /// Services whose rows the kernel refused, with its words.
    barred: HashMap<(String, Family), String>,
}

/// Numbers of services by their names.
#[derive(Clone, Debug, Default)]
struct Names {
    ipv4: HashMap<String, u32>,
    ipv6: HashMap<String, u32>,
}

impl Names {
    const fn of(&self, family: Family) -> &HashMap<String, u32> {
        match family {
            Family::V4 => &self.ipv4,
            Family::V6 => &self.ipv6,
        }
    }

    const fn of_mut(&mut self, family: Family) -> &mut HashMap<String, u32> {
        match family {
            Family::V4 => &mut self.ipv4,
            Family::V6 => &mut self.ipv6,
        }
    }
}

impl Ledger {
    /// Of empty maps.
    pub fn new(capacity: Capacity) -> Self {
        Self {
            capacity,
            services: HashMap::new(),
            names: Names::default(),
            spots: HashMap::new(),
            frontend_rows: 0,
            source_rows: 0,
            choices: Ranges::new(0, capacity.choices, []),
            backends: Rows::new(1..capacity.backends),
            given_up: GivenUp::default(),
            next_service: 1,
            next_frontend: 1,
            marks: 0,
            places: NodePlaces::default(),
            round: 0,
            barred: HashMap::new(),
        }
    }

    /// All of the last plan's steps were carried out: what they gave up rests from now on.
    pub fn applied(&mut self, now: Duration) {
        let until = now + REST;
        let GivenUp { ranges, rows } = std::mem::take(&mut self.given_up);
        for range in ranges {
            self.choices.rest(range, until);
        }
        for row in rows {
            self.backends.rest(row, until);
        }
    }

    /// The kernel refused a row of this Service: it keeps what it has, in all plans of this ledger.
    pub fn bar(&mut self, service: (String, Family), why: String) {
        self.barred.insert(service, why);
    }

    /// Every Service may be tried again; answers with those that were barred.
    pub fn unbar(&mut self) -> HashMap<(String, Family), String> {
        std::mem::take(&mut self.barred)
    }

    /// The Service that has this number.
    pub fn name_of(&self, service: u32) -> Option<&(String, Family)> {
        self.services.get(&service)?.name.as_ref()
    }

    pub const fn capacity(&self) -> Capacity {
        self.capacity
    }

    pub fn usage(&self) -> Usage {
        let free = u32::try_from(self.backends.free()).unwrap_or(u32::MAX);
        Usage {
            services: u32::try_from(self.services.len()).unwrap_or(u32::MAX),
            frontends: self.frontend_rows,
            choices: self.choices.used(),
            backends: self.capacity.backends.saturating_sub(free),
            source_ranges: self.source_rows,
        }
    }

    /// Places of `choices` and rows of `backends` that rest, or will after [`Self::applied`].
    pub fn resting(&self) -> (u32, usize) {
        let given_up: u32 = self.given_up.ranges.iter().map(|range| range.count).sum();
        let rows = self.backends.resting() + self.given_up.rows.len();
        (self.choices.resting() + given_up, rows)
    }

    /// Numbers of services with their names and families, in no order.
    pub fn names(&self) -> impl Iterator<Item = (u32, &str, Family)> {
        self.services.iter().filter_map(|(id, held)| {
            let (name, family) = held.name.as_ref()?;
            Some((*id, name.as_str(), *family))
        })
    }

    /// Frontends and backends that are served now.
    pub fn served(&self) -> (usize, usize) {
        (self.spots.len(), self.services.values().map(|held| held.backends.len()).sum())
    }
}

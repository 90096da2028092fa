//! The book: who holds which address.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use spillway_lb::model::Protocol;

use super::fill::fill;
use super::keep::{check, keep};
use super::round::{Claim, Round, Stock};
use super::space::Space;
use super::{AddressError, Assignment, Family, Request};
use crate::change::ObjectKey;
use crate::pool::Pool;

/// How much of a pool is lent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolUsage {
    pub name: String,
    /// Addresses that it can lend; saturates at the number of all IPv6 addresses less one.
    pub size: u128,
    /// Addresses that are lent, a shared one once.
    pub used: u64,
    /// Services that have one of them.
    pub services: u64,
    pub auto_assign: bool,
    pub priority: u32,
}

/// What one Service holds since the last assignment.
#[derive(Debug)]
struct Holding {
    uid: String,
    terms: Option<Terms>,
    addresses: Vec<IpAddr>,
}

/// What others rely on who share an address with the Service.
#[derive(Debug, PartialEq, Eq)]
struct Terms {
    key: String,
    ports: Vec<(Protocol, u16)>,
    is_local: bool,
    selector: String,
}

impl Terms {
    fn of(request: &Request) -> Option<Self> {
        Some(Self {
            key: request.key()?.to_owned(),
            ports: request.ports.clone(),
            is_local: request.is_local,
            selector: request.selector.clone(),
        })
    }

    fn hold(terms: Option<&Self>, request: &Request) -> bool {
        match (terms, request.key()) {
            (None, None) => true,
            (Some(terms), Some(key)) => {
                terms.key == key
                    && terms.ports == request.ports
                    && terms.is_local == request.is_local
                    && terms.selector == request.selector
            }
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
}

/// Lends the addresses of the pools.
#[derive(Debug)]
pub struct AddressBook {
    stocks: Vec<Stock>,
    order: Vec<usize>,
    holdings: HashMap<ObjectKey, Holding>,
    usage: Vec<(u64, u64)>,
}

impl AddressBook {
    pub fn new(pools: Vec<Pool>) -> Self {
        let (stocks, order) = (Vec::new(), Vec::new());
        let mut book = Self { stocks, order, holdings: HashMap::new(), usage: Vec::new() };
        book.replace_pools(pools);
        book
    }

    /// Takes new pools. The next assignment moves those Services whose address is in none of them.
    pub fn replace_pools(&mut self, pools: Vec<Pool>) {
        let stocks = pools.into_iter().map(|pool| Stock { space: Space::of(&pool), pool });
        self.stocks = stocks.collect();
        self.order = (0..self.stocks.len()).collect();
        let priority = |index: &usize| self.stocks.get(*index).map_or(0, |s| s.pool.priority);
        self.order.sort_by_key(|index| std::cmp::Reverse(priority(index)));
        self.usage = vec![(0, 0); self.stocks.len()];
    }

    /// Whether the address is one of the operator's, lent or not.
    pub fn owns(&self, address: IpAddr) -> bool {
        self.stocks.iter().any(|stock| stock.space.spans(address))
    }

    /// How full the pools are since the last assignment, in the order of the configuration.
    pub fn pools(&self) -> Vec<PoolUsage> {
        let usage = |(stock, (used, services)): (&Stock, &(u64, u64))| PoolUsage {
            name: stock.pool.name.clone(),
            size: stock.space.size(),
            used: *used,
            services: *services,
            auto_assign: stock.pool.auto_assign,
            priority: stock.pool.priority,
        };
        self.stocks.iter().zip(&self.usage).map(usage).collect()
    }

    /// Says which address each Service gets. `requests` are all that want one: who is missing gives back what
    /// he held. Of two with the same key the younger one counts.
    pub fn assign(
        &mut self,
        mut requests: Vec<Request>,
    ) -> BTreeMap<ObjectKey, Result<Assignment, AddressError>> {
        requests.sort_by(|a, b| age(a).cmp(&age(b)));
        let newest: HashMap<&ObjectKey, &str> =
            requests.iter().map(|request| (&request.service, request.uid.as_str())).collect();
        let is_newest =
            |request: &&Request| newest.get(&request.service) == Some(&request.uid.as_str());
        let mut claims: Vec<Claim<'_>> =
            requests.iter().filter(is_newest).map(Claim::new).collect();

        let mut round = Round::new(&self.stocks, &self.order);
        for claim in &mut claims {
            claim.error = check(&round, claim).err();
            claim.is_out = claim.error.is_some();
        }
        let holding = |request: &Request| {
            self.holdings.get(&request.service).filter(|holding| holding.uid == request.uid)
        };
        for is_steady in [true, false] {
            for claim in claims.iter_mut().filter(|claim| !claim.is_out) {
                if let Some(holding) = holding(claim.request)
                    && Terms::hold(holding.terms.as_ref(), claim.request) == is_steady
                {
                    keep(&mut round, claim, &holding.addresses);
                }
            }
        }
        for claim in claims.iter_mut().filter(|claim| !claim.is_out) {
            if holding(claim.request).is_none() {
                keep(&mut round, claim, &claim.request.current);
            }
        }
        fill(&mut round, &mut claims);
        let out = claims.iter().map(|claim| (claim.request.service.clone(), self.answer(claim)));
        let out = out.collect();
        let usage = used(&claims, self.stocks.len());
        let held = claims.into_iter().filter(|claim| !claim.lent.is_empty()).map(|claim| {
            (claim.request, claim.lent.iter().map(|(address, _)| *address).collect::<Vec<_>>())
        });
        let held: Vec<_> = held.collect();
        self.usage = usage;
        remember(&mut self.holdings, &held);
        out
    }

    fn answer(&self, claim: &Claim<'_>) -> Result<Assignment, AddressError> {
        if let Some(error) = &claim.error {
            return Err(error.clone());
        }
        let of = |family| claim.lent.iter().find(move |(a, _)| Family::of(*a) == family);
        let lent: Vec<_> = claim.request.wanted().filter_map(of).collect();
        let Some((_, pool)) = lent.first() else {
            return Err(AddressError::NoFamily { service: claim.request.service.clone() });
        };
        let pool = self.stocks.get(*pool).map(|stock| stock.pool.name.clone());
        Ok(Assignment {
            addresses: lent.iter().map(|(address, _)| *address).collect(),
            pool: pool.unwrap_or_default(),
            notes: claim.lost.iter().chain(&claim.missing).cloned().collect(),
        })
    }
}

/// Keeps what has not changed, so that a call that changes little allocates little.
fn remember(holdings: &mut HashMap<ObjectKey, Holding>, held: &[(&Request, Vec<IpAddr>)]) {
    let mut before = std::mem::take(holdings);
    holdings.reserve(held.len());
    for (request, addresses) in held {
        let known = before.remove_entry(&request.service).filter(|(_, holding)| {
            holding.uid == request.uid
                && holding.addresses == *addresses
                && Terms::hold(holding.terms.as_ref(), request)
        });
        let (key, holding) = known.unwrap_or_else(|| {
            let (uid, terms) = (request.uid.clone(), Terms::of(request));
            let addresses = addresses.clone();
            (request.service.clone(), Holding { uid, terms, addresses })
        });
        holdings.insert(key, holding);
    }
}

/// Oldest first. Seconds are all that the API server tells, so the uid decides between twins.
fn age(request: &Request) -> (&str, &str, &ObjectKey) {
    (&request.created, &request.uid, &request.service)
}

/// Addresses and Services per pool.
fn used(claims: &[Claim<'_>], pools: usize) -> Vec<(u64, u64)> {
    let mut usage = vec![(0, 0); pools];
    let mut seen = HashSet::new();
    for claim in claims {
        for (at, (address, pool)) in claim.lent.iter().enumerate() {
            let Some((addresses, services)) = usage.get_mut(*pool) else { continue };
            *addresses += u64::from(seen.insert(*address));
            let is_first = !claim.lent.iter().take(at).any(|(_, before)| before == pool);
            *services += u64::from(is_first);
        }
    }
    usage
}

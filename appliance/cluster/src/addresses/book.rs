//! The book: who holds which address.

use std::collections::{BTreeMap, HashSet};
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
    service: ObjectKey,
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

impl Holding {
    /// Whether the Service offers those with whom it shares the same as before.
    fn is_steady(&self, request: &Request) -> bool {
        Terms::hold(self.terms.as_ref(), request)
    }
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
    /// Sorted by Service, so that they are joined with the requests in one walk.
    holdings: Vec<Holding>,
    usage: Vec<(u64, u64)>,
}

impl AddressBook {
    pub fn new(pools: Vec<Pool>) -> Self {
        let (stocks, order) = (Vec::new(), Vec::new());
        let mut book = Self { stocks, order, holdings: Vec::new(), usage: Vec::new() };
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
        requests: &[Request],
    ) -> BTreeMap<ObjectKey, Result<Assignment, AddressError>> {
        let mut sorted: Vec<&Request> = requests.iter().collect();
        sorted.sort_by(|a, b| (&a.service, age(a)).cmp(&(&b.service, age(b))));
        let mut claims = joined(&sorted, &self.holdings);
        claims.sort_by_cached_key(|claim| age(claim.request));

        let mut round = Round::new(&self.stocks, &self.order);
        lend(&mut round, &mut claims, &self.holdings);
        self.usage = used(&claims, self.stocks.len());

        claims.sort_by_key(|claim| &claim.request.service);
        let answers =
            claims.iter().map(|claim| (claim.request.service.clone(), self.answer(claim)));
        let answers = answers.collect();
        let mut known: Vec<_> = std::mem::take(&mut self.holdings).into_iter().map(Some).collect();
        self.holdings = claims.iter().filter_map(|claim| remembered(claim, &mut known)).collect();
        answers
    }

    fn answer(&self, claim: &Claim<'_>) -> Result<Assignment, AddressError> {
        if let Some(error) = &claim.error {
            return Err(AddressError::clone(error));
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

/// Claims in the order of their Services, each with what it held before. `requests` are sorted; of one name the
/// youngest counts. What belongs to an earlier Service of the same name is dropped.
fn joined<'a>(requests: &[&'a Request], holdings: &[Holding]) -> Vec<Claim<'a>> {
    let mut holdings = holdings.iter().enumerate().peekable();
    let chosen = requests.iter().enumerate().filter(|(at, request)| {
        requests.get(at + 1).is_none_or(|next| next.service != request.service)
    });
    let claims = chosen.map(|(_, request)| {
        while holdings.next_if(|(_, holding)| holding.service < request.service).is_some() {}
        let holding = holdings.next_if(|(_, holding)| holding.service == request.service);
        let holding = holding.filter(|(_, holding)| holding.uid == request.uid);
        Claim::new(request, holding.map(|(at, _)| at))
    });
    claims.collect()
}

/// The four steps. `claims` are sorted by age.
fn lend<'a>(round: &mut Round<'a>, claims: &mut [Claim<'a>], holdings: &[Holding]) {
    for claim in claims.iter_mut() {
        claim.error = check(round, claim).err().map(Box::new);
        claim.is_out = claim.error.is_some();
    }
    for is_steady in [true, false] {
        for claim in claims.iter_mut().filter(|claim| !claim.is_out) {
            let Some(holding) = claim.holding.and_then(|at| holdings.get(at)) else { continue };
            if holding.is_steady(claim.request) == is_steady {
                keep(round, claim, &holding.addresses);
            }
        }
    }
    for claim in claims.iter_mut().filter(|claim| !claim.is_out && claim.holding.is_none()) {
        keep(round, claim, &claim.request.current);
    }
    fill(round, claims);
}

/// What the book remembers of a claim. What has not changed is kept, so that a call that changes little
/// allocates little.
fn remembered(claim: &Claim<'_>, known: &mut [Option<Holding>]) -> Option<Holding> {
    if claim.lent.is_empty() {
        return None;
    }
    let addresses = || claim.lent.iter().map(|(address, _)| *address);
    let request = claim.request;
    let known = claim.holding.and_then(|at| known.get_mut(at)?.take()).filter(|holding| {
        holding.is_steady(request) && holding.addresses.iter().copied().eq(addresses())
    });
    Some(known.unwrap_or_else(|| Holding {
        service: request.service.clone(),
        uid: request.uid.clone(),
        terms: Terms::of(request),
        addresses: addresses().collect(),
    }))
}

/// Oldest first. Seconds are all that the API server tells, so the uid decides between twins. The digits of the
/// time stand before its text because numbers compare faster.
fn age(request: &Request) -> (u64, &str, &str) {
    let digits = request.created.bytes().filter(u8::is_ascii_digit).take(14);
    let number = digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    (number, &request.created, &request.uid)
}

/// Addresses and Services per pool.
fn used(claims: &[Claim<'_>], pools: usize) -> Vec<(u64, u64)> {
    let mut usage = vec![(0, 0); pools];
    let mut seen = HashSet::new();
    for claim in claims {
        for (at, (address, pool)) in claim.lent.iter().enumerate() {
            let Some((addresses, services)) = usage.get_mut(*pool) else { continue };
            let is_shareable = claim.request.key().is_some();
            *addresses += u64::from(!is_shareable || seen.insert(*address));
            let is_first = !claim.lent.iter().take(at).any(|(_, before)| before == pool);
            *services += u64::from(is_first);
        }
    }
    usage
}

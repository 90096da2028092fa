//! One run of the assignment: who has which address so far.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use super::space::{Space, number};
use super::{AddressError, Conflict, Family, Request};
use crate::change::ObjectKey;
use crate::pool::Pool;

/// A pool as configured and as runs.
#[derive(Clone, Debug)]
pub(super) struct Stock {
    pub(super) pool: Pool,
    pub(super) space: Space,
}

impl Stock {
    /// Why the Service may not use the pool.
    pub(super) fn refuses(&self, request: &Request) -> Option<String> {
        let namespaces = &self.pool.namespaces;
        if !namespaces.is_empty() && !namespaces.contains(&request.service.namespace) {
            return Some(format!("it serves namespace {} only", namespaces.join(", ")));
        }
        let broken = self.pool.labels.iter().find(|rule| {
            let value = request.labels.get(&rule.key);
            value.is_none_or(|value| rule.value.as_ref().is_some_and(|wanted| wanted != value))
        })?;
        Some(match &broken.value {
            Some(value) => format!("it serves Services with label {}={value} only", broken.key),
            None => format!("it serves Services with a label {} only", broken.key),
        })
    }
}

/// An address out of one of the pools: `(address, index of the pool)`.
pub(super) type Lent = (IpAddr, usize);

/// What one Service has so far in this run.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    pub(super) request: &'a Request,
    /// Index of what it had after the last run.
    pub(super) holding: Option<usize>,
    pub(super) lent: Vec<Lent>,
    /// What it lost to others; stays whatever follows.
    pub(super) lost: Vec<AddressError>,
    /// What the last pass could not give.
    pub(super) missing: Vec<AddressError>,
    /// Boxed, because claims are sorted and few fail.
    pub(super) error: Option<Box<AddressError>>,
    /// Gave back what it had for want of the rest, and is not asked again in this run.
    pub(super) is_out: bool,
}

impl<'a> Claim<'a> {
    pub(super) fn new(request: &'a Request, holding: Option<usize>) -> Self {
        let (lent, lost, missing) = (Vec::new(), Vec::new(), Vec::new());
        Self { request, holding, lent, lost, missing, error: None, is_out: false }
    }

    pub(super) fn has(&self, family: Family) -> bool {
        self.lent.iter().any(|(address, _)| Family::of(*address) == family)
    }
}

/// Tenants of one address; more than one only by the sharing rule.
#[derive(Debug)]
struct Loan<'a> {
    first: &'a Request,
    more: Vec<&'a Request>,
}

/// What is lent so far.
#[derive(Debug)]
pub(super) struct Round<'a> {
    pub(super) stocks: &'a [Stock],
    /// Indices of `stocks` in the order in which they are tried.
    pub(super) order: &'a [usize],
    lent: BTreeMap<IpAddr, Loan<'a>>,
    shared: HashMap<&'a str, BTreeSet<IpAddr>>,
    /// Below these numbers nothing is free, as long as nothing is given back.
    cursors: HashMap<(usize, Family), u128>,
}

impl<'a> Round<'a> {
    pub(super) fn new(stocks: &'a [Stock], order: &'a [usize]) -> Self {
        let (lent, shared) = (BTreeMap::new(), HashMap::new());
        Self { stocks, order, lent, shared, cursors: HashMap::new() }
    }

    /// The requested pool, or an error that names those that exist.
    pub(super) fn requested_pool(&self, request: &Request) -> Result<Option<usize>, AddressError> {
        let Some(name) = &request.pool else { return Ok(None) };
        let service = request.service.clone();
        let found = self.stocks.iter().enumerate().find(|(_, stock)| stock.pool.name == *name);
        let Some((index, stock)) = found else {
            let known = self.stocks.iter().map(|stock| stock.pool.name.clone()).collect();
            return Err(AddressError::PoolUnknown { service, pool: name.clone(), known });
        };
        match stock.refuses(request) {
            Some(rule) => Err(AddressError::PoolForbidden { service, pool: name.clone(), rule }),
            None => Ok(Some(index)),
        }
    }

    /// The pool from which the Service may have this address.
    pub(super) fn home(&self, request: &Request, address: IpAddr) -> Option<usize> {
        self.order.iter().copied().find(|&index| {
            self.stocks.get(index).is_some_and(|stock| {
                request.pool.as_ref().is_none_or(|name| *name == stock.pool.name)
                    && stock.space.lends(address)
                    && stock.refuses(request).is_none()
            })
        })
    }

    /// The Service that stands in the way, oldest first, and why.
    pub(super) fn obstacle(
        &self,
        request: &Request,
        address: IpAddr,
    ) -> Option<(ObjectKey, Conflict)> {
        let loan = self.lent.get(&address)?;
        let mut tenants = std::iter::once(&loan.first).chain(&loan.more);
        tenants.find_map(|tenant| Some((tenant.service.clone(), conflict(request, tenant)?)))
    }

    pub(super) fn lend(&mut self, claim: &mut Claim<'a>, lent: Lent) {
        let request = claim.request;
        claim.lent.push(lent);
        if let Some(key) = request.key() {
            self.shared.entry(key).or_default().insert(lent.0);
        }
        let loan = Loan { first: request, more: Vec::new() };
        self.lent.entry(lent.0).and_modify(|loan| loan.more.push(request)).or_insert(loan);
    }

    /// Takes back all that the Service has; tells whether there was anything.
    pub(super) fn take_back(&mut self, claim: &mut Claim<'a>) -> bool {
        let had = std::mem::take(&mut claim.lent);
        for (address, _) in &had {
            let Some(loan) = self.lent.get_mut(address) else { continue };
            if loan.first.service != claim.request.service {
                loan.more.retain(|tenant| tenant.service != claim.request.service);
            } else if loan.more.is_empty() {
                self.lent.remove(address);
                if let Some(set) = claim.request.key().and_then(|key| self.shared.get_mut(key)) {
                    set.remove(address);
                }
            } else {
                loan.first = loan.more.remove(0);
            }
        }
        if !had.is_empty() {
            self.cursors.clear();
        }
        !had.is_empty()
    }

    /// An address of the pool for the Service: one that it can share, else the lowest free one.
    pub(super) fn pick(
        &mut self,
        request: &Request,
        index: usize,
        family: Family,
    ) -> Option<IpAddr> {
        let stock = self.stocks.get(index)?;
        let mates =
            request.key().and_then(|key| self.shared.get(key)).into_iter().flatten().copied();
        let shared = mates
            .filter(|address| Family::of(*address) == family && stock.space.lends(*address))
            .find(|address| self.obstacle(request, *address).is_none());
        if shared.is_some() {
            return shared;
        }
        let from = self.cursors.get(&(index, family)).copied().unwrap_or(0);
        let taken = |first, last| self.lent.range(first..=last).map(|(address, _)| *address);
        let free = stock.space.lowest(family, from, taken);
        self.cursors.insert((index, family), free.map_or(u128::MAX, number));
        free
    }
}

/// See [`Conflict`] for the rule.
fn conflict(one: &Request, other: &Request) -> Option<Conflict> {
    if one.key().is_none() || one.key() != other.key() {
        return Some(Conflict::Key);
    }
    if let Some((protocol, port)) = one.ports.iter().find(|port| other.ports.contains(port)) {
        return Some(Conflict::Port(*protocol, *port));
    }
    let same_pods =
        one.service.namespace == other.service.namespace && one.selector == other.selector;
    let agree = one.is_local == other.is_local && (!one.is_local || same_pods);
    (!agree).then_some(Conflict::Policy)
}

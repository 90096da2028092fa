//! Steps 3 and 4: requested addresses, and whatever is free.

use std::net::IpAddr;

use super::round::{Claim, Lent, Round};
use super::{AddressError, Family, FamilyPolicy, Request};

/// Runs of steps 3 and 4. More than one only when a Service gives back an address because it cannot have
/// its second family: somebody older may want just that.
const PASSES_MAX: usize = 4;

/// Gives every Service without an error what it still misses. `claims` are sorted by age.
pub(super) fn fill<'a>(round: &mut Round<'a>, claims: &mut [Claim<'a>]) {
    for _ in 0..PASSES_MAX {
        let mut gave_back = false;
        for claim in claims.iter_mut().filter(|claim| is_open(claim)) {
            claim.error = None;
            claim.missing.clear();
            if let Err(error) = lend_requested(round, claim) {
                gave_back |= fail(round, claim, error);
            }
        }
        for claim in claims.iter_mut().filter(|claim| is_open(claim) && claim.error.is_none()) {
            lend_free(round, claim);
            if let Some(error) = verdict(claim) {
                gave_back |= fail(round, claim, error);
            }
        }
        if !gave_back {
            return;
        }
    }
}

fn is_open(claim: &Claim<'_>) -> bool {
    !claim.is_out && claim.lent.len() < claim.request.wanted().count()
}

fn fail<'a>(round: &mut Round<'a>, claim: &mut Claim<'a>, error: AddressError) -> bool {
    claim.error = Some(Box::new(error));
    claim.is_out = round.take_back(claim);
    claim.is_out
}

/// All requested addresses or none.
fn lend_requested<'a>(round: &mut Round<'a>, claim: &mut Claim<'a>) -> Result<(), AddressError> {
    let mut found: Vec<Lent> = Vec::new();
    for family in claim.request.wanted().filter(|family| !claim.has(*family)) {
        let Some(address) = claim.request.requested(family) else { continue };
        found.push((address, available(round, claim.request, address)?));
    }
    for lent in found {
        round.lend(claim, lent);
    }
    Ok(())
}

/// The pool from which a requested address can be lent.
fn available(round: &Round<'_>, request: &Request, address: IpAddr) -> Result<usize, AddressError> {
    let service = request.service.clone();
    if let Some(pool) = round.home(request, address) {
        return match round.obstacle(request, address) {
            None => Ok(pool),
            Some((winner, conflict)) => {
                Err(AddressError::AddressTaken { service, address, winner, conflict })
            }
        };
    }
    let holders = || {
        let stocks = round.order.iter().filter_map(|index| round.stocks.get(*index));
        stocks.filter(|stock| stock.space.spans(address))
    };
    if let Some(pool) = &request.pool
        && !holders().any(|stock| stock.pool.name == *pool)
    {
        return Err(AddressError::AddressNotInPool { service, address, pool: pool.clone() });
    }
    let refusal =
        holders().find_map(|stock| Some((stock.pool.name.clone(), stock.refuses(request)?)));
    let avoider = holders().find(|stock| {
        let asked = request.pool.as_ref().is_none_or(|name| *name == stock.pool.name);
        asked && stock.space.avoids(address) && stock.refuses(request).is_none()
    });
    Err(match (avoider, refusal) {
        (Some(stock), _) => {
            AddressError::AddressAvoided { service, address, pool: stock.pool.name.clone() }
        }
        (None, Some((pool, rule))) => AddressError::PoolForbidden { service, pool, rule },
        (None, None) => AddressError::AddressInNoPool { service, address },
    })
}

/// An address for each family that still has none.
fn lend_free<'a>(round: &mut Round<'a>, claim: &mut Claim<'a>) {
    let request = claim.request;
    let missing: Vec<Family> = request.wanted().filter(|family| !claim.has(*family)).collect();
    let mut found = Vec::new();
    for family in missing {
        match free(round, request, family) {
            Ok(lent) => found.push(lent),
            Err(error) => claim.missing.push(error),
        }
    }
    // Nothing is lent only to be taken back.
    if request.family_policy != FamilyPolicy::RequireDualStack || claim.missing.is_empty() {
        for lent in found {
            round.lend(claim, lent);
        }
    }
}

fn free(round: &mut Round<'_>, request: &Request, family: Family) -> Result<Lent, AddressError> {
    let service = || request.service.clone();
    let gives = |index: &usize| {
        round.stocks.get(*index).is_some_and(|stock| {
            stock.pool.auto_assign && stock.space.has(family) && stock.refuses(request).is_none()
        })
    };
    let pools: Vec<usize> = match round.requested_pool(request)? {
        Some(index) => vec![index],
        None => round.order.iter().copied().filter(gives).collect(),
    };
    if pools.is_empty() {
        return Err(AddressError::NoPool { service: service(), family });
    }
    for &index in &pools {
        if let Some(address) = round.pick(request, index, family) {
            return Ok((address, index));
        }
    }
    let names = pools.iter().filter_map(|index| round.stocks.get(*index));
    let pools = names.map(|stock| stock.pool.name.clone()).collect();
    Err(AddressError::Exhausted { service: service(), family, pools })
}

/// What the policy says to the families that are still missing.
fn verdict(claim: &mut Claim<'_>) -> Option<AddressError> {
    let request = claim.request;
    let cause = claim.missing.first()?.clone();
    match request.family_policy {
        FamilyPolicy::RequireDualStack => {
            let missing = request
                .wanted()
                .find(|family| claim.missing.iter().any(|error| error.family() == Some(*family)))?;
            let service = request.service.clone();
            Some(AddressError::HalfOnly { service, missing, cause: Box::new(cause) })
        }
        FamilyPolicy::SingleStack | FamilyPolicy::PreferDualStack => {
            claim.lent.is_empty().then_some(cause)
        }
    }
}

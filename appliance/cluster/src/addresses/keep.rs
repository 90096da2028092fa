//! Steps 1 and 2: what a Service holds, or held before a restart.

use std::net::IpAddr;

use super::round::{Claim, Round};
use super::{AddressError, Family};

/// Refuses what can never be fulfilled, whatever is free.
pub(super) fn check(round: &Round<'_>, claim: &Claim<'_>) -> Result<(), AddressError> {
    let request = claim.request;
    let service = || request.service.clone();
    round.requested_pool(request)?;
    let mut wanted = request.wanted();
    let Some(first) = wanted.next() else {
        return Err(AddressError::NoFamily { service: service() });
    };
    if request.family_policy == super::FamilyPolicy::RequireDualStack && wanted.next().is_none() {
        return Err(AddressError::OneFamilyOnly { service: service(), only: first });
    }
    for (at, &address) in request.addresses.iter().enumerate() {
        let family = Family::of(address);
        if !request.wanted().any(|wanted| wanted == family) {
            return Err(AddressError::FamilyNotWanted { service: service(), address });
        }
        let mut before = request.addresses.iter().take(at).copied();
        if let Some(first) = before.find(|other| Family::of(*other) == family && *other != address)
        {
            return Err(AddressError::TwoOfOneFamily {
                service: service(),
                first,
                second: address,
            });
        }
    }
    Ok(())
}

/// Lends the Service what it has, as far as it still may and still wants it.
pub(super) fn keep<'a>(round: &mut Round<'a>, claim: &mut Claim<'a>, addresses: &[IpAddr]) {
    let request = claim.request;
    for &address in addresses {
        let family = Family::of(address);
        let is_wanted = request.wanted().any(|wanted| wanted == family)
            && !claim.has(family)
            && request.requested(family).is_none_or(|requested| requested == address);
        if !is_wanted {
            continue;
        }
        let Some(pool) = round.home(request, address) else { continue };
        match round.obstacle(request, address) {
            None => round.lend(claim, (address, pool)),
            Some((winner, conflict)) => {
                let service = request.service.clone();
                claim.lost.push(AddressError::AddressTaken { service, address, winner, conflict });
            }
        }
    }
}

//! Why a Service got no address.

use std::fmt;
use std::net::IpAddr;

use spillway_lb::model::Protocol;
use thiserror::Error;

use super::Family;
use crate::change::ObjectKey;

/// Why two Services cannot have one address.
///
/// They can when both carry the same sharing key, no port of one is a port of the other, and both have
/// `externalTrafficPolicy: Cluster` or both `Local` over the same pods (namespace and selector): else a node
/// that has endpoints for one of them would be sent the traffic of the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// Not the same sharing key, or none.
    Key,
    /// Both want this port.
    Port(Protocol, u16),
    /// `Local` beside `Cluster`, or `Local` with another selector.
    Policy,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key => f.write_str("give both the same sharing key or ask for another address"),
            Self::Port(protocol, port) => {
                write!(f, "both want port {port}/{protocol}; change one of them or ask for another address")
            }
            Self::Policy => f.write_str(
                "sharing needs externalTrafficPolicy Cluster on both, or Local with the same selector on both",
            ),
        }
    }
}

/// Why a Service got no address, or not the one that it wanted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    #[error("Service {service}: pool {pool} is not configured; the pools are: {}", list(known))]
    PoolUnknown { service: ObjectKey, pool: String, known: Vec<String> },
    #[error(
        "Service {service}: may not use pool {pool}: {rule}; ask for another pool or change the pool's rules"
    )]
    PoolForbidden { service: ObjectKey, pool: String, rule: String },
    #[error(
        "Service {service}: no pool holds {address}; ask for an address of a pool, or add it to one"
    )]
    AddressInNoPool { service: ObjectKey, address: IpAddr },
    #[error(
        "Service {service}: {address} is not in the requested pool {pool}; ask for one of the two only"
    )]
    AddressNotInPool { service: ObjectKey, address: IpAddr, pool: String },
    #[error(
        "Service {service}: {address} is never lent: pool {pool} avoids .0 and .255; ask for another address"
    )]
    AddressAvoided { service: ObjectKey, address: IpAddr, pool: String },
    #[error("Service {service}: {address} is taken by Service {winner}: {conflict}")]
    AddressTaken { service: ObjectKey, address: IpAddr, winner: ObjectKey, conflict: Conflict },
    #[error(
        "Service {service}: asks for {address}, but wants no {} address; change ipFamilies or the request",
        Family::of(*address)
    )]
    FamilyNotWanted { service: ObjectKey, address: IpAddr },
    #[error(
        "Service {service}: asks for both {first} and {second}; ask for one address per family"
    )]
    TwoOfOneFamily { service: ObjectKey, first: IpAddr, second: IpAddr },
    #[error(
        "Service {service}: no {family} address is free in {}; enlarge a pool or delete a Service",
        pool_list(pools)
    )]
    Exhausted { service: ObjectKey, family: Family, pools: Vec<String> },
    #[error(
        "Service {service}: no pool gives it an {family} address by itself; ask for a pool, or let one with {family} \
         addresses assign to this namespace and these labels"
    )]
    NoPool { service: ObjectKey, family: Family },
    #[error("Service {service}: names no IP family that the box forwards; change ipFamilies")]
    NoFamily { service: ObjectKey },
    #[error(
        "Service {service}: RequireDualStack needs IPv4 and IPv6, and only {only} is to be had; use PreferDualStack"
    )]
    OneFamilyOnly { service: ObjectKey, only: Family },
    #[error(
        "Service {service}: RequireDualStack gets both families or none; {missing} is missing: {cause}"
    )]
    HalfOnly { service: ObjectKey, missing: Family, cause: Box<AddressError> },
}

impl AddressError {
    /// Whether another Service is the reason.
    pub fn is_conflict(&self) -> bool {
        match self {
            Self::AddressTaken { .. } => true,
            Self::HalfOnly { cause, .. } => cause.is_conflict(),
            Self::PoolUnknown { .. }
            | Self::PoolForbidden { .. }
            | Self::AddressInNoPool { .. }
            | Self::AddressNotInPool { .. }
            | Self::AddressAvoided { .. }
            | Self::FamilyNotWanted { .. }
            | Self::TwoOfOneFamily { .. }
            | Self::Exhausted { .. }
            | Self::NoPool { .. }
            | Self::NoFamily { .. }
            | Self::OneFamilyOnly { .. } => false,
        }
    }
}

impl AddressError {
    /// The family that is missing for want of a free address.
    pub(super) fn family(&self) -> Option<Family> {
        match self {
            Self::Exhausted { family, .. } | Self::NoPool { family, .. } => Some(*family),
            Self::HalfOnly { missing, .. } => Some(*missing),
            Self::AddressTaken { address, .. } => Some(Family::of(*address)),
            Self::PoolUnknown { .. }
            | Self::PoolForbidden { .. }
            | Self::AddressInNoPool { .. }
            | Self::AddressNotInPool { .. }
            | Self::AddressAvoided { .. }
            | Self::FamilyNotWanted { .. }
            | Self::TwoOfOneFamily { .. }
            | Self::NoFamily { .. }
            | Self::OneFamilyOnly { .. } => None,
        }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn pool_list(names: &[String]) -> String {
    let noun = if names.len() == 1 { "pool" } else { "pools" };
    format!("{noun} {}", list(names))
}

//! What a Service asks of the pools, and what it gets.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use spillway_lb::model::Protocol;

use super::AddressError;
use crate::change::ObjectKey;

/// An entry of `spec.ipFamilies`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// `spec.ipFamilyPolicy`.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum FamilyPolicy {
    /// One address, of the first family.
    #[default]
    SingleStack,
    /// One of each listed family that a pool has.
    PreferDualStack,
    /// One of each family, or none at all.
    RequireDualStack,
}

/// One Service that wants addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub service: ObjectKey,
    /// Tells a Service from the next one of the same name.
    pub uid: String,
    /// `metadata.creationTimestamp` as the API server wrote it: RFC 3339 in UTC, so that text sorts by age.
    pub created: String,
    /// The Service's own labels, for the pools' label rules.
    pub labels: BTreeMap<String, String>,
    /// In the order of `spec.ipFamilies`; only families that the box forwards.
    pub families: Vec<Family>,
    pub family_policy: FamilyPolicy,
    /// Requested pool.
    pub pool: Option<String>,
    /// Requested addresses, at most one of each family.
    pub addresses: Vec<IpAddr>,
    /// Services of one key may share an address, also across namespaces; see [`Conflict`].
    pub sharing_key: Option<String>,
    pub ports: Vec<(Protocol, u16)>,
    /// `externalTrafficPolicy: Local`.
    pub is_local: bool,
    /// `spec.selector` as canonical text.
    pub selector: String,
    /// What `status.loadBalancer.ingress` says now.
    pub current: Vec<IpAddr>,
}

impl Request {
    /// Families that get an address each if there is one.
    pub(super) fn wanted(&self) -> impl Iterator<Item = Family> + Clone + '_ {
        let count = match self.family_policy {
            FamilyPolicy::SingleStack => 1,
            FamilyPolicy::PreferDualStack | FamilyPolicy::RequireDualStack => self.families.len(),
        };
        let listed = self.families.iter().take(count).copied();
        listed
            .enumerate()
            .filter(|(at, family)| !self.families.iter().take(*at).any(|f| f == family))
            .map(|(_, f)| f)
    }

    /// The requested address of a family.
    pub(super) fn requested(&self, family: Family) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| Family::of(*address) == family)
    }

    /// The key, unless it is the empty one, which shares nothing.
    pub(super) fn key(&self) -> Option<&str> {
        self.sharing_key.as_deref().filter(|key| !key.is_empty())
    }
}

/// What a Service got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// One per family, in the order of `ipFamilies`; never empty.
    pub addresses: Vec<IpAddr>,
    /// Pool of the first of them. Each family may come from a pool of its own.
    pub pool: String,
    /// What it did not get although it asked or had it: a second family, an address that went to an older
    /// Service. Worth an event each; the Service is served all the same.
    pub notes: Vec<AddressError>,
}

//! Addresses that the operator gives to Services.

use std::net::IpAddr;

use ipnet::IpNet;

/// Consecutive addresses of one family.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Span {
    /// A prefix; network and broadcast address are lent like any other.
    Prefix(IpNet),
    /// Both ends included; same family, `first <= last`.
    Range { first: IpAddr, last: IpAddr },
}

/// A label that a Service must carry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LabelRule {
    pub key: String,
    /// Any value when `None`.
    pub value: Option<String>,
}

/// A named set of addresses and who may have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Unique.
    pub name: String,
    pub spans: Vec<Span>,
    /// Namespaces whose Services may use it; empty: all.
    pub namespaces: Vec<String>,
    /// Labels that a Service must carry, all of them; empty: none.
    pub labels: Vec<LabelRule>,
    /// Whether a Service that names no pool may get an address of this one.
    pub auto_assign: bool,
    /// Pools are tried in falling order, those of equal priority in the order of the configuration.
    pub priority: u32,
    /// Addresses that are never lent: those ending in .0 and .255, which old routers mistake for broadcasts.
    pub avoid_buggy_ips: bool,
}

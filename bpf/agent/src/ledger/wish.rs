//! The frontends that one Service asks for, and what their rows will say.

use std::net::IpAddr;

use ipnet::IpNet;
use spillway_cluster::addresses::Family;
use spillway_cluster::node::{NodeFrontend, NodeService, Place};
use spillway_lb::model::{Affinity, ServiceKind};

use super::{NodePlaces, Range, ScopeRows, SourceKey, Spot};
use crate::layout;

/// A frontend that a Service asks for.
#[derive(Copy, Clone, Debug)]
pub(super) struct Wish {
    pub(super) spot: Spot,
    pub(super) frontend: NodeFrontend,
    /// A loopback address.
    is_host_only: bool,
}

impl Wish {
    /// Which scopes it has rows in, in the order of [`super::SCOPES`].
    pub(super) const fn scopes(&self) -> [bool; 2] {
        [true, self.external().is_some()]
    }

    /// Whether one of its rows has this pool.
    pub(super) fn leads_to(&self, pool: u8) -> bool {
        self.frontend.internal == pool || self.external() == Some(pool)
    }

    const fn external(&self) -> Option<u8> {
        if self.is_host_only { None } else { self.frontend.external }
    }
}

/// What a Service asks for, each spot once: an address that was named goes before one that is the node's.
pub(super) fn wishes(service: &NodeService, places: &NodePlaces) -> Vec<Wish> {
    let mut wishes: Vec<Wish> = Vec::with_capacity(service.frontends.len());
    let mut add = |address: IpAddr, frontend: NodeFrontend, is_host_only: bool| {
        let protocol = service.protocol.number();
        let spot = Spot { address: address.into(), port: frontend.port.into(), protocol };
        if Family::of(address) == service.family && !wishes.iter().any(|it| it.spot == spot) {
            wishes.push(Wish { spot, frontend, is_host_only });
        }
    };
    for frontend in &service.frontends {
        match frontend.place {
            Place::Address(address) => add(address, *frontend, false),
            Place::Node => {}
        }
    }
    for frontend in service.frontends.iter().filter(|it| it.place == Place::Node) {
        places.addresses.iter().for_each(|address| add(*address, *frontend, false));
        places.host_only.iter().for_each(|address| add(*address, *frontend, true));
    }
    wishes
}

/// Whether what a Service asks for depends on the node's addresses.
pub(super) fn has_node_place(service: &NodeService) -> bool {
    service.frontends.iter().any(|frontend| frontend.place == Place::Node)
}

/// Source ranges of a Service: those of its own family, for others are nobody's.
pub(super) fn sources(service: &NodeService, id: u32) -> impl Iterator<Item = SourceKey> {
    let is_own = |source: &&IpNet| match (source, service.family) {
        (IpNet::V4(_), Family::V4) | (IpNet::V6(_), Family::V6) => true,
        (IpNet::V4(_), Family::V6) | (IpNet::V6(_), Family::V4) => false,
    };
    service.source_ranges.iter().filter(is_own).map(move |source| SourceKey::new(id, *source))
}

/// Which rows a spot gets.
pub(super) struct Numbers<'n> {
    pub(super) frontend: u32,
    pub(super) service: u32,
    /// Where the choices of every pool are.
    pub(super) pools: &'n [Range],
    /// See [`super::pool::is_table`].
    pub(super) is_table: bool,
}

/// The rows of a frontend.
pub(super) fn rows(service: &NodeService, wish: &Wish, numbers: &Numbers<'_>) -> ScopeRows {
    [Some(wish.frontend.internal), wish.external()]
        .map(|pool| Some(row(service, wish, pool?, numbers)))
}

fn row(service: &NodeService, wish: &Wish, pool: u8, numbers: &Numbers<'_>) -> layout::Frontend {
    let of = service.pools.get(usize::from(pool)).cloned().unwrap_or_default();
    let range = numbers.pools.get(usize::from(pool)).copied().unwrap_or_default();
    let is_elsewhere = range.count == 0 && of.is_local && !service.backends.is_empty();
    let is_guarded = wish.frontend.is_guarded && !service.source_ranges.is_empty();
    let flags = [
        (numbers.is_table, layout::FRONTEND_MAGLEV),
        (is_guarded, layout::FRONTEND_GUARDED),
        (of.is_terminating, layout::FRONTEND_TERMINATING),
        (of.is_local, layout::FRONTEND_LOCAL),
        (wish.is_host_only, layout::FRONTEND_HOST_ONLY),
        (is_elsewhere, layout::FRONTEND_ELSEWHERE),
    ];
    layout::Frontend {
        id: numbers.frontend,
        service: numbers.service,
        first: range.first,
        count: range.count,
        affinity_s: affinity_s(service.affinity),
        flags: flags.into_iter().filter(|(is_set, _)| *is_set).fold(0, |all, (_, flag)| all | flag),
        kind: kind(wish.frontend.kind),
        pad: 0,
    }
}

/// 0 means none, so that the shortest is a second.
fn affinity_s(affinity: Affinity) -> u32 {
    match affinity {
        Affinity::None => 0,
        Affinity::ClientIp { timeout } => {
            u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX).max(1)
        }
    }
}

const fn kind(kind: ServiceKind) -> u8 {
    match kind {
        ServiceKind::ClusterIp => 0,
        ServiceKind::NodePort => 1,
        ServiceKind::LoadBalancer => 2,
        ServiceKind::ExternalIp => 3,
    }
}

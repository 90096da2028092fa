//! The endpoints of one port of a Service, joined over its EndpointSlices, and which of them this node uses.
//!
//! As kube-proxy's `CategorizeEndpoints`:
//!
//! * policy Cluster: those that are ready; of these, where hints say so, those for this node or else for its zone;
//!   when none is ready, all that still serve while they terminate (KEP-1669), wherever they are.
//! * policy Local: those of this node that are ready; when none is, those of this node that still serve.
//!
//! Hints are followed only if every ready endpoint has them and one of them is for us. `trafficDistribution` is not
//! read: the controller has made hints of it.
//!
//! The result depends on the set of slices only, not on their order: an endpoint that is in two of them (while a
//! controller moves it) is ready if it is so in one. A slice can be written by people who may write nothing else
//! (CVE-2021-25740), so loopback, link-local (CVE-2021-25737) and multicast are refused. Other than on the box, an
//! address in no podCIDR is believed: network plugins have ranges of their own, and here nothing is routed by
//! podCIDR.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use spillway_lb::maglev::BACKENDS_MAX;

use super::model::{NodeBackend, Pool};
use crate::addresses::Family;
use crate::eligibility::flaw_of_address;
use crate::object::{Endpoint, EndpointSlice, ForName, Shown};
use crate::translate::endpoints::{Tally, numbers};
use crate::translate::ports::Port;
use crate::translate::refused::RefusalReason as Why;

/// The slices of one Service and where they are looked at from.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Join<'a> {
    pub slices: &'a [&'a Arc<EndpointSlice>],
    pub node: &'a str,
    pub zone: &'a str,
    /// `publishNotReadyAddresses`.
    pub publish_not_ready: bool,
}

/// The endpoints of one port in one family.
#[derive(Clone, Debug, Default)]
pub(crate) struct Joined {
    /// Sorted.
    pub backends: Vec<NodeBackend>,
    pub cluster: Pool,
    pub local: Pool,
    /// How many there are, where that is more than the rest of us can count.
    pub too_many: Option<usize>,
}

/// Whom an endpoint is meant for.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
struct Hint {
    is_there: bool,
    is_for_us: bool,
}

/// One endpoint, whichever slices it is in.
#[derive(Copy, Clone, Debug, Default)]
struct Seen {
    is_ready: bool,
    is_local: bool,
    node: Hint,
    zone: Hint,
}

/// Which of the ready endpoints policy Cluster may use.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Topology {
    Anywhere,
    ThisNode,
    ThisZone,
}

impl Join<'_> {
    pub(crate) fn port(&self, port: &Port, family: Family, tally: &mut Tally) -> Joined {
        let mut seen: BTreeMap<(IpAddr, u16), Seen> = BTreeMap::new();
        for slice in self.of_family(family) {
            for number in numbers(slice, port, tally) {
                for endpoint in &slice.endpoints {
                    let (is_ready, is_fallback) = self.state(endpoint);
                    if !is_ready && !is_fallback {
                        continue;
                    }
                    let Some(address) = judge(endpoint, family, slice, tally) else { continue };
                    let it = seen.entry((address, number)).or_default();
                    it.is_ready |= is_ready;
                    it.is_local |= self.is_here(endpoint);
                    it.node.add(&endpoint.hints.for_nodes, self.node);
                    it.zone.add(&endpoint.hints.for_zones, self.zone);
                }
            }
        }
        joined(&seen)
    }

    /// How many ready endpoints of any port are here: kube-proxy's `LocalReadyEndpoints`, which counts addresses. Each
    /// family has its own there, and both are of the same pods: the larger counts.
    pub(crate) fn local_ready(&self) -> usize {
        let count = |family| {
            let slices = self.of_family(family);
            let slices = slices.filter(|slice| slice.ports.iter().any(|it| it.port.is_some()));
            let endpoints = slices.flat_map(|slice| &slice.endpoints);
            let ready = endpoints.filter(|it| self.state(it).0 && self.is_here(it));
            ready.filter_map(|it| address(it, family)).collect::<BTreeSet<IpAddr>>().len()
        };
        count(Family::V4).max(count(Family::V6))
    }

    /// Notes slices that nobody can forward to.
    pub(crate) fn note_names(&self, tally: &mut Tally) {
        for slice in self.slices.iter().filter(|slice| slice.address_type == "FQDN") {
            let name = &slice.meta.name;
            tally.add(Why::FqdnEndpoints, name.clone(), || {
                format!("EndpointSlice {name} holds names; only addresses can be forwarded to")
            });
        }
    }

    fn of_family(&self, family: Family) -> impl Iterator<Item = &EndpointSlice> {
        let text = match family {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        };
        self.slices.iter().map(AsRef::as_ref).filter(move |slice| slice.address_type == text)
    }

    /// Whether it is ready; whether it serves while it terminates.
    fn state(&self, endpoint: &Endpoint) -> (bool, bool) {
        let conditions = endpoint.conditions;
        let is_ready = conditions.is_ready() || self.publish_not_ready;
        (is_ready, conditions.is_serving() && conditions.is_terminating())
    }

    fn is_here(&self, endpoint: &Endpoint) -> bool {
        endpoint.node_name.as_deref() == Some(self.node)
    }
}

impl Hint {
    fn add(&mut self, names: &[ForName], us: &str) {
        self.is_there |= !names.is_empty();
        self.is_for_us |= names.iter().any(|it| it.name == us);
    }
}

fn joined(seen: &BTreeMap<(IpAddr, u16), Seen>) -> Joined {
    let topology = topology_of(seen);
    let used: Vec<(NodeBackend, Seen)> = seen
        .iter()
        .take(BACKENDS_MAX)
        .map(|((address, port), it)| {
            let (is_local, is_terminating) = (it.is_local, !it.is_ready);
            let backend =
                NodeBackend { address: *address, port: *port, weight: 1, is_local, is_terminating };
            (backend, *it)
        })
        .collect();
    let is_meant = |it: &Seen| match topology {
        Topology::Anywhere => true,
        Topology::ThisNode => it.node.is_for_us,
        Topology::ThisZone => it.zone.is_for_us,
    };
    Joined {
        cluster: pool(&used, false, is_meant),
        local: pool(&used, true, |it| it.is_local),
        backends: used.into_iter().map(|(backend, _)| backend).collect(),
        too_many: (seen.len() > BACKENDS_MAX).then_some(seen.len()),
    }
}

/// kube-proxy's `topologyModeFromHints`.
fn topology_of(seen: &BTreeMap<(IpAddr, u16), Seen>) -> Topology {
    let follows = |hint: fn(&Seen) -> Hint| {
        let mut hints = seen.values().filter(|it| it.is_ready).map(hint);
        let is_for_us = hints.clone().any(|hint| hint.is_for_us);
        is_for_us && hints.all(|hint| hint.is_there)
    };
    if follows(|it| it.node) {
        Topology::ThisNode
    } else if follows(|it| it.zone) {
        Topology::ThisZone
    } else {
        Topology::Anywhere
    }
}

/// Those that are ready and meant. If there is none, those that terminate, topology or not: better far than nowhere.
fn pool(used: &[(NodeBackend, Seen)], is_local: bool, is_meant: impl Fn(&Seen) -> bool) -> Pool {
    let members = |wanted: &dyn Fn(&Seen) -> bool| -> Arc<[u16]> {
        let members = (0_u16..).zip(used).filter(|(_, (_, it))| wanted(it));
        members.map(|(at, _)| at).collect()
    };
    let ready = members(&|it| it.is_ready && is_meant(it));
    if !ready.is_empty() {
        return Pool { members: ready, is_terminating: false, is_local };
    }
    let fallback = members(&|it| !it.is_ready && (it.is_local || !is_local));
    let is_terminating = !fallback.is_empty();
    Pool { members: fallback, is_terminating, is_local }
}

/// "The contents of this field are interchangeable; consumers should handle the first only" (discovery/v1).
fn address(endpoint: &Endpoint, family: Family) -> Option<IpAddr> {
    let address = endpoint.addresses.first()?.parse::<IpAddr>().ok()?;
    let is_good = Family::of(address) == family && flaw_of_address(address).is_none();
    is_good.then_some(address)
}

fn judge(
    endpoint: &Endpoint,
    family: Family,
    slice: &EndpointSlice,
    tally: &mut Tally,
) -> Option<IpAddr> {
    let text = endpoint.addresses.first()?;
    if let Some(address) = address(endpoint, family) {
        return Some(address);
    }
    let parsed = text.parse::<IpAddr>().ok().filter(|address| Family::of(*address) == family);
    let flaw = parsed.and_then(flaw_of_address).unwrap_or("is no address of the slice's family");
    let name = &slice.meta.name;
    tally.add(Why::HostileEndpoint, text.clone(), || {
        format!("endpoint {} of EndpointSlice {name} {flaw}: not used", Shown(text))
    });
    None
}

//! The endpoints of one Service, joined over its EndpointSlices.
//!
//! Several slices hold one Service, an endpoint may be in two of them (while a controller moves it), and slices
//! come in any order: the join depends on their set only. Of each port those endpoints serve that are ready;
//! when none is, those that still serve while they terminate (KEP-1669). A terminating endpoint beside ready ones is
//! left out and not kept with weight 0: flows that it has are found by their records, which need no backend.
//!
//! A slice can be written by people who may write nothing else (CVE-2021-25740), so an endpoint is believed only
//! where a pod can be: in a node's podCIDR, or on a node's own address. Loopback, link-local (CVE-2021-25737),
//! multicast and the box's own addresses are refused even there. Clusters whose network plugin gives pods addresses
//! outside of `spec.podCIDRs` need mode `node`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::ports::{Port, port_number, protocol_text};
use super::refused::RefusalReason as Why;
use crate::addresses::Family;
use crate::eligibility::{Nodes, Reserved, flaw_of_address};
use crate::object::{Endpoint, EndpointSlice, Shown};

/// The slices of one Service and how to judge them.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Join<'a> {
    pub slices: &'a [&'a Arc<EndpointSlice>],
    pub nodes: &'a Nodes,
    pub reserved: &'a Reserved,
    /// `publishNotReadyAddresses`.
    pub publish_not_ready: bool,
}

/// Counts what was refused; an object with 1,000 bad endpoints is one sentence.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(BTreeMap<Why, (BTreeSet<String>, String)>);

impl Tally {
    pub(crate) fn add(&mut self, reason: Why, what: String, sentence: impl FnOnce() -> String) {
        let (seen, _) = self.0.entry(reason).or_insert_with(|| (BTreeSet::new(), sentence()));
        seen.insert(what);
    }

    /// One row per reason: the first, and how many more.
    pub(crate) fn rows(self) -> impl Iterator<Item = (Why, String)> {
        self.0.into_iter().map(|(reason, (seen, first))| match seen.len() {
            0 | 1 => (reason, first),
            count => (reason, format!("{first} (and {} more)", count - 1)),
        })
    }
}

impl Join<'_> {
    /// Where pods of a port listen, sorted.
    pub(crate) fn pods(&self, port: &Port, family: Family, tally: &mut Tally) -> Vec<SocketAddr> {
        let mut ready = BTreeSet::new();
        let mut fallback = BTreeSet::new();
        for slice in self.of_family(family) {
            for number in numbers(slice, port, tally) {
                for endpoint in &slice.endpoints {
                    let (is_ready, is_fallback) = self.state(endpoint);
                    if !is_ready && !is_fallback {
                        continue;
                    }
                    if let Some(address) = self.judge(endpoint, family, slice, tally) {
                        let set = if is_ready { &mut ready } else { &mut fallback };
                        set.insert(SocketAddr::new(address, number));
                    }
                }
            }
        }
        let chosen = if ready.is_empty() { fallback } else { ready };
        chosen.into_iter().collect()
    }

    /// How many ready endpoints of a port each node holds. With `or_terminating` a node without a ready one
    /// counts those that still serve, as its kube-proxy does for policy Local.
    pub(crate) fn local(
        &self,
        port: &Port,
        family: Family,
        or_terminating: bool,
    ) -> BTreeMap<&str, u16> {
        let mut by_node: BTreeMap<&str, [BTreeSet<&str>; 2]> = BTreeMap::new();
        for slice in self.of_family(family) {
            if !slice.ports.iter().any(|it| is_port(it.name.as_str(), &it.protocol, port)) {
                continue;
            }
            for endpoint in &slice.endpoints {
                let (Some(node), Some(address)) = (&endpoint.node_name, endpoint.addresses.first())
                else {
                    continue;
                };
                let [ready, fallback] = by_node.entry(node).or_default();
                match self.state(endpoint) {
                    (true, _) => ready.insert(address.as_str()),
                    (false, true) if or_terminating => fallback.insert(address.as_str()),
                    (false, _) => false,
                };
            }
        }
        let count = |[ready, fallback]: [BTreeSet<&str>; 2]| {
            if ready.is_empty() { fallback.len() } else { ready.len() }
        };
        let counts = by_node
            .into_iter()
            .map(|(node, sets)| (node, u16::try_from(count(sets)).unwrap_or(u16::MAX)));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// Notes slices that nobody can forward to.
    pub(crate) fn note_names(&self, tally: &mut Tally) {
        for slice in self.slices.iter().filter(|slice| slice.address_type == "FQDN") {
            tally.add(Why::FqdnEndpoints, slice.meta.name.clone(), || {
                format!(
                    "EndpointSlice {} holds names; only addresses can be forwarded to",
                    slice.meta.name
                )
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

    /// The address, if a pod can have it.
    fn judge(
        &self,
        endpoint: &Endpoint,
        family: Family,
        slice: &EndpointSlice,
        tally: &mut Tally,
    ) -> Option<IpAddr> {
        // "The contents of this field are interchangeable; consumers should handle the first only" (discovery/v1).
        let text = endpoint.addresses.first()?;
        let parsed = text.parse::<IpAddr>().ok().filter(|address| Family::of(*address) == family);
        let flaw = match parsed {
            None => Some("is no address of the slice's family"),
            Some(address) => flaw_of_address(address).or_else(|| self.flaw_of_place(address)),
        };
        if let Some(flaw) = flaw {
            tally.add(Why::HostileEndpoint, text.clone(), || {
                format!(
                    "endpoint {} of EndpointSlice {} {flaw}: not used",
                    Shown(text),
                    slice.meta.name
                )
            });
            return None;
        }
        parsed
    }

    fn flaw_of_place(&self, address: IpAddr) -> Option<&'static str> {
        if self.reserved.has(address) {
            Some("belongs to the box or to its frontends")
        } else if self.nodes.may_hold_pod(address) {
            None
        } else {
            Some("is in no node's podCIDR and on no node")
        }
    }
}

/// Whether a slice's port is the Service's: by name and protocol, as kube-proxy matches them.
fn is_port(name: &str, protocol: &str, port: &Port) -> bool {
    name == port.name && protocol_text(protocol) == port.protocol.to_string().as_str()
}

/// The numbers under which a slice has the Service's port. One, unless the slice is odd.
pub(crate) fn numbers(slice: &EndpointSlice, port: &Port, tally: &mut Tally) -> Vec<u16> {
    let mut numbers = Vec::new();
    for said in slice.ports.iter().filter(|it| is_port(it.name.as_str(), &it.protocol, port)) {
        // "A nil port means all ports": no proxy implements it, and for all we know it would be a mistake.
        if let Some(number) = said.port.and_then(port_number) {
            numbers.push(number);
            continue;
        }
        tally.add(Why::EndpointPort, format!("{} {}", slice.meta.name, port.label), || {
            let (port, slice) = (&port.label, &slice.meta.name);
            format!("port {port} of EndpointSlice {slice} has no number that can be used")
        });
    }
    numbers
}

#[cfg(test)]
mod tests {
    use spillway_lb::model::Protocol;

    use super::*;

    #[test]
    fn protocols_are_called_as_the_api_calls_them() {
        let port = |protocol| Port {
            label: String::new(),
            name: "x".to_owned(),
            protocol,
            number: 1,
            node_port: None,
        };
        assert!(is_port("x", "", &port(Protocol::Tcp)));
        assert!(is_port("x", "TCP", &port(Protocol::Tcp)));
        assert!(!is_port("x", "TCP", &port(Protocol::Udp)));
        assert!(!is_port("y", "UDP", &port(Protocol::Udp)));
    }
}

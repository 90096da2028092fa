//! NodePorts against the box's own addresses and against the ports that leave from them.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use super::super::draft::Draft;
use super::super::kubernetes::NodePorts;
use super::super::report::{Report, Spanned};
use super::snat::words;

pub(super) fn check(draft: &Draft, report: &Report) {
    let Some(kubernetes) = &draft.kubernetes else { return };
    let node_ports = &kubernetes.node_ports;
    if !node_ports.are_served {
        return;
    }
    check_addresses(draft, node_ports, report);
    let Some(range) = &node_ports.range else { return };
    // The first is enough: ports are lent alike from all SNAT addresses.
    let mut snat = draft.snat.addresses.iter().map(|snat| snat.value);
    let Some(shared) = snat.find(|snat| answers_on(draft, node_ports, *snat)) else { return };
    check_lent(draft, range, shared, report);
    check_probes(draft, node_ports, range, shared, report);
}

fn own_addresses(draft: &Draft) -> impl Iterator<Item = Ipv4Addr> {
    let ports = draft.ports.iter().flat_map(|port| &port.addresses);
    ports.map(|own| own.value.addr())
}

fn answers_on(draft: &Draft, node_ports: &NodePorts, address: Ipv4Addr) -> bool {
    match &node_ports.addresses {
        Some(given) => given.iter().any(|given| given.value == address),
        None => own_addresses(draft).any(|own| own == address),
    }
}

fn check_addresses(draft: &Draft, node_ports: &NodePorts, report: &Report) {
    let Some(given) = &node_ports.addresses else { return };
    let is_incomplete =
        draft.ports.is_empty() || draft.ports.iter().any(|port| port.network_is_incomplete);
    for (index, address) in given.iter().enumerate() {
        let is_snat = draft.snat.addresses.iter().any(|snat| snat.value == address.value);
        let is_own = is_snat || own_addresses(draft).any(|own| own == address.value);
        let address_words = address.value;
        if given.iter().take(index).any(|other| other.value == address.value) {
            let message =
                format!("kubernetes: node_port_addresses: {address_words} is listed twice");
            report.error(address.at, message);
        } else if !is_own && !is_incomplete {
            let own: Vec<String> = own_addresses(draft).map(|own| own.to_string()).collect();
            let message = format!(
                "kubernetes: node_port_addresses: {address_words} is no address of the box"
            );
            report.error_with_help(address.at, message, format!("it has {}", own.join(", ")));
        }
    }
}

/// A packet to a NodePort must not look like a reply, as with any frontend; which of the range the
/// cluster takes is not known before it does.
fn check_lent(draft: &Draft, range: &Spanned<RangeInclusive<u16>>, on: Ipv4Addr, report: &Report) {
    let Some(lent) = &draft.snat.ports else { return };
    if !overlap(&lent.value, &range.value) {
        return;
    }
    let message = format!(
        "snat: ports {} on {on} overlap the node ports of the cluster, {}",
        words(&lent.value),
        words(&range.value)
    );
    let instead = match beside(&lent.value, &range.value) {
        Some(part) => format!("ports = \"{}\" in [snat] leaves them out", words(&part)),
        None => "lend other ports in [snat]".to_owned(),
    };
    let at = if draft.snat.ports_are_given { lent.at } else { range.at };
    report.error_with_help(
        at,
        message,
        format!("{instead}; or see node_ports and node_port_addresses in [kubernetes]"),
    );
}

fn check_probes(
    draft: &Draft,
    node_ports: &NodePorts,
    range: &Spanned<RangeInclusive<u16>>,
    on: Ipv4Addr,
    report: &Report,
) {
    let Some(probe) = &draft.health.probe_ports else { return };
    if !overlap(&probe.value, &range.value) {
        return;
    }
    let message = format!(
        "health: probe_ports {} on {on} overlap the node ports of the cluster, {}",
        words(&probe.value),
        words(&range.value)
    );
    let at = if node_ports.range_is_given { range.at } else { probe.at };
    let help = "health checks leave from every SNAT address; see probe_ports in [health]";
    report.error_with_help(at, message, help);
}

fn overlap(one: &RangeInclusive<u16>, other: &RangeInclusive<u16>) -> bool {
    one.start() <= other.end() && other.start() <= one.end()
}

/// The larger part of `range` beside `hole`.
fn beside(range: &RangeInclusive<u16>, hole: &RangeInclusive<u16>) -> Option<RangeInclusive<u16>> {
    let below = hole.start().checked_sub(1).map(|end| *range.start()..=end);
    let above = hole.end().checked_add(1).map(|start| start..=*range.end());
    let parts = [below, above].into_iter().flatten().filter(|part| !part.is_empty());
    parts.max_by_key(ExactSizeIterator::len)
}

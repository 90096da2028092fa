//! Addresses that the operator gives to a cluster against everything that has an address already.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use spillway_cluster::Span as Addresses;

use super::super::draft::Draft;
use super::super::report::{Report, Span};

/// Addresses that no host can have (RFC 6890), and what they are.
const SPECIAL: [(&str, &str); 7] = [
    ("0.0.0.0/8", "addresses of no host"),
    ("127.0.0.0/8", "loopback addresses"),
    ("224.0.0.0/4", "multicast addresses"),
    ("240.0.0.0/4", "reserved addresses"),
    ("::/127", "addresses of no host"),
    ("fe80::/10", "link-local addresses"),
    ("ff00::/8", "multicast addresses"),
];

/// A stretch of addresses that somebody gave, and how to speak of it.
#[derive(Debug)]
struct Given {
    /// Names the object at the head of a message.
    what: String,
    /// Names its owner within the message of another.
    owner: String,
    addresses: Addresses,
    /// Never lent if it ends in .0 or .255.
    avoids_ends: bool,
    at: Span,
}

pub(super) fn check(draft: &Draft, report: &Report) {
    let given = all_given(draft);
    let taken = all_taken(draft);
    for (index, mine) in given.iter().enumerate() {
        let (earlier, _) = given.split_at(index);
        check_one(mine, earlier, &taken, report);
        if first_and_last(mine.addresses).0.is_ipv6() {
            let words = words(mine.addresses);
            let message = format!("{}: {words} is IPv6, which is not served yet", mine.what);
            report.note(mine.at, message);
        }
    }
}

fn all_given(draft: &Draft) -> Vec<Given> {
    let pools = draft.pools.iter().flat_map(|pool| {
        let owner = format!("pool \"{}\"", pool.name.value);
        pool.spans.iter().map(move |span| Given {
            what: owner.clone(),
            owner: owner.clone(),
            addresses: span.value,
            avoids_ends: pool.rest.avoid_buggy_ips,
            at: span.at,
        })
    });
    let external = draft.kubernetes.iter().flat_map(|kubernetes| &kubernetes.external_ips);
    let external = external.map(|range| Given {
        what: "kubernetes: external_ips".to_owned(),
        owner: "external_ips".to_owned(),
        addresses: Addresses::Prefix(range.value),
        avoids_ends: false,
        at: range.at,
    });
    pools.chain(external).collect()
}

/// Every single address that the configuration knows, with whose it is; the more telling first.
fn all_taken(draft: &Draft) -> Vec<(IpAddr, String)> {
    let mut taken: Vec<(IpAddr, String)> = Vec::new();
    let mut take = |address: Ipv4Addr, whose: String| taken.push((IpAddr::V4(address), whose));
    for port in &draft.ports {
        let name = &port.name.value;
        for own in &port.addresses {
            take(own.value.addr(), format!("an address of port \"{name}\""));
        }
        if let Some(gateway) = &port.gateway {
            take(gateway.value, format!("the gateway of port \"{name}\""));
        }
        for neighbor in &port.neighbors {
            take(neighbor.value.address, format!("a neighbor on port \"{name}\""));
        }
    }
    for snat in &draft.snat.addresses {
        take(snat.value, "a SNAT address".to_owned());
    }
    for service in &draft.services {
        let name = &service.name.value;
        for frontend in &service.frontends {
            let IpAddr::V4(address) = frontend.value.address else { continue };
            take(address, format!("a frontend of service \"{name}\""));
        }
        for backend in &service.backends {
            let IpAddr::V4(address) = backend.value.address else { continue };
            take(address, format!("a backend of service \"{name}\""));
        }
    }
    for port in &draft.ports {
        let name = &port.name.value;
        // RFC 3021: a /31 has neither of the two.
        let links = port.addresses.iter().map(|own| own.value.trunc());
        for link in links.filter(|link| link.prefix_len() <= 30) {
            let whose = |end: &str| format!("the {end} address of {link} on port \"{name}\"");
            take(link.network(), whose("network"));
            take(link.broadcast(), whose("broadcast"));
        }
    }
    taken
}

fn check_one(mine: &Given, earlier: &[Given], taken: &[(IpAddr, String)], report: &Report) {
    let (first, last) = first_and_last(mine.addresses);
    let (what, words) = (&mine.what, words(mine.addresses));
    let special = SPECIAL.iter().find(|(prefix, _)| {
        prefix.parse().is_ok_and(|prefix| overlap(Addresses::Prefix(prefix), mine.addresses))
    });
    if let Some((prefix, kind)) = special {
        let message = format!("{what}: {words} contains {kind}, {prefix}");
        report.error_with_help(mine.at, message, "give addresses of hosts");
        return;
    }
    let is_avoided = |address: IpAddr| mine.avoids_ends && is_buggy(address);
    let conflict = taken.iter().find(|(address, _)| {
        first.is_ipv4() == address.is_ipv4()
            && (first..=last).contains(address)
            && !is_avoided(*address)
    });
    if let Some((address, whose)) = conflict {
        let message = if first == last {
            format!("{what}: {address} is {whose}")
        } else {
            format!("{what}: {words} contains {address}, {whose}")
        };
        let help = "what a Service gets must be nobody else's; leave it out by two ranges, such as \"10.0.0.1-10.0.0.9\"";
        report.error_with_help(mine.at, message, help);
    } else if let Some(other) =
        earlier.iter().find(|other| overlap(other.addresses, mine.addresses))
    {
        let theirs = self::words(other.addresses);
        let message = format!("{what}: {words} overlaps {theirs} of {}", other.owner);
        report.error_with_help(mine.at, message, "an address is given once");
    }
}

/// Old routers take such an address of any prefix for a network's or a broadcast.
fn is_buggy(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => matches!(address.octets(), [_, _, _, 0 | 255]),
        IpAddr::V6(_) => false,
    }
}

fn first_and_last(addresses: Addresses) -> (IpAddr, IpAddr) {
    match addresses {
        Addresses::Prefix(net) => (net.network(), net.broadcast()),
        Addresses::Range { first, last } => (first, last),
    }
}

fn overlap(one: Addresses, other: Addresses) -> bool {
    let ((a_first, a_last), (b_first, b_last)) = (first_and_last(one), first_and_last(other));
    a_first.is_ipv4() == b_first.is_ipv4() && a_first <= b_last && b_first <= a_last
}

fn words(addresses: Addresses) -> String {
    match addresses {
        Addresses::Prefix(net) if net.prefix_len() == net.max_prefix_len() => {
            IpNet::addr(&net).to_string()
        }
        Addresses::Prefix(net) => net.to_string(),
        Addresses::Range { first, last } => format!("{first}-{last}"),
    }
}

//! Checks of a node's sections against each other.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use spillway_cluster::addresses::Family;
use spillway_cluster::eligibility::flaw_of_address;
use spillway_cluster::node::Place;
use spillway_lb::model::ServiceKind;

use super::super::report::{Report, Spanned};
use super::draft::Draft;
use super::form::NodePlace;
use super::service::ServiceDraft;

/// Prefixes that the programs' settings have room for.
const SERVICE_PREFIXES_MAX: usize = 4;

/// Backends of one service: indices of them are 16 bits wide.
const BACKENDS_MAX: usize = spillway_lb::maglev::BACKENDS_MAX;

/// Reports everything that no section can know alone.
pub(super) fn check(draft: &Draft, report: &Report) {
    check_snat(draft, report);
    check_prefixes(draft, report);
    let mut claimed: BTreeMap<NodePlace, &str> = BTreeMap::new();
    for service in &draft.services {
        check_frontends(service, draft, report);
        check_backends(service, report);
        for frontend in &service.frontends {
            let name = service.name.value.as_str();
            let Some(owner) = claimed.insert(frontend.value, name) else { continue };
            let words = words(frontend.value);
            let (message, help) = if owner == name {
                (format!("frontend {words} is listed twice"), "remove one of them")
            } else {
                (
                    format!("frontend {words} is taken by service \"{owner}\""),
                    "a frontend belongs to one service",
                )
            };
            report.error_with_help(frontend.at, format!("service \"{name}\": {message}"), help);
        }
    }
}

/// A reply to a translated flow must not look like a request to a NodePort.
fn check_snat(draft: &Draft, report: &Report) {
    let (Some(lent), Some(range)) = (&draft.datapath.snat_ports, &draft.node_port_range) else {
        return;
    };
    if lent.value.start() > range.value.end() || range.value.start() > lent.value.end() {
        return;
    }
    let show = |range: &RangeInclusive<u16>| format!("{}-{}", range.start(), range.end());
    let message = format!(
        "datapath: snat_ports {} overlap the NodePorts, {}",
        show(&lent.value),
        show(&range.value)
    );
    let at = if draft.datapath.snat_ports_are_given { lent.at } else { range.at };
    let help = "say snat_ports in [datapath] so that the two are apart, and apart from net.ipv4.ip_local_port_range";
    report.error_with_help(at, message, help);
}

fn check_prefixes(draft: &Draft, report: &Report) {
    let prefixes = &draft.service_prefixes;
    if prefixes.len() > SERVICE_PREFIXES_MAX {
        let message = format!(
            "cluster_ips: {} prefixes; there is room for {SERVICE_PREFIXES_MAX}",
            prefixes.len()
        );
        report.error(draft.service_prefixes_at, message);
    }
    for (index, prefix) in prefixes.iter().enumerate() {
        let meets = |other: &&Spanned<IpNet>| {
            other.value.contains(&prefix.value) || prefix.value.contains(&other.value)
        };
        if let Some(other) = prefixes.iter().take(index).find(meets) {
            let message =
                format!("cluster_ips: prefixes: {} overlaps {}", prefix.value, other.value);
            report.error_with_help(prefix.at, message, "the wider of the two is enough");
        }
    }
}

fn check_frontends(service: &ServiceDraft, draft: &Draft, report: &Report) {
    let name = &service.name.value;
    for frontend in &service.frontends {
        let NodePlace { place, port, protocol } = frontend.value;
        let complain = |message: String, help: &str| {
            report.error_with_help(frontend.at, format!("service \"{name}\": {message}"), help);
        };
        if service.protocol().is_some_and(|first| first != protocol) {
            let help = "one [[service]] for TCP and one for UDP, with names of their own";
            complain("has frontends of both protocols".to_owned(), help);
        }
        match place {
            Place::Address(address) => {
                if let Some(flaw) = flaw_of_address(address) {
                    let help = "give an address that no other host and no other process has";
                    complain(format!("frontend {address} {flaw}"), help);
                }
                let family = Family::of(address);
                let mut backends = service.backends.iter();
                let serves = backends.any(|it| Family::of(it.value.address) == family);
                if !serves && !service.backends.is_empty() {
                    let help = "a backend is of its frontend's family";
                    complain(format!("frontend {address} has no backend of its family"), help);
                }
            }
            Place::Node if service.kind != ServiceKind::NodePort => {
                let help = "only type = \"NodePort\" answers on every address of the node";
                complain(format!("type {} needs an address", service.kind), help);
            }
            Place::Node => {}
        }
        let range = draft.node_port_range.as_ref();
        let outside = range.filter(|range| !range.value.contains(&port));
        if let Some(range) = outside.filter(|_| service.kind == ServiceKind::NodePort) {
            let (low, high) = (range.value.start(), range.value.end());
            let help = "see range in [node_ports]";
            complain(format!("port {port} is outside of the NodePorts, {low}-{high}"), help);
        }
    }
}

fn check_backends(service: &ServiceDraft, report: &Report) {
    let name = &service.name.value;
    if service.backends.len() > BACKENDS_MAX {
        let message = format!("service \"{name}\": more than {BACKENDS_MAX} backends");
        report.error(service.name.at, message);
        return;
    }
    let mut seen = std::collections::BTreeSet::new();
    for backend in &service.backends {
        let (address, port) = (backend.value.address, backend.value.port);
        if let Some(flaw) = flaw_of_address(address) {
            let message = format!("service \"{name}\": backend {address} {flaw}");
            let help = "a backend is the address of a pod or of a host (CVE-2021-25737)";
            report.error_with_help(backend.at, message, help);
        }
        if !seen.insert((address, port)) {
            let socket = std::net::SocketAddr::new(address, port);
            let message = format!("service \"{name}\": backend {socket} is listed twice");
            let help = "remove one of them; a weight gives a backend a larger share";
            report.error_with_help(backend.at, message, help);
        }
    }
}

fn words(frontend: NodePlace) -> String {
    let protocol = frontend.protocol.to_string().to_lowercase();
    match frontend.place {
        Place::Address(address) => {
            format!("{}/{protocol}", std::net::SocketAddr::new(address, frontend.port))
        }
        Place::Node => format!("*:{}/{protocol}", frontend.port),
    }
}

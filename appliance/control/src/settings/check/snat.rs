//! SNAT addresses and their ports against frontends, health checks and workers.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

use super::super::draft::Draft;
use super::super::report::{Report, Spanned};
use super::addresses::Addresses;

pub(super) fn check(draft: &Draft, report: &Report) {
    check_addresses(draft, report);
    if draft.snat.addresses.is_empty() {
        return;
    }
    let Some(lent) = &draft.snat.ports else { return };
    if let Some(probe) = &draft.health.probe_ports {
        check_probe_ports(draft, lent, probe, report);
    }
    check_frontends(draft, lent, report);
    if !draft.dataplane.workers_are_incomplete {
        check_shares(draft, lent, report);
    }
}

fn check_addresses(draft: &Draft, report: &Report) {
    let addresses = Addresses::new(draft);
    for (index, snat) in draft.snat.addresses.iter().enumerate() {
        let address = snat.value;
        if draft.snat.addresses.iter().take(index).any(|other| other.value == address) {
            report.error(snat.at, format!("snat: {address} is listed twice"));
        } else if let Some(why) = addresses.unusable(address) {
            report.error(snat.at, format!("snat: {why}"));
        } else if let Some(whose) = addresses.stranger(address) {
            let help = "replies would go there; take an address that is the box's alone";
            report.error_with_help(snat.at, format!("snat: {address} is {whose}"), help);
        } else if let Some(service) = service_of_backend(draft, address) {
            let message = format!("snat: {address} is a backend of service \"{service}\"");
            let help = "replies would go there; take an address that is the box's alone";
            report.error_with_help(snat.at, message, help);
        }
    }
}

fn service_of_backend(draft: &Draft, address: Ipv4Addr) -> Option<&str> {
    let service = draft.services.iter().find(|service| {
        let mut backends = service.backends.iter();
        backends.any(|backend| backend.value.address == IpAddr::V4(address))
    });
    service.map(|service| service.name.value.as_str())
}

/// Health checks leave from every SNAT address.
fn check_probe_ports(
    draft: &Draft,
    lent: &Spanned<RangeInclusive<u16>>,
    probe: &Spanned<RangeInclusive<u16>>,
    report: &Report,
) {
    if lent.value.start() <= probe.value.end() && probe.value.start() <= lent.value.end() {
        let at = if draft.snat.ports_are_given { lent.at } else { probe.at };
        let message = format!(
            "snat: ports {} overlap the ports of health checks, {}",
            words(&lent.value),
            words(&probe.value)
        );
        let help =
            "a port is either lent to flows or to health checks; see probe_ports in [health]";
        report.error_with_help(at, message, help);
    }
}

/// A packet to a frontend's port must not look like a reply, nor a reply like a new flow. The
/// protocol does not matter: ports are lent for TCP and for UDP.
fn check_frontends(draft: &Draft, lent: &Spanned<RangeInclusive<u16>>, report: &Report) {
    let probe = draft.health.probe_ports.as_ref().map(|probe| &probe.value);
    for service in &draft.services {
        let name = &service.name.value;
        for frontend in &service.frontends {
            let (address, port) = (frontend.value.address, frontend.value.port);
            if !draft.snat.addresses.iter().any(|snat| IpAddr::V4(snat.value) == address) {
                continue;
            }
            if lent.value.contains(&port) {
                let message = format!(
                    "snat: ports {} on {address} contain port {port}, a frontend of service \"{name}\"",
                    words(&lent.value)
                );
                let at = if draft.snat.ports_are_given { lent.at } else { frontend.at };
                report.error_with_help(at, message, without(&lent.value, port));
            } else if let Some(probe) = probe.filter(|probe| probe.contains(&port)) {
                let message = format!(
                    "service \"{name}\": port {port} on {address} is a port of health checks, {}",
                    words(probe)
                );
                let help =
                    "health checks leave from every SNAT address; see probe_ports in [health]";
                report.error_with_help(frontend.at, message, help);
            }
        }
    }
}

/// The larger part of a range beside a port.
fn without(range: &RangeInclusive<u16>, port: u16) -> String {
    let (low, high) = (*range.start(), *range.end());
    let part = if high - port >= port - low {
        (port.saturating_add(1), high)
    } else {
        (low, port.saturating_sub(1))
    };
    if part.0 > part.1 {
        return "lend other ports in [snat]".to_owned();
    }
    format!("ports = \"{}\" in [snat] leaves it out", words(&(part.0..=part.1)))
}

/// The owner of a port is computed from its low bits, so a narrow range can leave a worker with
/// nothing to lend.
fn check_shares(draft: &Draft, range: &Spanned<RangeInclusive<u16>>, report: &Report) {
    let workers = draft.dataplane.settings.worker_cores.len();
    let mask = workers.next_power_of_two() - 1;
    let mut owns = vec![false; workers];
    for port in range.value.clone() {
        if let Some(owns) = owns.get_mut((usize::from(port) & mask) % workers.max(1)) {
            *owns = true;
        }
    }
    let without: Vec<String> = owns
        .iter()
        .enumerate()
        .filter(|(_, owns)| !**owns)
        .map(|(worker, _)| worker.to_string())
        .collect();
    if without.is_empty() {
        return;
    }
    let noun = if without.len() == 1 { "worker" } else { "workers" };
    let verb = if without.len() == 1 { "has" } else { "have" };
    let message = format!(
        "snat: of ports {}, {noun} {} {verb} none to lend",
        words(&range.value),
        without.join(", ")
    );
    let help = format!(
        "any {} ports in a row give each of {workers} workers a share; or list fewer worker_cores",
        mask + 1
    );
    let at = if draft.snat.ports_are_given { range.at } else { draft.dataplane.workers_at };
    report.error_with_help(at, message, help);
}

pub(super) fn words(range: &RangeInclusive<u16>) -> String {
    if range.start() == range.end() {
        range.start().to_string()
    } else {
        format!("{}-{}", range.start(), range.end())
    }
}

//! Frontends and backends against each other and against the network.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use spillway_lb::model::{Backend, Frontend, Protocol};

use super::super::draft::Draft;
use super::super::report::{Report, Spanned};
use super::super::service::ServiceDraft;
use super::addresses::Addresses;

pub(super) fn check(draft: &Draft, report: &Report) {
    let addresses = Addresses::new(draft);
    let mut claimed: BTreeMap<Frontend, &str> = BTreeMap::new();
    for service in &draft.services {
        for frontend in &service.frontends {
            check_frontend(service, frontend, &addresses, report);
            let Some(owner) = claimed.insert(frontend.value, &service.name.value) else { continue };
            let (name, words) = (&service.name.value, frontend_words(frontend.value));
            if owner == name {
                let message = format!("service \"{name}\": frontend {words} is listed twice");
                report.error_with_help(frontend.at, message, "remove one of them");
            } else {
                let message =
                    format!("service \"{name}\": frontend {words} is taken by service \"{owner}\"");
                report.error_with_help(frontend.at, message, "a frontend belongs to one service");
            }
        }
        for (index, backend) in service.backends.iter().enumerate() {
            check_backend(draft, service, backend, &addresses, report);
            let same = |other: &Spanned<Backend>| {
                (other.value.address, other.value.port)
                    == (backend.value.address, backend.value.port)
            };
            if service.backends.iter().take(index).any(same) {
                let (name, words) = (&service.name.value, backend_words(backend.value));
                let message = format!("service \"{name}\": backend {words} is listed twice");
                let help = "remove one of them; a weight gives a backend a larger share";
                report.error_with_help(backend.at, message, help);
            }
        }
    }
}

fn check_frontend(
    service: &ServiceDraft,
    frontend: &Spanned<Frontend>,
    addresses: &Addresses<'_>,
    report: &Report,
) {
    let Some(address) = v4(frontend.value.address) else { return };
    let name = &service.name.value;
    if let Some(why) = addresses.unusable(address) {
        report.error(frontend.at, format!("service \"{name}\": frontend: {why}"));
    } else if let Some(whose) = addresses.stranger(address) {
        let message = format!("service \"{name}\": frontend {address} is {whose}");
        report.error_with_help(frontend.at, message, "a frontend's address is the box's own");
    }
}

fn check_backend(
    draft: &Draft,
    service: &ServiceDraft,
    backend: &Spanned<Backend>,
    addresses: &Addresses<'_>,
    report: &Report,
) {
    let Some(address) = v4(backend.value.address) else { return };
    let (name, words) = (&service.name.value, backend_words(backend.value));
    let complain = |message: String, help: &str| {
        report.error_with_help(backend.at, format!("service \"{name}\": {message}"), help);
    };
    if let Some(owner) = service_of_frontend(draft, backend.value) {
        let help = "a frontend cannot lead to a frontend; list the backends themselves";
        complain(format!("backend {words} is a frontend of service \"{owner}\""), help);
    } else if let Some(whose) = addresses.port(address).or_else(|| addresses.service(address)) {
        complain(format!("backend {words}: {address} is {whose}"), "a backend is another machine");
    } else if let Some(why) = addresses.unusable(address) {
        complain(format!("backend {words}: {why}"), "a backend is the address of a host");
    } else if !addresses.is_reachable(address) {
        let help = "give a port an address in its prefix, or a gateway";
        complain(format!("backend {words} cannot be reached: no port has it on its link"), help);
    }
}

/// The service whose frontend a backend is, by address and port: the backend serves all of its
/// service's protocols.
fn service_of_frontend(draft: &Draft, backend: Backend) -> Option<&str> {
    let service = draft.services.iter().find(|service| {
        let mut frontends = service.frontends.iter();
        frontends.any(|frontend| {
            (frontend.value.address, frontend.value.port) == (backend.address, backend.port)
        })
    });
    service.map(|service| service.name.value.as_str())
}

fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        // Refused when it was read.
        IpAddr::V6(_) => None,
    }
}

fn frontend_words(frontend: Frontend) -> String {
    let protocol = match frontend.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    format!("{}:{}/{protocol}", frontend.address, frontend.port)
}

fn backend_words(backend: Backend) -> String {
    format!("{}:{}", backend.address, backend.port)
}

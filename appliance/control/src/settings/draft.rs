//! Everything as read, before the sections are checked against each other.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use spillway_lb::model::{Model, Network, PortNetwork, Service, SnatRange, Timeouts};

use super::dataplane::{self, DataplaneDraft};
use super::form;
use super::health::{self, HealthDefaults};
use super::merge::Node;
use super::port::{self, PortDraft};
use super::report::{Report, Span, Spanned};
use super::section::Section;
use super::service::{self, ServiceDraft};
use super::types::{LogLevel, PortSettings, Settings};

#[derive(Debug)]
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) log_level: LogLevel,
    pub(super) admin_socket: PathBuf,
    pub(super) state_dir: PathBuf,
    pub(super) dataplane: DataplaneDraft,
    pub(super) ports: Vec<PortDraft>,
    pub(super) snat: SnatDraft,
    pub(super) health: HealthDefaults,
    pub(super) timeouts: Timeouts,
    pub(super) services: Vec<ServiceDraft>,
}

#[derive(Debug)]
pub(super) struct SnatDraft {
    pub(super) addresses: Vec<Spanned<Ipv4Addr>>,
    /// Lent from each of the addresses. `None` after a mistake.
    pub(super) ports: Option<Spanned<RangeInclusive<u16>>>,
    /// The operator said which ports.
    pub(super) ports_are_given: bool,
}

/// Reads the merged tree.
pub(super) fn read(root: &Node, cpus_online: usize, report: &Report) -> Option<Draft> {
    let mut section = Section::open(root, String::new(), report)?;
    let nowhere = Span::whole(0);
    let name = section.parse("name", form::NAME);
    let log_level = section.choice("log_level", &dataplane::LOG_LEVELS);
    let admin_socket = section.parse("admin_socket", form::SOCKET_PATH);
    let state_dir = section.parse("state_dir", form::PATH);
    let dataplane = dataplane::read(section.section_or_absent("dataplane"), cpus_online, report);
    if !section.has("port") {
        let help = "add at least one, with a name, a driver and addresses";
        section.error(nowhere, "there is no [[port]]", Some(help));
    }
    let ports = named(&mut section, "port", |key, node| port::read(key, node, report));
    let health = health::read_defaults(section.section_or_absent("health"));
    let services =
        named(&mut section, "service", |key, node| service::read(key, node, &health, report));
    let snat = if section.has("snat") || services.is_empty() {
        read_snat(section.section_or_absent("snat"), !services.is_empty())
    } else {
        let help =
            "add [snat] with addresses = [\"...\"]: flows leave for their backends from there";
        section.error(nowhere, "services need a SNAT address, and there is no [snat]", Some(help));
        read_snat(section.section_or_absent("snat"), false)
    };
    let timeouts = read_timeouts(section.section_or_absent("timeouts"));
    section.finish();
    Some(Draft {
        name: name.map_or_else(|| "spillway".to_owned(), |name| name.value),
        log_level: log_level.map_or(LogLevel::Info, |level| level.value),
        admin_socket: admin_socket
            .map_or_else(|| "/run/spillway/admin.sock".into(), |path| path.value),
        state_dir: state_dir.map_or_else(|| "/run/spillway".into(), |path| path.value),
        dataplane,
        ports,
        snat,
        health,
        timeouts,
        services,
    })
}

fn named<T>(
    section: &mut Section<'_>,
    list: &'static str,
    read: impl Fn(&str, &Node) -> Option<T>,
) -> Vec<T> {
    let Some(entries) = section.section(list, list) else { return Vec::new() };
    entries.entries().iter().filter_map(|(key, node)| read(key, node)).collect()
}

fn read_snat(mut section: Section<'_>, is_needed: bool) -> SnatDraft {
    let addresses = section.parse_list("addresses", form::ADDRESS);
    if is_needed {
        let help = "flows leave for their backends from there, such as addresses = [\"10.0.1.1\"]";
        section.missing("addresses", help);
        if let Some(addresses) = addresses.as_ref().filter(|addresses| addresses.is_empty) {
            section.error(addresses.at, "addresses is empty", Some(help));
        }
    }
    let ports_are_given = section.has("ports");
    // Above the system ports (RFC 6335), below the ports of health checks.
    let ports = section.parse_or("ports", form::PORTS, 1024..=60_999);
    section.finish();
    let addresses = addresses.map(|addresses| addresses.items).unwrap_or_default();
    SnatDraft { addresses, ports, ports_are_given }
}

fn read_timeouts(mut section: Section<'_>) -> Timeouts {
    const TIMEOUT_MAX: Duration = Duration::from_hours(7 * 24);
    let mut timeouts = Timeouts::default();
    let keys: [(&'static str, &mut Duration); 5] = [
        ("tcp_syn", &mut timeouts.tcp_syn),
        ("tcp_established", &mut timeouts.tcp_established),
        ("tcp_closing", &mut timeouts.tcp_closing),
        ("udp_unreplied", &mut timeouts.udp_unreplied),
        ("udp", &mut timeouts.udp),
    ];
    for (key, timeout) in keys {
        let Some(said) = section.parse(key, form::DURATION) else { continue };
        if said.value.is_zero() {
            let help = "every flow would be forgotten at once; the shortest is 1ms";
            section.error(said.at, &format!("{key} cannot be 0"), Some(help));
        } else if said.value > TIMEOUT_MAX {
            section.error(said.at, &format!("{key} is longer than 7 days"), None);
        }
        *timeout = said.value;
    }
    section.finish();
    timeouts
}

impl Draft {
    /// The settings, without places. `None` if something could not be read, which is a mistake.
    pub(super) fn into_settings(self) -> Option<Settings> {
        let mut ports = Vec::new();
        let mut networks = Vec::new();
        for port in self.ports {
            ports.push(PortSettings {
                name: port.name.value.clone(),
                device: port.device?.value,
                rx_queues: port.rx_queues,
                mtu: port.mtu,
                promiscuous: port.promiscuous,
            });
            networks.push(PortNetwork {
                name: port.name.value,
                vlan: port.vlan,
                addresses: values(port.addresses),
                gateway: port.gateway.map(|gateway| gateway.value),
                neighbors: values(port.neighbors),
            });
        }
        let lent = self.snat.ports?.value;
        let snat = values(self.snat.addresses)
            .into_iter()
            .map(|address| SnatRange { address, ports: lent.clone() })
            .collect();
        let services = self.services.into_iter().map(|service| Service {
            frontends: values(service.frontends),
            backends: values(service.backends),
            scheduler: service.scheduler,
            no_backend: service.no_backend,
            checks: service.health.into_iter().collect(),
            ..Service::new(service.name.value, service.kind)
        });
        Some(Settings {
            name: self.name,
            log_level: self.log_level,
            dataplane: self.dataplane.settings,
            ports,
            network: Network { ports: networks, snat, probe_ports: self.health.probe_ports?.value },
            timeouts: self.timeouts,
            model: Model { services: services.map(Arc::new).collect(), routes: Vec::new() },
            admin_socket: self.admin_socket,
            state_dir: self.state_dir,
        })
    }
}

fn values<T>(spanned: Vec<Spanned<T>>) -> Vec<T> {
    spanned.into_iter().map(|spanned| spanned.value).collect()
}

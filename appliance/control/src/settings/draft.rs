//! Everything as read, before the sections are checked against each other.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use spillway_lb::model::{Model, Network, PortNetwork, Service, SnatRange, Timeouts};

use super::dataplane::{self, DataplaneDraft};
use super::form;
use super::health::{self, HealthDefaults};
use super::kubernetes::{self, KubernetesDraft};
use super::merge::Node;
use super::pool::{self, PoolDraft};
use super::port::{self, PortDraft};
use super::report::{Report, Span, Spanned};
use super::route::{self, RouteDraft};
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
    pub(super) routes: Vec<Spanned<RouteDraft>>,
    pub(super) kubernetes: Option<KubernetesDraft>,
    pub(super) pools: Vec<PoolDraft>,
    pub(super) metrics: Option<SocketAddr>,
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
    let kubernetes = section
        .section("kubernetes", "kubernetes")
        .map(|section| kubernetes::read(section, report));
    let pools = named(&mut section, "pool", |key, node| pool::read(key, node, report));
    if !section.has("kubernetes") {
        refuse_pools(&section, &pools);
    }
    let snat = read_snat_for(&mut section, services.len(), kubernetes.is_some());
    let routes = section.list("route", route::read).map(|routes| routes.items);
    let timeouts = read_timeouts(section.section_or_absent("timeouts"));
    let metrics = section.section("metrics", "metrics").and_then(read_metrics);
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
        routes: routes.unwrap_or_default(),
        kubernetes,
        pools,
        metrics,
    })
}

fn refuse_pools(section: &Section<'_>, pools: &[PoolDraft]) {
    for pool in pools {
        let message =
            format!("pool \"{}\" has nobody to lend to: there is no [kubernetes]", pool.name.value);
        let help = "addresses of static services are their frontends; add [kubernetes], or take the pool out";
        section.error(pool.name.at, &message, Some(help));
    }
}

pub(super) fn read_metrics(mut section: Section<'_>) -> Option<SocketAddr> {
    let listen = section.parse("listen", form::LISTEN);
    section.missing("listen", "say where, such as listen = \"127.0.0.1:9100\"");
    section.finish();
    listen.map(|listen| listen.value)
}

/// `[snat]` if it is there, and a mistake if somebody needs it and it is not.
fn read_snat_for(section: &mut Section<'_>, services: usize, has_kubernetes: bool) -> SnatDraft {
    let is_needed = services > 0 || has_kubernetes;
    if section.has("snat") || !is_needed {
        return read_snat(section.section_or_absent("snat"), is_needed);
    }
    let who = if services > 0 { "services need" } else { "kubernetes needs" };
    let help = "add [snat] with addresses = [\"...\"]: flows leave for their backends from there";
    let message = format!("{who} a SNAT address, and there is no [snat]");
    section.error(Span::whole(0), &message, Some(help));
    read_snat(section.section_or_absent("snat"), false)
}

pub(super) fn named<T>(
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
    /// Addresses that are the box's: of its ports, for SNAT, and of static services. Each once, in
    /// the order of the addresses.
    fn own_addresses(&self) -> Vec<IpNet> {
        let ports = self.ports.iter().flat_map(|port| &port.addresses);
        let ports = ports.map(|own| IpAddr::V4(own.value.addr()));
        let snat = self.snat.addresses.iter().map(|snat| IpAddr::V4(snat.value));
        let frontends = self.services.iter().flat_map(|service| &service.frontends);
        let frontends = frontends.map(|frontend| frontend.value.address);
        let all: BTreeSet<IpAddr> = ports.chain(snat).chain(frontends).collect();
        all.into_iter().map(IpNet::from).collect()
    }

    /// The settings, without places. `None` if something could not be read, which is a mistake.
    pub(super) fn into_settings(self) -> Option<Settings> {
        let own = self.own_addresses();
        let mut ports = Vec::new();
        let mut networks: Vec<PortNetwork> = Vec::new();
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
        let kubernetes = match self.kubernetes {
            None => None,
            Some(draft) => {
                let pools = self.pools.into_iter().map(PoolDraft::into_pool).collect();
                Some(draft.into_settings(&self.name, &networks, own, pools)?)
            }
        };
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
            affinity: service.affinity,
            source_ranges: service.source_ranges,
            checks: service.health.check.into_iter().collect(),
            ejection: service.health.ejection,
            ..Service::new(service.name.value, service.kind)
        });
        Some(Settings {
            name: self.name,
            log_level: self.log_level,
            dataplane: self.dataplane.settings,
            ports,
            network: Network { ports: networks, snat, probe_ports: self.health.probe_ports?.value },
            timeouts: self.timeouts,
            model: Model {
                services: services.map(Arc::new).collect(),
                routes: self.routes.into_iter().map(|route| route.value.route).collect(),
            },
            kubernetes,
            metrics: self.metrics,
            admin_socket: self.admin_socket,
            state_dir: self.state_dir,
            notes: Vec::new(),
        })
    }
}

fn values<T>(spanned: Vec<Spanned<T>>) -> Vec<T> {
    spanned.into_iter().map(|spanned| spanned.value).collect()
}

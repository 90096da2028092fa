//! A node's configuration as read, before the sections are checked against each other.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;
use spillway_cluster::node::NodePolicy;

use super::super::dataplane::LOG_LEVELS;
use super::super::draft::named;
use super::super::form::{self, Form};
use super::super::merge::Node;
use super::super::report::{Report, Span, Spanned};
use super::super::section::Section;
use super::super::types::LogLevel;
use super::form::{NODE_NAME, OPTIONAL_LISTEN, PATTERN};
use super::kubernetes::{self, KubernetesDraft};
use super::maps;
use super::pattern::Pattern;
use super::service::{self, ServiceDraft};
use super::types::{
    DatapathSettings, Delivery, DeviceRules, MapSizes, NodePortSettings, NodeSettings, TcAttach,
};

#[derive(Debug)]
pub(super) struct Draft {
    /// `None` after a mistake.
    name: Option<String>,
    log_level: LogLevel,
    state_dir: PathBuf,
    pub(super) kubernetes: Option<KubernetesDraft>,
    pub(super) services: Vec<ServiceDraft>,
    node_ports: NodePortSettings,
    /// `None` after a mistake.
    pub(super) node_port_range: Option<Spanned<RangeInclusive<u16>>>,
    pub(super) service_prefixes: Vec<Spanned<IpNet>>,
    pub(super) service_prefixes_at: Span,
    refuse_unowned: bool,
    pub(super) datapath: DatapathDraft,
    devices: DeviceRules,
    maps: MapSizes,
    health: Option<SocketAddr>,
    metrics: Option<SocketAddr>,
}

#[derive(Debug)]
pub(super) struct DatapathDraft {
    settings: DatapathSettings,
    /// `None` after a mistake.
    pub(super) snat_ports: Option<Spanned<RangeInclusive<u16>>>,
    pub(super) snat_ports_are_given: bool,
}

/// kube-proxy's own port: who probes nodes need not know which of the two answers.
const HEALTH: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 10_256);

/// Above the system ports (RFC 6335), from which some services answer only each other, below the NodePorts, and
/// clear of the ports that the host's own clients get (`ip_local_port_range`, 32768-60999): a reply to one of those
/// would be taken for the reply to a translated flow when both have the same backend. A port that a server of the
/// host listens on does no harm: a reply is told by the backend's address and port, too.
const SNAT_PORTS: RangeInclusive<u16> = 1_024..=29_999;

/// Reads the merged tree.
pub(super) fn read(root: &Node, hostname: &str, report: &Report) -> Option<Draft> {
    let mut section = Section::open(root, String::new(), report)?;
    let name = read_name(&mut section, hostname);
    let log_level = section.choice("log_level", &LOG_LEVELS);
    let state_dir = section.parse("state_dir", form::PATH);
    let kubernetes = section.section("kubernetes", "kubernetes").map(kubernetes::read);
    let services = named(&mut section, "service", |key, node| service::read(key, node, report));
    if kubernetes.is_none() && !section.has("service") && !section.has("kubernetes") {
        let help = "add [kubernetes] with in_cluster = true, or a [[service]]";
        section.error(
            Span::whole(0),
            "there is neither [kubernetes] nor a [[service]]",
            Some(help),
        );
    }
    let (node_ports, node_port_range) = read_node_ports(section.section_or_absent("node_ports"));
    let mut cluster_ips = section.section_or_absent("cluster_ips");
    let prefixes = cluster_ips.parse_list("prefixes", form::NETWORK);
    let refuse_unowned = cluster_ips.boolean("refuse_unowned").unwrap_or(true);
    cluster_ips.finish();
    let datapath = read_datapath(section.section_or_absent("datapath"));
    let devices = read_devices(section.section_or_absent("devices"));
    let maps = maps::read(section.section_or_absent("maps"));
    let mut health = section.section_or_absent("health");
    let health_listen = health.parse("listen", OPTIONAL_LISTEN);
    health.finish();
    let metrics = section.section("metrics", "metrics").and_then(super::super::draft::read_metrics);
    refuse_strangers(section);
    Some(Draft {
        name,
        log_level: log_level.map_or(LogLevel::Info, |level| level.value),
        state_dir: state_dir.map_or_else(|| "/run/spillway-node".into(), |path| path.value),
        kubernetes,
        services,
        node_ports,
        node_port_range,
        service_prefixes_at: prefixes.as_ref().map_or(Span::whole(0), |prefixes| prefixes.at),
        service_prefixes: prefixes.map(|prefixes| prefixes.items).unwrap_or_default(),
        refuse_unowned,
        datapath,
        devices,
        maps,
        health: health_listen.map_or(Some(HEALTH), |listen| listen.value),
        metrics,
    })
}

/// Words of the box's configuration, which may have been copied, are explained.
fn refuse_strangers(section: Section<'_>) {
    section.finish_with(|key| {
        let is_of_the_box =
            ["port", "snat", "pool", "route", "dataplane", "timeouts"].contains(&key);
        is_of_the_box.then(|| format!("`{key}` is of the box's configuration; a node has none"))
    });
}

fn read_name(section: &mut Section<'_>, hostname: &str) -> Option<String> {
    if section.has("name") {
        return section.parse("name", NODE_NAME).map(|name| name.value);
    }
    // The kubelet's own rule: trimmed, in lower case.
    let name = (NODE_NAME.parse)(&hostname.trim().to_lowercase());
    if name.is_err() {
        let message = format!("the hostname, \"{hostname}\", is no name that a node has");
        let help = "say name = \"...\", as kubectl get nodes shows it";
        section.error(Span::whole(0), &message, Some(help));
    }
    name.ok()
}

fn read_node_ports(
    mut section: Section<'_>,
) -> (NodePortSettings, Option<Spanned<RangeInclusive<u16>>>) {
    let addresses = section.parse_list("addresses", form::NETWORK);
    if let Some(addresses) = addresses.as_ref().filter(|addresses| addresses.is_empty) {
        let help = "leave it out for the node's InternalIPs";
        section.error(addresses.at, "addresses is empty", Some(help));
    }
    let range = section.parse_or("range", form::PORTS, NodePolicy::default().node_port_range);
    let guard = section.boolean("guard").unwrap_or(true);
    section.finish();
    let addresses = addresses.map(|addresses| addresses.items).unwrap_or_default();
    let addresses = addresses.into_iter().map(|net| net.value).collect();
    (NodePortSettings { addresses, guard }, range)
}

fn read_datapath(mut section: Section<'_>) -> DatapathDraft {
    const ATTACH: [(&str, TcAttach); 3] =
        [("auto", TcAttach::Auto), ("tcx", TcAttach::Tcx), ("clsact", TcAttach::Clsact)];
    const DELIVERY: [(&str, Delivery); 3] =
        [("auto", Delivery::Auto), ("redirect", Delivery::Redirect), ("pass", Delivery::Pass)];
    let cgroup = section.parse("cgroup", form::PATH);
    let pins = section.parse("pins", form::PATH);
    let tc_attach = section.choice("tc_attach", &ATTACH);
    let delivery = section.choice("delivery", &DELIVERY);
    let snat_ports_are_given = section.has("snat_ports");
    let snat_ports = section.parse_or("snat_ports", form::PORTS, SNAT_PORTS);
    let reap_tcp = section.boolean("reap_tcp").unwrap_or(false);
    section.finish();
    let settings = DatapathSettings {
        cgroup: cgroup.map_or_else(|| "/sys/fs/cgroup".into(), |path| path.value),
        pins: pins.map_or_else(|| "/sys/fs/bpf/spillway".into(), |path| path.value),
        tc_attach: tc_attach.map(|said| said.value).unwrap_or_default(),
        delivery: delivery.map(|said| said.value).unwrap_or_default(),
        snat_ports: SNAT_PORTS,
        reap_tcp,
    };
    DatapathDraft { settings, snat_ports, snat_ports_are_given }
}

fn read_devices(mut section: Section<'_>) -> DeviceRules {
    let mut patterns = |key| {
        const FORM: Form<Pattern> = PATTERN;
        let list = section.parse_list(key, FORM).map(|list| list.items).unwrap_or_default();
        list.into_iter().map(|pattern| pattern.value).collect()
    };
    let rules = DeviceRules {
        netdevs: patterns("netdevs"),
        pods: patterns("pods"),
        exclude: patterns("exclude"),
    };
    section.finish();
    rules
}

impl Draft {
    /// The settings, without places. `None` if something could not be read, which is a mistake.
    pub(super) fn into_settings(self) -> Option<NodeSettings> {
        let (kubernetes, scheduler, external_ips) = match self.kubernetes {
            None => (None, None, Vec::new()),
            Some(draft) => {
                let (scheduler, external_ips) = (draft.scheduler, draft.external_ips.clone());
                (Some(draft.into_settings()?), scheduler, external_ips)
            }
        };
        let mut services: Vec<_> =
            self.services.into_iter().flat_map(ServiceDraft::into_services).map(Arc::new).collect();
        services.sort_by(|a, b| (&a.name, a.family).cmp(&(&b.name, b.family)));
        Some(NodeSettings {
            log_level: self.log_level,
            state_dir: self.state_dir,
            kubernetes,
            policy: NodePolicy {
                node: self.name?,
                scheduler: scheduler.unwrap_or_default(),
                node_port_range: self.node_port_range?.value,
                external_ips,
                services,
            },
            node_ports: self.node_ports,
            refuse_unowned: self.refuse_unowned && !self.service_prefixes.is_empty(),
            service_prefixes: self.service_prefixes.into_iter().map(|net| net.value).collect(),
            datapath: DatapathSettings {
                snat_ports: self.datapath.snat_ports?.value,
                ..self.datapath.settings
            },
            devices: self.devices,
            maps: self.maps,
            health: self.health,
            metrics: self.metrics,
            notes: Vec::new(),
        })
    }
}

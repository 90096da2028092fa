//! Reads `[kubernetes]`.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use spillway_cluster::{Access, BackendMode, Policy, Pool};
use spillway_lb::model::{Clockwork, Ejection, PortNetwork};

use super::form::{self, Form};
use super::health::{self, HOLD_MAX};
use super::report::{Report, Span, Spanned};
use super::section::{List, Section};
use super::service::SCHEDULERS;
use super::types::KubernetesSettings;

/// The section as read, with the places of what is checked against other sections.
#[derive(Debug)]
pub(super) struct KubernetesDraft {
    /// `None` after a mistake.
    pub(super) access: Option<Access>,
    /// Without the addresses, which only the whole configuration knows.
    pub(super) policy: Policy,
    pub(super) node_ports: NodePorts,
    pub(super) external_ips: Vec<Spanned<IpNet>>,
    pub(super) cache: Option<PathBuf>,
    pub(super) idle_timeout: Duration,
    pub(super) shrink_hold: Duration,
    pub(super) write_status: bool,
    pub(super) lease: (String, String),
    /// The box's name when `None`.
    pub(super) identity: Option<String>,
}

/// Where NodePorts are answered.
#[derive(Debug)]
pub(super) struct NodePorts {
    pub(super) are_served: bool,
    /// As given; `None`: on all addresses of the box's ports.
    pub(super) addresses: Option<Vec<Spanned<Ipv4Addr>>>,
    /// `None` after a mistake. Placed at the section when it is not given.
    pub(super) range: Option<Spanned<RangeInclusive<u16>>>,
    pub(super) range_is_given: bool,
}

const MODES: [(&str, BackendMode); 2] = [("node", BackendMode::Node), ("pod", BackendMode::Pod)];

pub(super) fn read(mut section: Section<'_>, report: &Report) -> KubernetesDraft {
    let defaults = Policy::default();
    let access = read_access(&mut section);
    let class = section.parse("class", form::CLASS);
    let classless = section.boolean("classless");
    let mode = section.choice("mode", &MODES);
    let scheduler = section.choice("scheduler", &SCHEDULERS);
    let node_ports = read_node_ports(&mut section, &defaults);
    let external_ips = section.parse_list("external_ips", form::NETWORK);
    let kube_proxy_port = section.integer::<u16>("kube_proxy_port", 0..=65_535);
    let check_node_ports = section.boolean("check_node_ports");
    let (checks, ejection) = read_health(&mut section, &defaults, report);
    let policy = Policy {
        class: class.map_or(defaults.class, |class| class.value),
        classless: classless.unwrap_or(defaults.classless),
        mode: mode.map_or(defaults.mode, |mode| mode.value),
        scheduler: scheduler.map_or(defaults.scheduler, |scheduler| scheduler.value),
        checks,
        kube_proxy_port: match kube_proxy_port {
            None => defaults.kube_proxy_port,
            Some(port) => (port.value > 0).then_some(port.value),
        },
        check_node_ports: check_node_ports.unwrap_or(defaults.check_node_ports),
        ejection,
        ..Policy::default()
    };
    let cache = section.parse("cache", form::OPTIONAL_PATH);
    let lease = section.parse("lease", form::LEASE);
    // Bookmarks come once a minute at best; what is silent for an hour is dead.
    let idle = Duration::from_millis(100)..=Duration::from_hours(1);
    let idle_timeout = health::read_duration(&mut section, "idle_timeout", idle);
    let shrink_hold = health::read_duration(&mut section, "shrink_hold", Duration::ZERO..=HOLD_MAX);
    let draft = KubernetesDraft {
        access,
        policy,
        node_ports,
        external_ips: external_ips.map(|ranges| ranges.items).unwrap_or_default(),
        cache: cache
            .map_or_else(|| Some("/var/lib/spillway/cluster.json".into()), |cache| cache.value),
        idle_timeout: idle_timeout.map_or(Duration::from_secs(30), |timeout| timeout.value),
        shrink_hold: shrink_hold.map_or(Duration::from_secs(30), |hold| hold.value),
        write_status: section.boolean("write_status").unwrap_or(true),
        lease: lease.map_or_else(|| ("kube-system".into(), "spillway".into()), |lease| lease.value),
        identity: section.parse("identity", form::NAME).map(|identity| identity.value),
    };
    section.finish();
    draft
}

pub(super) fn read_access(section: &mut Section<'_>) -> Option<Access> {
    const WHERE: &str = "name the file, such as kubeconfig = \"/etc/spillway/kubeconfig\", or say in_cluster = true";
    let in_cluster = section.boolean("in_cluster").unwrap_or(false);
    let path = section.parse("kubeconfig", form::PATH);
    let context = section.parse("context", form::CONTEXT);
    let endpoints: Option<List<String>> = section.parse_list("api_servers", form::API_SERVER);
    if let Some(endpoints) = &endpoints {
        check_twice(section, &endpoints.items);
    }
    if in_cluster {
        let kubeconfig = path.map(|path| path.at);
        let of_kubeconfig = [
            ("kubeconfig", kubeconfig),
            ("context", context.map(|context| context.at)),
            ("api_servers", endpoints.map(|endpoints| endpoints.at)),
        ];
        for (key, at) in of_kubeconfig {
            let Some(at) = at else { continue };
            let message = format!("{key} says nothing with in_cluster = true");
            let help = "a pod has the account and the address that Kubernetes gives it; take out one of the two";
            section.error(at, &message, Some(help));
        }
        return Some(Access::InCluster);
    }
    section.missing("kubeconfig", WHERE);
    let path = path?;
    check_exists(section, &path);
    Some(Access::Kubeconfig {
        path: path.value,
        context: context.map(|context| context.value),
        endpoints: endpoints
            .map(|endpoints| endpoints.items.into_iter().map(|endpoint| endpoint.value).collect())
            .unwrap_or_default(),
    })
}

fn check_twice(section: &Section<'_>, endpoints: &[Spanned<String>]) {
    for (index, endpoint) in endpoints.iter().enumerate() {
        if endpoints.iter().take(index).any(|other| other.value == endpoint.value) {
            let message = format!("api_servers: {} is listed twice", endpoint.value);
            section.error(endpoint.at, &message, Some("each is tried in turn; once is enough"));
        }
    }
}

/// Only that the file is there: what is in it may change at any time and is read by the watch.
fn check_exists(section: &Section<'_>, path: &Spanned<PathBuf>) {
    let why = match std::fs::metadata(&path.value) {
        Ok(found) if found.is_dir() => "it is a directory".to_owned(),
        Ok(_) => return,
        Err(error) => error.to_string(),
    };
    let message = format!("kubeconfig {} cannot be read: {why}", path.value.display());
    let help = "config/kubernetes/README.md says how to make one; a relative path starts where the daemon was started";
    section.error(path.at, &message, Some(help));
}

fn read_node_ports(section: &mut Section<'_>, defaults: &Policy) -> NodePorts {
    const ADDRESSES: Form<Ipv4Addr> = form::ADDRESS;
    let are_served = section.boolean("node_ports").unwrap_or(true);
    let addresses: Option<List<Ipv4Addr>> = section.parse_list("node_port_addresses", ADDRESSES);
    if let Some(addresses) = &addresses {
        check_node_port_addresses(section, addresses, are_served);
    }
    let range_is_given = section.has("node_port_range");
    let range = section.parse_or("node_port_range", form::PORTS, defaults.node_port_range.clone());
    NodePorts {
        are_served,
        addresses: addresses.map(|addresses| addresses.items),
        range,
        range_is_given,
    }
}

fn check_node_port_addresses(section: &Section<'_>, addresses: &List<Ipv4Addr>, are_served: bool) {
    if !are_served {
        let message = "node_port_addresses says nothing with node_ports = false";
        section.error(addresses.at, message, Some("take out one of the two"));
    } else if addresses.is_empty {
        let help = "leave it out for all addresses of the box's ports, or say node_ports = false";
        section.error(addresses.at, "node_port_addresses is empty", Some(help));
    }
}

fn read_health(
    section: &mut Section<'_>,
    defaults: &Policy,
    report: &Report,
) -> (Clockwork, Ejection) {
    let mut below = section
        .section("health", "kubernetes: health")
        .unwrap_or_else(|| Section::absent("kubernetes: health", Span::whole(0), report));
    let checks = health::read_cluster_checks(&mut below, defaults.checks);
    let ejection = health::read_ejection(&mut below, defaults.ejection);
    below.finish();
    (checks, ejection)
}

impl KubernetesDraft {
    /// The settings, without places. `None` if something could not be read, which is a mistake.
    pub(super) fn into_settings(
        self,
        name: &str,
        ports: &[PortNetwork],
        own: Vec<IpNet>,
        pools: Vec<Pool>,
    ) -> Option<KubernetesSettings> {
        let node_ports = self.node_ports;
        let node_port_addresses = match node_ports.addresses {
            _ if !node_ports.are_served => Vec::new(),
            Some(given) => given.into_iter().map(|address| IpAddr::V4(address.value)).collect(),
            None => {
                let all = ports.iter().flat_map(|port| &port.addresses);
                all.map(|own| IpAddr::V4(own.addr())).collect()
            }
        };
        let policy = Policy {
            node_port_addresses,
            node_port_range: node_ports.range?.value,
            external_ips: self.external_ips.into_iter().map(|range| range.value).collect(),
            own,
            ..self.policy
        };
        let (lease_namespace, lease_name) = self.lease;
        Some(KubernetesSettings {
            access: self.access?,
            policy,
            pools,
            cache: self.cache,
            idle_timeout: self.idle_timeout,
            shrink_hold: self.shrink_hold,
            write_status: self.write_status,
            lease_namespace,
            lease_name,
            identity: self.identity.unwrap_or_else(|| name.to_owned()),
        })
    }
}

//! Reads one `[[service]]`.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use spillway_lb::model::{Affinity, Backend, Frontend, Protocol, Refusal, Scheduler, ServiceKind};

use super::form;
use super::health::{self, HealthDefaults, HealthDraft};
use super::merge::{Kind, Node};
use super::report::{Report, Spanned};
use super::section::{List, Section};

/// A service as read; its addresses have yet to be checked against everything else.
#[derive(Debug)]
pub(super) struct ServiceDraft {
    pub(super) name: Spanned<String>,
    pub(super) kind: ServiceKind,
    pub(super) frontends: Vec<Spanned<Frontend>>,
    pub(super) backends: Vec<Spanned<Backend>>,
    pub(super) scheduler: Scheduler,
    pub(super) no_backend: Refusal,
    pub(super) affinity: Affinity,
    pub(super) source_ranges: Vec<IpNet>,
    pub(super) health: HealthDraft,
}

pub(super) const SCHEDULERS: [(&str, Scheduler); 2] =
    [("random", Scheduler::Random), ("maglev", Scheduler::Maglev)];

/// What Kubernetes takes when it is not told.
const AFFINITY_TIMEOUT: Duration = Duration::from_hours(3);

const AFFINITIES: [(&str, Affinity); 2] =
    [("none", Affinity::None), ("client-ip", Affinity::ClientIp { timeout: AFFINITY_TIMEOUT })];

pub(super) const KINDS: [(&str, ServiceKind); 4] = [
    ("ClusterIP", ServiceKind::ClusterIp),
    ("NodePort", ServiceKind::NodePort),
    ("LoadBalancer", ServiceKind::LoadBalancer),
    ("ExternalIP", ServiceKind::ExternalIp),
];

pub(super) fn read(
    key: &str,
    node: &Node,
    defaults: &HealthDefaults,
    report: &Report,
) -> Option<ServiceDraft> {
    let what = format!("service \"{key}\"");
    let mut section = Section::open(node, what.clone(), report)?;
    let name = section.parse("name", form::NAME);
    if let Some(name) = &name {
        section.at = name.at;
    }
    section.missing("name", "give the service a name of your own, such as name = \"web\"");
    let kind = section.choice("type", &KINDS);
    let frontends = read_frontends(&mut section);
    let scheduler = section.choice("scheduler", &SCHEDULERS);
    let affinity = read_affinity(&mut section);
    let source_ranges = read_source_ranges(&mut section);
    let no_backend =
        section.choice("no_backend", &[("reject", Refusal::Reject), ("drop", Refusal::Drop)]);
    let backends = section.list("backends", read_backend);
    section.missing("backends", "list where it goes, such as backends = [\"10.0.1.72:80\"]");

    let health_section = section.section("health", &format!("{what}: health"));
    let has_tcp = frontends.iter().any(|frontend| frontend.value.protocol == Protocol::Tcp);
    let draft = ServiceDraft {
        name: name.unwrap_or_else(|| Spanned::new(key.to_owned(), section.at)),
        kind: kind.map_or(ServiceKind::LoadBalancer, |kind| kind.value),
        frontends,
        backends: backends.map(|backends| backends.items).unwrap_or_default(),
        scheduler: scheduler.map(|scheduler| scheduler.value).unwrap_or_default(),
        no_backend: no_backend.map(|refusal| refusal.value).unwrap_or_default(),
        affinity,
        source_ranges,
        health: health::read_check(health_section, defaults, has_tcp, report),
    };
    section.finish();
    Some(draft)
}

fn read_frontends(section: &mut Section<'_>) -> Vec<Spanned<Frontend>> {
    const HELP: &str = "say what it answers on, such as frontends = [\"172.26.50.101:80/tcp\"]";
    let frontends: Option<List<Frontend>> = section.parse_list("frontends", form::FRONTEND);
    section.missing("frontends", HELP);
    let Some(frontends) = frontends else { return Vec::new() };
    if frontends.is_empty {
        section.error(frontends.at, "frontends is empty", Some(HELP));
    }
    frontends.items
}

/// `"client-ip"` or `{ client_ip = "3h" }`.
pub(super) fn read_affinity(section: &mut Section<'_>) -> Affinity {
    // As Kubernetes: at most a day.
    const TIMEOUT_MAX: Duration = Duration::from_hours(24);
    let is_table = section.take("affinity").is_some_and(|node| matches!(node.kind, Kind::Table(_)));
    if !is_table {
        return section.choice("affinity", &AFFINITIES).map(|said| said.value).unwrap_or_default();
    }
    let what = format!("{}: affinity", section.what());
    let Some(mut table) = section.section("affinity", &what) else { return Affinity::None };
    let timeout =
        health::read_duration(&mut table, "client_ip", Duration::from_secs(1)..=TIMEOUT_MAX);
    table.missing("client_ip", "say for how long, such as affinity = { client_ip = \"3h\" }");
    table.finish();
    timeout.map_or(Affinity::None, |timeout| Affinity::ClientIp { timeout: timeout.value })
}

pub(super) fn read_source_ranges(section: &mut Section<'_>) -> Vec<IpNet> {
    let ranges: Option<List<IpNet>> = section.parse_list("source_ranges", form::NETWORK);
    let Some(ranges) = ranges else { return Vec::new() };
    if ranges.is_empty {
        let help = "leave it out to let everybody in";
        section.error(ranges.at, "source_ranges is empty", Some(help));
    }
    ranges.items.into_iter().map(|range| range.value).collect()
}

/// `"10.0.1.72:80"` or `{ address = "10.0.1.72:80", weight = 1 }`.
fn read_backend(section: &Section<'_>, node: &Node) -> Option<Spanned<Backend>> {
    const WEIGHT_DEFAULT: u16 = 1;
    let Kind::Table(_) = &node.kind else {
        let socket = section.parse_node("backends", node, form::SOCKET)?;
        let (address, port) = socket.value;
        let backend = Backend { address: IpAddr::V4(address), port, weight: WEIGHT_DEFAULT };
        return Some(Spanned::new(backend, socket.at));
    };
    let mut table = section.below("backends", node)?;
    let socket = table.parse("address", form::SOCKET);
    table.missing("address", "write { address = \"10.0.1.72:80\", weight = 1 }");
    let weight = table.integer("weight", 0..=1000).map_or(WEIGHT_DEFAULT, |weight| weight.value);
    table.finish();
    let socket = socket?;
    let (address, port) = socket.value;
    Some(Spanned::new(Backend { address: IpAddr::V4(address), port, weight }, socket.at))
}

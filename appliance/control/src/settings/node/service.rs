//! Reads one `[[service]]` of a node.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use spillway_cluster::addresses::Family;
use spillway_cluster::node::{NodeBackend, NodeFrontend, NodeService, Place, Pool};
use spillway_lb::model::{Affinity, Protocol, Scheduler, ServiceKind};

use super::super::form;
use super::super::merge::{Kind, Node};
use super::super::report::{Report, Spanned};
use super::super::section::{List, Section};
use super::super::service::{KINDS, SCHEDULERS, read_affinity, read_source_ranges};
use super::form::{FRONTEND, NodePlace, SOCKET};

/// Which backends a policy allows.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
enum TrafficPolicy {
    #[default]
    Cluster,
    Local,
}

/// As Kubernetes calls them.
const POLICIES: [(&str, TrafficPolicy); 2] =
    [("Cluster", TrafficPolicy::Cluster), ("Local", TrafficPolicy::Local)];

/// A service as read.
#[derive(Debug)]
pub(super) struct ServiceDraft {
    pub(super) name: Spanned<String>,
    pub(super) kind: ServiceKind,
    pub(super) frontends: Vec<Spanned<NodePlace>>,
    pub(super) backends: Vec<Spanned<NodeBackend>>,
    scheduler: Scheduler,
    affinity: Affinity,
    source_ranges: Vec<IpNet>,
    internal: TrafficPolicy,
    external: TrafficPolicy,
}

pub(super) fn read(key: &str, node: &Node, report: &Report) -> Option<ServiceDraft> {
    const WHERE: &str = "say what it answers on, such as frontends = [\"10.96.0.10:53/udp\"], or [\"*:30080\"] for a NodePort";
    let mut section = Section::open(node, format!("service \"{key}\""), report)?;
    let name = section.parse("name", form::NAME);
    if let Some(name) = &name {
        section.at = name.at;
    }
    section.missing("name", "give the service a name of your own, such as name = \"web\"");
    let kind = section.choice("type", &KINDS);
    let frontends: Option<List<NodePlace>> = section.parse_list("frontends", FRONTEND);
    section.missing("frontends", WHERE);
    if let Some(frontends) = frontends.as_ref().filter(|frontends| frontends.is_empty) {
        section.error(frontends.at, "frontends is empty", Some(WHERE));
    }
    let scheduler = section.choice("scheduler", &SCHEDULERS);
    let affinity = read_affinity(&mut section);
    let source_ranges = read_source_ranges(&mut section);
    let internal = section.choice("internal_policy", &POLICIES);
    let external = section.choice("external_policy", &POLICIES);
    let backends = section.list("backends", read_backend);
    section.missing("backends", "list where it goes, such as backends = [\"10.244.1.7:80\"]");
    let draft = ServiceDraft {
        name: name.unwrap_or_else(|| Spanned::new(key.to_owned(), section.at)),
        kind: kind.map_or(ServiceKind::ClusterIp, |kind| kind.value),
        frontends: frontends.map(|frontends| frontends.items).unwrap_or_default(),
        backends: backends.map(|backends| backends.items).unwrap_or_default(),
        scheduler: scheduler.map(|scheduler| scheduler.value).unwrap_or_default(),
        affinity,
        source_ranges,
        internal: internal.map(|policy| policy.value).unwrap_or_default(),
        external: external.map(|policy| policy.value).unwrap_or_default(),
    };
    section.finish();
    Some(draft)
}

/// `"10.244.1.7:80"` or `{ address = "10.244.1.7:80", weight = 1, local = true }`.
fn read_backend(section: &Section<'_>, node: &Node) -> Option<Spanned<NodeBackend>> {
    let backend = |socket: SocketAddr, weight, is_local| NodeBackend {
        address: socket.ip(),
        port: socket.port(),
        weight,
        is_local,
        is_terminating: false,
    };
    let Kind::Table(_) = &node.kind else {
        let socket = section.parse_node("backends", node, SOCKET)?;
        return Some(Spanned::new(backend(socket.value, 1, false), socket.at));
    };
    let mut table = section.below("backends", node)?;
    let socket = table.parse("address", SOCKET);
    table.missing("address", "write { address = \"10.244.1.7:80\", weight = 1, local = true }");
    let weight = table.integer("weight", 0..=1000).map_or(1, |weight| weight.value);
    let is_local = table.boolean("local").unwrap_or(false);
    table.finish();
    let socket = socket?;
    Some(Spanned::new(backend(socket.value, weight, is_local), socket.at))
}

impl ServiceDraft {
    pub(super) fn protocol(&self) -> Option<Protocol> {
        self.frontends.first().map(|frontend| frontend.value.protocol)
    }

    /// One per family that it has frontends of. `*` is of the families that its backends are of.
    pub(super) fn into_services(self) -> Vec<NodeService> {
        [Family::V4, Family::V6].into_iter().filter_map(|family| self.of_family(family)).collect()
    }

    fn of_family(&self, family: Family) -> Option<NodeService> {
        let is_ours = |address: IpAddr| Family::of(address) == family;
        let mut backends: Vec<NodeBackend> = self.backends.iter().map(|it| it.value).collect();
        backends.retain(|backend| is_ours(backend.address));
        backends.sort();
        let is_local = |policy| policy == TrafficPolicy::Local;
        let external = (self.kind != ServiceKind::ClusterIp).then_some(self.external);
        let frontends =
            self.frontends.iter().map(|frontend| frontend.value).filter(|it| match it.place {
                Place::Address(address) => is_ours(address),
                Place::Node => !backends.is_empty(),
            });
        let mut frontends: Vec<NodeFrontend> = frontends
            .map(|frontend| NodeFrontend {
                kind: self.kind,
                place: frontend.place,
                port: frontend.port,
                internal: u8::from(is_local(self.internal)),
                external: external.map(|policy| u8::from(is_local(policy))),
                is_guarded: !self.source_ranges.is_empty(),
            })
            .collect();
        if frontends.is_empty() {
            return None;
        }
        frontends.sort_by_key(|frontend| (frontend.place, frontend.port));
        let mut pools = vec![pool(&backends, false)];
        if is_local(self.internal) || external.is_some_and(is_local) {
            pools.push(pool(&backends, true));
        }
        Some(NodeService {
            name: self.name.value.clone(),
            family,
            protocol: self.protocol()?,
            scheduler: self.scheduler,
            affinity: self.affinity,
            source_ranges: self.source_ranges.clone(),
            backends,
            pools,
            frontends,
        })
    }
}

fn pool(backends: &[NodeBackend], is_local: bool) -> Pool {
    let members = (0_u16..).zip(backends);
    let members =
        members.filter(|(_, backend)| backend.weight > 0 && (backend.is_local || !is_local));
    let members: Arc<[u16]> = members.map(|(at, _)| at).collect();
    Pool { members, is_terminating: false, is_local }
}

//! From a checked Service, its frontends, endpoints and nodes to what the data plane takes.

use std::collections::BTreeMap;
use std::sync::Arc;

use spillway_lb::maglev::BACKENDS_MAX;
use spillway_lb::model::{Backend, CheckKind, HealthCheck, Protocol, Service, ServiceKind};

use super::endpoints::{Join, Tally};
use super::fronts::Front;
use super::ports::Port;
use super::refused::{RefusalReason as Why, Refused};
use super::spec::Spec;
use crate::addresses::Family;
use crate::annotations::CheckWish;
use crate::policy::{BackendMode, Policy};

/// kube-proxy says 503 while its rules are old and on a node that is to go (KEP-3836).
const KUBE_PROXY_PATH: &str = "/healthz";

/// What an operator's own HTTP check may answer.
const HTTP_GOOD: std::ops::RangeInclusive<u16> = 200..=399;

/// What a Service became.
#[derive(Clone, Debug, Default)]
pub(crate) struct Built {
    pub services: Vec<Arc<Service>>,
    pub refused: Vec<Refused>,
}

/// Translates one Service. `before` is what it was translated to the last time: what is still the same is the same
/// allocation, so that a reader can tell by the pointer.
pub(crate) fn build(
    spec: &Spec,
    fronts: &[Front],
    join: Join<'_>,
    policy: &Policy,
    before: &[Arc<Service>],
) -> Built {
    let mut built = Built::default();
    let mut tally = Tally::default();
    // All kinds of frontends of a port and family have the same backends.
    let mut backends: BTreeMap<(usize, Family), Vec<Backend>> = BTreeMap::new();
    for front in fronts {
        let Some(port) = spec.ports.get(front.port) else { continue };
        let backends = backends.entry((front.port, front.family)).or_insert_with(|| {
            let mut backends = backends_of(spec, port, front.family, join, &mut tally);
            if backends.len() > BACKENDS_MAX {
                let message = format!(
                    "Service {}: port {} has {} backends; the box serves the first {BACKENDS_MAX}",
                    spec.key,
                    port.label,
                    backends.len()
                );
                built.refused.push(row(
                    spec,
                    Some(port.label.clone()),
                    Why::TooManyBackends,
                    message,
                ));
                backends.truncate(BACKENDS_MAX);
            }
            backends
        });
        let service = Service {
            name: name_of(spec, port, front.family),
            kind: front.kind,
            frontends: front.frontends.clone(),
            backends: backends.clone(),
            scheduler: spec.terms.scheduler,
            affinity: spec.terms.affinity,
            source_ranges: match front.kind {
                ServiceKind::LoadBalancer | ServiceKind::ExternalIp => {
                    spec.terms.source_ranges.clone()
                }
                // As with kube-proxy: the ranges guard the load balancer's addresses.
                ServiceKind::NodePort | ServiceKind::ClusterIp => Vec::new(),
            },
            checks: checks_of(spec, port, policy),
            ejection: spec.terms.ejection,
            ..Service::new("", front.kind)
        };
        let same = before.iter().find(|old| ***old == service);
        built.services.push(same.map_or_else(|| Arc::new(service), Arc::clone));
    }
    if !fronts.is_empty() {
        join.note_names(&mut tally);
    }
    let rows = tally
        .rows()
        .map(|(reason, text)| row(spec, None, reason, format!("Service {}: {text}", spec.key)));
    built.refused.extend(rows);
    built
}

fn row(spec: &Spec, port: Option<String>, reason: Why, message: String) -> Refused {
    Refused { service: spec.key.clone(), port, kind: None, reason, message }
}

/// `namespace/name:port`. IPv6 is a Service of its own, for a backend must be of its frontend's family.
fn name_of(spec: &Spec, port: &Port, family: Family) -> String {
    match family {
        Family::V4 => format!("{}:{}", spec.key, port.label),
        Family::V6 => format!("{}:{}/ipv6", spec.key, port.label),
    }
}

fn backends_of(
    spec: &Spec,
    port: &Port,
    family: Family,
    join: Join<'_>,
    tally: &mut Tally,
) -> Vec<Backend> {
    let mut backends: Vec<Backend> = match (spec.terms.mode, port.node_port) {
        (BackendMode::Pod, _) => {
            let pods = join.pods(port, family, tally).into_iter();
            pods.map(|pod| Backend { address: pod.ip(), port: pod.port(), weight: 1 }).collect()
        }
        (BackendMode::Node, Some(node_port)) => nodes(spec, port, family, join, node_port),
        (BackendMode::Node, None) => Vec::new(),
    };
    backends.sort();
    backends
}

/// Policy Cluster: every node, alike. Policy Local: every node that has endpoints, by their number. Whether a node has
/// endpoints says its own `healthCheckNodePort`; until it has spoken, and where there is none (type NodePort), the
/// EndpointSlices say it.
fn nodes(spec: &Spec, port: &Port, family: Family, join: Join<'_>, node_port: u16) -> Vec<Backend> {
    let eligible = join.nodes.eligible(family);
    let backend = |address, weight| Backend { address, port: node_port, weight };
    if !spec.terms.is_local {
        return eligible.map(|(_, address)| backend(address, 1)).collect();
    }
    let has_own_check =
        spec.terms.health_check_node_port.is_some() && spec.terms.check != Some(CheckWish::None);
    let local = join.local(port, family, !has_own_check);
    let weighed =
        eligible.map(|(name, address)| backend(address, local.get(name).copied().unwrap_or(0)));
    weighed.filter(|backend| has_own_check || backend.weight > 0).collect()
}

fn checks_of(spec: &Spec, port: &Port, policy: &Policy) -> Vec<HealthCheck> {
    let terms = &spec.terms;
    if terms.check == Some(CheckWish::None) {
        return Vec::new();
    }
    let mut checks = Vec::new();
    if terms.mode == BackendMode::Node {
        if let Some(health) = terms.health_check_node_port {
            checks.push(check(policy, CheckKind::NodeEndpoints, Some(health)));
        } else if let Some(kube_proxy) = policy.kube_proxy_port {
            let kind =
                CheckKind::Http { path: KUBE_PROXY_PATH.to_owned(), host: None, expect: 200..=200 };
            checks.push(check(policy, kind, Some(kube_proxy)));
        }
    }
    let is_tcp = port.protocol == Protocol::Tcp;
    match &terms.check {
        // A UDP port answers no handshake, and nothing else is known to be there.
        None if is_tcp && (terms.mode == BackendMode::Pod || policy.check_node_ports) => {
            checks.push(check(policy, CheckKind::Tcp, None));
        }
        Some(CheckWish::Tcp) if is_tcp => checks.push(check(policy, CheckKind::Tcp, None)),
        Some(CheckWish::Http { port, path }) if is_tcp || port.is_some() => {
            let kind = CheckKind::Http { path: path.clone(), host: None, expect: HTTP_GOOD };
            checks.push(check(policy, kind, *port));
        }
        None | Some(CheckWish::None | CheckWish::Tcp | CheckWish::Http { .. }) => {}
    }
    checks
}

fn check(policy: &Policy, kind: CheckKind, port: Option<u16>) -> HealthCheck {
    HealthCheck { kind, port, clockwork: policy.checks }
}

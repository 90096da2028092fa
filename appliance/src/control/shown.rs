//! The cluster as the admin socket shows it.

use spillway_admin::{FrontendKind, ObjectKind, PoolRow, RefusedRow};
use spillway_cluster::{Access, Kind, Pool, Span, View};
use spillway_control::settings::KubernetesSettings;

use crate::admin::services::kind as frontend_kind;
use crate::desk::cluster::{Node, Rows};

pub(super) const fn kind(kind: Kind) -> ObjectKind {
    match kind {
        Kind::Service => ObjectKind::Service,
        Kind::EndpointSlice => ObjectKind::EndpointSlice,
        Kind::Node => ObjectKind::Node,
    }
}

pub(super) const fn kind_of(kind: ObjectKind) -> Kind {
    match kind {
        ObjectKind::Service => Kind::Service,
        ObjectKind::EndpointSlice => Kind::EndpointSlice,
        ObjectKind::Node => Kind::Node,
    }
}

/// Where the API server should be, while none has answered.
pub(super) fn endpoint(settings: &KubernetesSettings) -> String {
    match &settings.access {
        Access::InCluster => "in-cluster".to_owned(),
        Access::Kubeconfig { endpoints, path, .. } => {
            endpoints.first().cloned().unwrap_or_else(|| format!("as {} says", path.display()))
        }
    }
}

pub(super) fn rows(configured: &[Pool], view: &View) -> Rows {
    Rows { refused: refused(view), nodes: nodes(view), pools: pools(configured, view) }
}

fn refused(view: &View) -> Vec<RefusedRow> {
    let rows = view.refused.iter().map(|refused| RefusedRow {
        service: refused.service.to_string(),
        port: refused.port.clone(),
        kind: refused.kind.map(|kind| -> FrontendKind { frontend_kind(kind) }),
        reason: refused.reason.name().to_owned(),
        message: refused.message.clone(),
    });
    rows.collect()
}

fn nodes(view: &View) -> Vec<Node> {
    let rows = view.nodes.iter().map(|node| Node {
        name: node.name.clone(),
        addresses: [node.ipv4, node.ipv6].into_iter().flatten().collect(),
        eligible: node.eligible,
        notes: node.notes.clone(),
        pod_cidrs: node.pod_cidrs.clone(),
        ready: Some(node.ready),
    });
    rows.collect()
}

fn pools(pools: &[Pool], view: &View) -> Vec<PoolRow> {
    let rows = pools.iter().zip(&view.pools).map(|(pool, usage)| PoolRow {
        name: pool.name.clone(),
        addresses: pool.spans.iter().map(span).collect(),
        size: u64::try_from(usage.size).unwrap_or(u64::MAX),
        used: usage.used,
        auto_assign: pool.auto_assign,
        priority: pool.priority,
        namespaces: pool.namespaces.clone(),
        labels: pool
            .labels
            .iter()
            .map(|rule| match &rule.value {
                Some(value) => format!("{}={value}", rule.key),
                None => rule.key.clone(),
            })
            .collect(),
    });
    rows.collect()
}

fn span(span: &Span) -> String {
    match span {
        Span::Prefix(net) => net.to_string(),
        Span::Range { first, last } => format!("{first}-{last}"),
    }
}

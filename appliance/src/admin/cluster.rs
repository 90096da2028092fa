//! `service list --refused`, `node list`, `pool list`, `kubernetes accept-shrink`.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use spillway_admin::{HealthState, NodeRow, PoolRow, RefusedRow, ServiceFilter};
use spillway_control::health::{self, State};
use spillway_lb::snapshot::Snapshot;

use crate::desk::Desk;
use crate::desk::cluster::{ClusterView, Node};

/// What a static box says of clusters.
pub(super) const STATIC: &str =
    "static mode: the Services come from the configuration, and there is no cluster";

/// Empty in static mode: the configuration is served in whole, or refused in whole.
pub(super) fn refused(desk: &Desk, filter: &ServiceFilter) -> Vec<RefusedRow> {
    let Some(cluster) = &desk.cluster else { return Vec::new() };
    let view = cluster.view();
    view.rows.refused.iter().filter(|row| filter.matches(&row.service)).cloned().collect()
}

pub(super) fn pools(view: &ClusterView) -> Vec<PoolRow> {
    view.rows.pools.clone()
}

/// The nodes, with what the health checks and the served Services say of them.
pub(super) fn nodes(
    view: &ClusterView,
    snapshot: &Snapshot,
    checks: &[health::Row],
) -> Vec<NodeRow> {
    let services = services_of_nodes(view, snapshot);
    let asked: HashMap<SocketAddr, &health::Row> =
        checks.iter().map(|row| (SocketAddr::V4(row.check.address), row)).collect();
    let check = |node: &Node| {
        let port = view.kube_proxy_port?;
        node.addresses
            .iter()
            .find_map(|address| asked.get(&SocketAddr::new(*address, port)).copied())
    };
    let rows = view.rows.nodes.iter().zip(services).map(|(node, services)| {
        let state = check(node).map(|row| row.state);
        NodeRow {
            name: node.name.clone(),
            addresses: node.addresses.clone(),
            eligible: node.eligible,
            reason: (!node.notes.is_empty()).then(|| node.notes.join("; ")),
            pod_cidrs: node.pod_cidrs.iter().map(ToString::to_string).collect(),
            ready: node.ready,
            kube_proxy: state.map(|state| match state {
                State::Unknown => HealthState::Unknown,
                State::Up => HealthState::Up,
                State::Down(_) => HealthState::Down,
            }),
            kube_proxy_error: state.and_then(|state| match state {
                State::Down(error) => Some(error.to_string()),
                State::Up | State::Unknown => None,
            }),
            services,
        }
    });
    rows.collect()
}

/// How many Services have a backend on each node: at the node's address, or in a prefix of its pods.
fn services_of_nodes(view: &ClusterView, snapshot: &Snapshot) -> Vec<u32> {
    let mut addresses: HashMap<IpAddr, usize> = HashMap::new();
    let mut prefixes: HashMap<IpNet, usize> = HashMap::new();
    for (at, node) in view.rows.nodes.iter().enumerate() {
        addresses.extend(node.addresses.iter().map(|address| (*address, at)));
        prefixes.extend(node.pod_cidrs.iter().map(|prefix| (prefix.trunc(), at)));
    }
    // A cluster has one or two lengths, so that a pod's node is one or two look-ups away.
    let mut lengths: Vec<u8> = prefixes.keys().map(IpNet::prefix_len).collect();
    lengths.sort_unstable_by(|a, b| b.cmp(a));
    lengths.dedup();
    let node_of = |address: IpAddr| {
        addresses.get(&address).copied().or_else(|| {
            let prefix = |length: &u8| IpNet::new(address, *length).ok().map(|net| net.trunc());
            lengths.iter().filter_map(prefix).find_map(|prefix| prefixes.get(&prefix).copied())
        })
    };
    let mut counts = vec![0; view.rows.nodes.len()];
    for service in &snapshot.services {
        let mut nodes: Vec<usize> = service
            .backends
            .iter()
            .filter_map(|backend| node_of(backend.backend.address))
            .collect();
        nodes.sort_unstable();
        nodes.dedup();
        for node in nodes {
            if let Some(count) = counts.get_mut(node) {
                *count += 1;
            }
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk::cluster::Rows;
    use spillway_lb::model::{Backend, Model, Service, ServiceKind};
    use spillway_lb::snapshot::Identities;
    use std::sync::Arc;

    fn node(name: &str, address: &str, pods: &[&str]) -> Node {
        Node {
            name: name.to_owned(),
            addresses: vec![address.parse().unwrap()],
            eligible: true,
            notes: Vec::new(),
            pod_cidrs: pods.iter().map(|prefix| prefix.parse().unwrap()).collect(),
            ready: Some(true),
        }
    }

    fn view(nodes: Vec<Node>) -> ClusterView {
        ClusterView { rows: Arc::new(Rows { nodes, ..Rows::default() }), ..ClusterView::default() }
    }

    fn service(name: &str, backends: &[&str]) -> Arc<Service> {
        let mut service = Service::new(name, ServiceKind::LoadBalancer);
        service.backends = backends
            .iter()
            .map(|address| Backend { address: address.parse().unwrap(), port: 80, weight: 1 })
            .collect();
        Arc::new(service)
    }

    #[test]
    fn a_node_counts_a_service_once_by_its_own_address_or_by_its_pods() {
        let view = view(vec![
            node("a", "10.0.1.1", &["10.244.1.0/24", "fd00:1::/64"]),
            node("b", "10.0.1.2", &["10.244.2.0/24"]),
            node("c", "10.0.1.3", &[]),
        ]);
        let services = vec![
            service("default/nodes", &["10.0.1.1", "10.0.1.2"]),
            service("default/pods", &["10.244.1.7", "10.244.1.8", "10.0.1.1", "10.244.3.1"]),
            service("default/six", &["fd00:1::7"]),
        ];
        let model = Model { services, routes: Vec::new() };
        let snapshot = Identities::default().snapshot(&model, |_| Vec::new());
        let rows = nodes(&view, &snapshot, &[]);
        let counts: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.services)).collect();
        assert_eq!(counts, [("a", 3), ("b", 1), ("c", 0)]);
    }

    #[test]
    fn an_excluded_node_is_not_eligible_and_says_why() {
        let notes = vec!["no InternalIP".to_owned(), "pod prefix is ours".to_owned()];
        let excluded = Node { eligible: false, notes, ..node("a", "10.0.1.1", &[]) };
        let view = view(vec![excluded]);
        let snapshot = Identities::default().snapshot(&Model::default(), |_| Vec::new());
        let rows = nodes(&view, &snapshot, &[]);
        assert_eq!(
            (rows[0].eligible, rows[0].reason.as_deref()),
            (false, Some("no InternalIP; pod prefix is ours"))
        );
        assert_eq!(rows[0].kube_proxy, None);
    }
}

//! What holds of every view, whatever the objects say.

use std::net::IpAddr;

use ipnet::IpNet;
use spillway_cluster::{NodeRow, Policy, View};
use spillway_lb::model::ServiceKind;

/// Nothing is answered on an address that the operator did not give, and nothing is sent to anything but a node's
/// nodePort or a pod.
pub(crate) fn assert_laws(view: &View, policy: &Policy, pools: &[IpNet]) {
    let mut fronts = std::collections::HashSet::new();
    for service in &view.model.services {
        assert!(!service.frontends.is_empty(), "{} is answered nowhere", service.name);
        for front in &service.frontends {
            let address = front.address;
            let is_allowed = match service.kind {
                ServiceKind::LoadBalancer => pools.iter().any(|net| net.contains(&address)),
                ServiceKind::NodePort => {
                    policy.node_port_addresses.contains(&address)
                        && policy.node_port_range.contains(&front.port)
                }
                ServiceKind::ExternalIp => {
                    policy.external_ips.iter().any(|net| net.contains(&address))
                }
                ServiceKind::ClusterIp => false,
            };
            assert!(is_allowed, "{} {} is answered on {address}", service.name, service.kind);
            assert!(policy.ipv6 || address.is_ipv4(), "{} is answered on {address}", service.name);
            assert!(fronts.insert(*front), "{front:?} has two owners");
        }
        for backend in &service.backends {
            let is_node = view.nodes.iter().any(|row| is_node(row, backend.address));
            let is_pod = view
                .nodes
                .iter()
                .any(|row| row.pod_cidrs.iter().any(|net| net.contains(&backend.address)));
            assert!(is_node || is_pod, "{} goes to {}", service.name, backend.address);
            assert!(
                !pools.iter().any(|net| net.contains(&backend.address)),
                "{} loops",
                service.name
            );
            assert_eq!(
                backend.address.is_ipv4(),
                service.frontends[0].address.is_ipv4(),
                "{}",
                service.name
            );
            assert_ne!(backend.port, 0, "{}", service.name);
        }
    }
    for row in &view.refused {
        assert!(
            row.message.len() < 1000 && !row.message.chars().any(char::is_control),
            "{:?}",
            row.message
        );
        let name: String = row.service.name.chars().take(60).collect();
        assert!(row.message.contains(&name), "{:?} names nobody", row.message);
    }
    let mut names: Vec<_> =
        view.model.services.iter().map(|it| (&it.name, it.kind as u8)).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), view.model.services.len(), "a name is there twice");
}

fn is_node(row: &NodeRow, address: IpAddr) -> bool {
    row.ipv4 == Some(address) || row.ipv6 == Some(address)
}

//! What the operator decides about the Services of one node.

use std::ops::RangeInclusive;
use std::sync::Arc;

use ipnet::IpNet;
use spillway_lb::model::Scheduler;

use super::model::NodeService;

/// The operator's rules for a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePolicy {
    /// Name of this node's object: what endpoints say in `nodeName`.
    pub node: String,
    /// For Services that name none in `spillway.io/scheduler`.
    pub scheduler: Scheduler,
    /// The API server's `--service-node-port-range`.
    pub node_port_range: RangeInclusive<u16>,
    /// Ranges within which `spec.externalIPs` are served; empty: none is (CVE-2020-8554).
    pub external_ips: Vec<IpNet>,
    /// Served beside those of the cluster, and before them where both want the same place.
    pub services: Vec<Arc<NodeService>>,
}

impl Default for NodePolicy {
    fn default() -> Self {
        Self {
            node: String::new(),
            scheduler: Scheduler::default(),
            node_port_range: 30_000..=32_767,
            external_ips: Vec::new(),
            services: Vec::new(),
        }
    }
}

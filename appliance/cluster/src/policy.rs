//! What the operator decides about all Services of a cluster.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;
use spillway_lb::model::{Clockwork, Ejection, Scheduler};

/// Where a flow goes: to a node's port, or to a pod.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum BackendMode {
    /// `node address : nodePort`; works with every network plugin.
    #[default]
    Node,
    /// `pod address : target port`; the next hop is the node whose podCIDR holds the pod.
    Pod,
}

/// The operator's rules for a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `spec.loadBalancerClass` that is ours.
    pub class: String,
    /// Whether Services of type LoadBalancer without a class are ours too.
    pub classless: bool,
    /// The box's own addresses on which NodePorts are answered; empty: none.
    pub node_port_addresses: Vec<IpAddr>,
    /// The API server's `--service-node-port-range`.
    pub node_port_range: RangeInclusive<u16>,
    /// Ranges within which `spec.externalIPs` are served; empty: none is (CVE-2020-8554).
    pub external_ips: Vec<IpNet>,
    pub mode: BackendMode,
    pub scheduler: Scheduler,
    /// Of the checks that the box makes up for a Service.
    pub checks: Clockwork,
    /// Port of kube-proxy's `/healthz` on every node; `None`: nodes are not asked.
    pub kube_proxy_port: Option<u16>,
    /// Whether a TCP connection to every nodePort is part of a node's check.
    pub check_node_ports: bool,
    pub ejection: Ejection,
    /// Families that the data plane forwards. What is not in here is refused with a reason.
    pub ipv6: bool,
    /// Addresses and prefixes of the box that can be no backend.
    pub own: Vec<IpNet>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            class: "spillway.io/box".to_owned(),
            classless: false,
            node_port_addresses: Vec::new(),
            node_port_range: 30_000..=32_767,
            external_ips: Vec::new(),
            mode: BackendMode::default(),
            scheduler: Scheduler::default(),
            checks: Clockwork { hold_down: Duration::from_secs(10), ..Clockwork::default() },
            kube_proxy_port: Some(10_256),
            check_node_ports: true,
            ejection: Ejection {
                percent_max: 50,
                window: Duration::from_secs(10),
                fail_open: true,
            },
            ipv6: false,
            own: Vec::new(),
        }
    }
}

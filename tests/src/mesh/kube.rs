//! The mesh as a Kubernetes cluster knows it.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::cluster::{API_PORT, Cluster, Place};
use crate::error::Result;
use crate::mesh::node::Node;
use crate::mesh::{self, MANAGEMENT, Mesh};

/// Starts an API server in the segment, with the mesh's nodes in it.
pub fn start(mesh: &Mesh) -> Result<Cluster<'_>> {
    let nodes: Vec<Value> = mesh.nodes().iter().map(node).collect();
    let place = Place { namespace: mesh.switch(), dir: mesh.dir() };
    Cluster::start_at(place, &format!("{MANAGEMENT}:{API_PORT}"), &nodes)
}

/// The settings of an agent that watches it.
pub fn settings(cluster: &Cluster<'_>) -> [String; 2] {
    let kubeconfig = cluster.kubeconfig().display();
    [format!("kubernetes.kubeconfig={kubeconfig}"), "kubernetes.cache=".to_owned()]
}

fn node(node: &Node) -> Value {
    let (name, cidrs) = (node.name(), mesh::pod_cidrs(node.number()));
    let [cidr, _] = &cidrs;
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {"podCIDR": cidr, "podCIDRs": cidrs},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": node.address().to_string()},
                {"type": "InternalIP", "address": node.address_v6().to_string()},
                {"type": "Hostname", "address": name},
            ],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    })
}

/// The EndpointSlice of one port of a Service. `pods`: address and node of each; all of one family.
pub fn slice(service: &str, port: (&str, &str, u16), pods: &[(IpAddr, u8)]) -> String {
    let (name, protocol, number) = port;
    let endpoints: Vec<Value> = pods
        .iter()
        .map(|(address, node)| {
            json!({
                "addresses": [address.to_string()],
                "nodeName": format!("node{node}"),
                "conditions": {"ready": true, "serving": true, "terminating": false},
            })
        })
        .collect();
    let is_v6 = pods.first().is_some_and(|(address, _)| address.is_ipv6());
    let family = if is_v6 { "IPv6" } else { "IPv4" };
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{service}-{}", family.to_lowercase()), "namespace": "default",
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": family,
        "ports": [{"name": name, "protocol": protocol, "port": number}],
        "endpoints": endpoints,
    })
    .to_string()
}

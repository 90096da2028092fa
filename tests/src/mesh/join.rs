//! How pods of different nodes reach each other.

use std::net::IpAddr;

use crate::error::Result;
use crate::lab::namespace::Namespace;
use crate::mesh::node::{Node, UPLINK};
use crate::mesh::{self, family};

/// flannel's device for VXLAN network 1, and its port (kernel's default from before IANA's 4789).
pub const VXLAN_DEVICE: &str = "flannel.1";
const VXLAN_NETWORK: u32 = 1;
const VXLAN_PORT: u16 = 8472;

/// How pods of different nodes reach each other.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Join {
    /// flannel's way: a VXLAN device that learns nothing, with fixed neighbours and forwarding entries.
    Vxlan,
    /// A route to every other node's pods.
    Routes,
}

/// Teaches a node the ways to the pods of the others.
pub(crate) fn connect(node: &Node, nodes: &[Node], join: Join) -> Result<()> {
    let others = nodes.iter().filter(|other| other.number() != node.number());
    match join {
        Join::Routes => {
            for other in others {
                for (cidr, via) in mesh::pod_cidrs(other.number()).iter().zip(segment(other)) {
                    let family = family(via);
                    node.namespace().ip(&format!("{family} route add {cidr} via {via}"))?;
                }
            }
            Ok(())
        }
        Join::Vxlan => {
            let device = VXLAN_DEVICE;
            let mac = vtep(node.namespace());
            node.namespace().ip(&format!(
                "link add {device} address {mac} type vxlan id {VXLAN_NETWORK} dev {UPLINK} \
                 local {} dstport {VXLAN_PORT} nolearning",
                node.address()
            ))?;
            node.namespace().ip(&format!("link set {device} up"))?;
            let [own, own_v6] = tunnel(node);
            node.namespace().ip(&format!("addr add {own}/32 dev {device}"))?;
            node.namespace().ip(&format!("addr add {own_v6}/128 dev {device}"))?;
            others.into_iter().try_for_each(|other| tunnel_to(node, other))
        }
    }
}

fn tunnel_to(node: &Node, other: &Node) -> Result<()> {
    let (device, mac) = (VXLAN_DEVICE, vtep(other.namespace()));
    let entry = format!("fdb append {mac} dev {device} dst {}", other.address());
    let bridge: Vec<&str> = ["bridge"].into_iter().chain(entry.split_whitespace()).collect();
    node.namespace().run(&bridge)?;
    for (cidr, via) in mesh::pod_cidrs(other.number()).iter().zip(tunnel(other)) {
        node.namespace().ip(&format!("neigh add {via} lladdr {mac} dev {device} nud permanent"))?;
        let family = family(via);
        node.namespace().ip(&format!("{family} route add {cidr} via {via} dev {device} onlink"))?;
    }
    Ok(())
}

fn segment(node: &Node) -> [IpAddr; 2] {
    [node.address().into(), node.address_v6().into()]
}

/// A node's own addresses at its end of the tunnel: the first of its pods' networks.
fn tunnel(node: &Node) -> [IpAddr; 2] {
    let number = node.number();
    [mesh::pod_address(number, 0).into(), mesh::pod_address_v6(number, 0).into()]
}

fn vtep(namespace: &Namespace) -> String {
    crate::lab::mac(&format!("{}/{VXLAN_DEVICE}", namespace.name()))
}

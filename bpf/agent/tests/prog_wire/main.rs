//! The tc programs on real devices: a client, a node and two pods, each in a network namespace; TCP of some megabytes in
//! giants (GSO) and with every checksum verified, UDP whole and in pieces.
//!
//! Runs as root. Everything is in namespaces of the test's threads.
#![expect(unsafe_code, reason = "a thread leaves its namespaces by unshare(2)")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail loudly"
)]

mod node;
mod place;
mod talk;

use std::net::{IpAddr, SocketAddr};

use spillway_node::layout::{SCOPE_EXTERNAL, SCOPE_INTERNAL, WAY_NEIGHBOR, WAY_PASS, WAY_PEER};

use crate::node::{Ends, FAMILIES, NODE_PORT, Node};
use crate::place::{Place, commands};

/// Large enough for giants, retransmissions and windows to matter.
const OCTETS: usize = 4 << 20;

fn end(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), port)
}

/// Both protocols, with checksums computed by nobody (the devices promise to, and the receiver trusts them), by the sender,
/// and by the node from the half that the sender left: of the last two the receiver verifies each.
fn talks(from: &Place, to: SocketAddr, seen_as: &str) {
    for (sender, node) in [("on", "on"), ("off", "on"), ("on", "off")] {
        from.commands(&format!("ethtool -K eth0 tx {sender} >/dev/null"));
        commands(&format!(
            "for it in eth0 eth1 sw-pod; do ethtool -K $it tx {node} >/dev/null; done"
        ));
        let seen = from.run(move || talk::transfer(to, OCTETS)).unwrap();
        assert_eq!(seen, seen_as.parse::<IpAddr>().unwrap(), "whom the pod sees");
        from.run(move || talk::ask(to, b"any question?")).unwrap();
    }
}

fn serving(backend: impl Fn(&Ends) -> &'static str) -> Node {
    let mut node = Node::new();
    for ends in FAMILIES {
        let backend = end(backend(&ends), ends.port);
        node.serve(end(ends.node, NODE_PORT), SCOPE_EXTERNAL, backend);
        node.serve(end(ends.service, 80), SCOPE_INTERNAL, backend);
    }
    node
}

fn reaches_the_near_pod_by(way: u8) {
    let mut node = serving(|ends| ends.near);
    node.way(way);
    for ends in FAMILIES {
        talks(&node.client, end(ends.node, NODE_PORT), ends.client);
    }
}

#[test]
fn a_client_reaches_a_pod_of_the_node_through_its_veth_pair() {
    reaches_the_near_pod_by(WAY_PEER);
}

#[test]
fn a_client_reaches_a_pod_of_the_node_by_its_neighbor_table() {
    reaches_the_near_pod_by(WAY_NEIGHBOR);
}

#[test]
fn a_client_reaches_a_pod_of_the_node_by_the_stack() {
    reaches_the_near_pod_by(WAY_PASS);
}

#[test]
fn a_client_reaches_a_pod_of_another_node_which_sees_this_node() {
    let node = serving(|ends| ends.far);
    for ends in FAMILIES {
        talks(&node.client, end(ends.node, NODE_PORT), ends.node);
    }
}

#[test]
fn a_pod_reaches_a_service_and_keeps_its_address() {
    let mut node = serving(|ends| ends.far);
    node.way(WAY_PEER);
    for ends in FAMILIES {
        talks(&node.near, end(ends.service, 80), ends.near);
    }
}

#[test]
fn a_pod_reaches_itself_by_a_service() {
    for way in [WAY_PEER, WAY_NEIGHBOR] {
        let mut node = serving(|ends| ends.near);
        node.way(way);
        for ends in FAMILIES {
            talks(&node.near, end(ends.service, 80), ends.node);
        }
    }
}

#[test]
fn a_datagram_in_pieces_reaches_the_pod() {
    let mut node = serving(|ends| ends.near);
    node.way(WAY_PEER);
    for ends in FAMILIES {
        let server = end(ends.node, NODE_PORT);
        node.client.run(move || talk::ask(server, &[7; 1900])).unwrap();
    }
}

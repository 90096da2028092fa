//! Which nodes take traffic, and where pods are.

use serde_json::{Value, json};
use spillway_cluster::{BackendMode, Change, Kind, ObjectKey, Policy};

use crate::world::{World, merge, node, policy, service};

fn backends(world: &mut World) -> String {
    let lines = world.lines();
    lines[0].split_once("=> ").unwrap().1.replace(":30080", "")
}

/// The backends when node-b is changed so.
fn with_b(change: Value) -> String {
    let mut world = World::new(policy());
    world.service(&service("web", json!({ "type": "NodePort" })));
    let mut b = node("node-b", 2);
    merge(&mut b, change);
    world.node(&b);
    backends(&mut world)
}

const ALL: &str = "10.0.0.11,10.0.0.12,10.0.0.13";

#[test]
fn not_ready_cordoned_tainted_and_terminating_nodes_stay() {
    for change in [
        json!({ "status": { "conditions": [{ "type": "Ready", "status": "Unknown" }] } }),
        json!({ "spec": { "unschedulable": true } }),
        json!({ "spec": { "taints": [{ "key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule" }] } }),
        json!({ "metadata": { "deletionTimestamp": "2026-01-03T00:00:00Z" } }),
    ] {
        assert_eq!(with_b(change.clone()), ALL, "{change}");
    }
}

#[test]
fn a_node_with_the_exclude_label_or_without_an_internal_ip_goes() {
    let label = "node.kubernetes.io/exclude-from-external-load-balancers";
    for change in [
        json!({ "metadata": { "labels": { label: "" } } }),
        json!({ "status": { "addresses": [{ "type": "ExternalIP", "address": "192.0.2.1" }] } }),
        json!({ "status": { "addresses": null } }),
    ] {
        assert_eq!(with_b(change.clone()), "10.0.0.11,10.0.0.13", "{change}");
    }
}

#[test]
fn a_node_that_is_gone_is_no_backend() {
    let mut world = World::new(policy());
    world.service(&service("web", json!({ "type": "NodePort" })));
    let key = ObjectKey { namespace: String::new(), name: "node-b".to_owned() };
    world.cluster.apply(Change::Delete { kind: Kind::Node, key });
    assert_eq!(backends(&mut world), "10.0.0.11,10.0.0.13");
}

#[test]
fn a_node_cannot_take_the_address_of_another_or_of_the_box() {
    for address in [
        "10.0.0.11",
        "203.0.113.3",
        "198.51.100.1",
        "127.0.0.1",
        "169.254.1.1",
        "224.0.0.1",
        "0.0.0.0",
        "x",
    ] {
        let addresses =
            json!({ "status": { "addresses": [{ "type": "InternalIP", "address": address }] } });
        assert_eq!(with_b(addresses), "10.0.0.11,10.0.0.13", "{address}");
    }
}

fn routes(nodes: &[Value]) -> (Vec<String>, Vec<String>) {
    let mut world = World::new(Policy { mode: BackendMode::Pod, ..policy() });
    for node in nodes {
        world.node(node);
    }
    let view = world.view();
    let routes = view
        .model
        .routes
        .iter()
        .map(|route| format!("{} via {}", route.prefix, route.via))
        .collect();
    let notes = view.nodes.iter().flat_map(|row| row.notes.clone()).collect();
    (routes, notes)
}

#[test]
fn in_mode_pod_every_node_leads_to_its_pods() {
    let expected = [
        "10.244.1.0/24 via 10.0.0.11",
        "10.244.2.0/24 via 10.0.0.12",
        "10.244.3.0/24 via 10.0.0.13",
    ];
    assert_eq!(routes(&[]).0, expected);
    let mut excluded = node("node-b", 2);
    excluded["metadata"]["labels"] =
        json!({ "node.kubernetes.io/exclude-from-external-load-balancers": "" });
    assert_eq!(
        routes(&[excluded]).0,
        expected,
        "an excluded node takes no NodePort traffic and still has pods"
    );
}

#[test]
fn there_are_no_routes_unless_somebody_forwards_to_pods() {
    let mut world = World::new(policy());
    assert!(world.view().model.routes.is_empty());
    let mut web = service("web", json!({}));
    web["metadata"]["annotations"] = json!({ "spillway.io/forward": "pod" });
    world.service(&web);
    assert_eq!(world.view().model.routes.len(), 3);
}

#[test]
fn a_pod_cidr_that_would_swallow_others_is_not_believed() {
    for cidr in [
        "0.0.0.0/0",
        "10.0.0.0/8",
        "10.0.0.0/24",
        "10.244.0.0/16",
        "10.244.1.128/25",
        "203.0.113.0/24",
        "198.51.100.1/32",
        "127.0.0.0/16",
        "169.254.0.0/16",
        "224.1.0.0/16",
        "pods",
    ] {
        let mut b = node("node-b", 2);
        b["spec"]["podCIDRs"] = json!([cidr]);
        let (routes, notes) = routes(&[b]);
        assert_eq!(
            routes,
            ["10.244.1.0/24 via 10.0.0.11", "10.244.3.0/24 via 10.0.0.13"],
            "{cidr}"
        );
        assert_eq!(notes.len(), 1, "{cidr}: {notes:?}");
    }
}

#[test]
fn of_two_nodes_with_one_prefix_the_older_has_it() {
    let mut b = node("node-b", 2);
    b["spec"]["podCIDRs"] = json!(["10.244.3.0/24"]);
    assert_eq!(
        routes(&[b.clone()]).0,
        ["10.244.1.0/24 via 10.0.0.11", "10.244.3.0/24 via 10.0.0.12"]
    );
    b["metadata"]["creationTimestamp"] = json!("2026-06-01T00:00:00Z");
    assert_eq!(routes(&[b]).0, ["10.244.1.0/24 via 10.0.0.11", "10.244.3.0/24 via 10.0.0.13"]);
}

#[test]
fn the_old_single_pod_cidr_is_read() {
    let mut b = node("node-b", 2);
    b["spec"] = json!({ "podCIDR": "10.244.9.0/24" });
    assert!(routes(&[b]).0.contains(&"10.244.9.0/24 via 10.0.0.12".to_owned()));
}

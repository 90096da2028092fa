//! Hints: kube-proxy's `topology_test.go`, in sentences.

use serde_json::{Value, json};

use crate::world::{World, endpoint, hinted, ready, service, slice};

fn reached(endpoints: &[Value]) -> String {
    let mut world = World::new();
    world.service(&service("web", json!({}))).slice(&slice("web-1", "web", endpoints));
    world.reached().0
}

fn zoned(address: &str, zones: &[&str]) -> Value {
    hinted(ready(address, "node-c"), "forZones", zones)
}

fn for_node(address: &str, nodes: &[&str]) -> Value {
    hinted(zoned(address, &["zone-1"]), "forNodes", nodes)
}

#[test]
fn endpoints_for_our_zone_are_taken_and_the_others_left() {
    let endpoints = [
        zoned("10.244.1.1", &["zone-1"]),
        zoned("10.244.2.1", &["zone-2"]),
        zoned("10.244.3.1", &["zone-2", "zone-1"]),
    ];
    assert_eq!(reached(&endpoints), "10.244.1.1:8080,10.244.3.1:8080");
}

#[test]
fn hints_are_ignored_when_a_ready_endpoint_has_none() {
    let endpoints = [zoned("10.244.1.1", &["zone-1"]), ready("10.244.2.1", "node-b")];
    assert_eq!(reached(&endpoints), "10.244.1.1:8080,10.244.2.1:8080");
}

#[test]
fn endpoints_that_are_not_ready_have_no_say_about_hints() {
    let endpoints =
        [zoned("10.244.1.1", &["zone-1"]), endpoint("10.244.2.1", "node-b", "terminating")];
    assert_eq!(reached(&endpoints), "10.244.1.1:8080");
    let endpoints = [
        zoned("10.244.2.1", &["zone-2"]),
        hinted(endpoint("10.244.1.1", "node-a", "terminating"), "forZones", &["zone-1"]),
    ];
    assert_eq!(reached(&endpoints), "10.244.2.1:8080", "the zone's only endpoint is leaving");
}

#[test]
fn hints_are_ignored_when_none_is_for_our_zone() {
    let endpoints = [zoned("10.244.1.1", &["zone-2"]), zoned("10.244.2.1", &["zone-3"])];
    assert_eq!(reached(&endpoints), "10.244.1.1:8080,10.244.2.1:8080");
}

#[test]
fn a_node_without_a_zone_ignores_zones() {
    let mut world = World::new();
    let endpoints = [zoned("10.244.1.1", &["zone-1"]), zoned("10.244.2.1", &["zone-2"])];
    world.service(&service("web", json!({}))).slice(&slice("web-1", "web", &endpoints));
    let mut nowhere = crate::world::node("node-a", "", "10.0.0.11");
    nowhere["metadata"]["labels"] = json!({});
    world.node(&nowhere);
    assert_eq!(world.reached().0, "10.244.1.1:8080,10.244.2.1:8080");
}

#[test]
fn hints_for_nodes_come_before_hints_for_zones() {
    let endpoints = [for_node("10.244.1.1", &["node-a"]), for_node("10.244.2.1", &["node-b"])];
    assert_eq!(reached(&endpoints), "10.244.1.1:8080");
}

#[test]
fn without_a_hint_for_this_node_those_for_its_zone_count() {
    let endpoints = [
        for_node("10.244.1.1", &["node-b"]),
        hinted(zoned("10.244.2.1", &["zone-2"]), "forNodes", &["node-c"]),
    ];
    assert_eq!(reached(&endpoints), "10.244.1.1:8080");
}

#[test]
fn without_a_ready_endpoint_topology_is_no_matter() {
    let leaving =
        |address, zone| hinted(endpoint(address, "node-b", "terminating"), "forZones", &[zone]);
    let endpoints = [leaving("10.244.1.1", "zone-1"), leaving("10.244.2.1", "zone-2")];
    assert_eq!(reached(&endpoints), "~10.244.1.1:8080,~10.244.2.1:8080");
}

#[test]
fn policy_local_does_not_look_at_hints() {
    let mut world = World::new();
    let endpoints = [
        hinted(ready("10.244.1.1", "node-a"), "forZones", &["zone-2"]),
        hinted(ready("10.244.2.1", "node-b"), "forZones", &["zone-1"]),
    ];
    let spec = json!({ "internalTrafficPolicy": "Local" });
    world.service(&service("web", spec)).slice(&slice("web-1", "web", &endpoints));
    assert_eq!(world.reached().0, "10.244.1.1:8080");
}

#[test]
fn a_node_that_moves_to_another_zone_has_other_backends() {
    let mut world = World::new();
    let endpoints = [zoned("10.244.1.1", &["zone-1"]), zoned("10.244.2.1", &["zone-2"])];
    world.service(&service("web", json!({}))).slice(&slice("web-1", "web", &endpoints));
    assert_eq!(world.reached().0, "10.244.1.1:8080");
    world.node(&crate::world::node("node-a", "zone-2", "10.0.0.11"));
    assert_eq!(world.reached().0, "10.244.2.1:8080");
}

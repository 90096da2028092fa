//! What the node says of itself.

use serde_json::{Value, json};
use spillway_cluster::{Change, Kind, ObjectKey};

use crate::world::{World, balanced, endpoint, node, ready, slice};

fn local(port: u16) -> Value {
    balanced("web", json!({ "externalTrafficPolicy": "Local", "healthCheckNodePort": port }))
}

/// Port and local endpoints of every `healthCheckNodePort`.
fn health(world: &mut World) -> Vec<(String, u16, usize)> {
    let view = world.view();
    let ports = view.health_ports.iter();
    ports.map(|it| (format!("{}/{}", it.namespace, it.name), it.port, it.local_endpoints)).collect()
}

#[test]
fn a_health_port_tells_how_many_endpoints_here_are_ready() {
    let mut world = World::new();
    let endpoints = [
        ready("10.244.1.1", "node-a"),
        ready("10.244.1.2", "node-a"),
        ready("10.244.2.1", "node-b"),
        endpoint("10.244.1.3", "node-a", "terminating"),
        endpoint("10.244.1.4", "node-a", "starting"),
    ];
    world.service(&local(31_000)).slice(&slice("web-1", "web", &endpoints));
    assert_eq!(health(&mut world), [("default/web".to_owned(), 31_000, 2)]);
    world.slice(&slice("web-1", "web", &endpoints[2..]));
    assert_eq!(health(&mut world), [("default/web".to_owned(), 31_000, 0)]);
}

#[test]
fn an_endpoint_with_several_ports_is_one_endpoint() {
    let mut world = World::new();
    let mut one = slice("web-1", "web", &[ready("10.244.1.1", "node-a")]);
    one["ports"] = json!([{ "name": "http", "port": 8080 }, { "name": "https", "port": 8443 }]);
    let mut two = slice("web-2", "web", &[ready("10.244.1.1", "node-a")]);
    two["ports"] = json!([{ "name": "named", "port": 9090 }]);
    let mut v6 = slice("web-6", "web", &[ready("fd00::1", "node-a")]);
    v6["addressType"] = json!("IPv6");
    world.service(&local(31_000)).slice(&one).slice(&two).slice(&v6);
    assert_eq!(health(&mut world), [("default/web".to_owned(), 31_000, 1)]);
}

#[test]
fn only_load_balancers_of_policy_local_have_a_health_port() {
    for spec in [
        json!({ "externalTrafficPolicy": "Cluster", "healthCheckNodePort": 31000 }),
        json!({ "externalTrafficPolicy": "Local", "healthCheckNodePort": 0 }),
        json!({ "type": "NodePort", "externalTrafficPolicy": "Local", "healthCheckNodePort": 31000 }),
    ] {
        let mut world = World::new();
        world.service(&balanced("web", spec.clone()));
        assert_eq!(health(&mut world), [], "{spec}");
    }
}

#[test]
fn a_health_port_outside_of_the_range_is_refused() {
    let mut world = World::new();
    world.service(&local(22));
    assert_eq!(health(&mut world), []);
    assert_eq!(
        world.refused(),
        [
            "Service default/web: healthCheckNodePort 22 is outside of 30000-32767; see range in [node_ports]"
        ]
    );
}

#[test]
fn a_health_port_that_two_want_is_the_olders() {
    let mut world = World::new();
    let mut other = local(31_000);
    other["metadata"]["name"] = json!("young");
    other["metadata"]["creationTimestamp"] = json!("2026-01-09T00:00:00Z");
    other["spec"]["clusterIPs"] = json!(["10.96.0.11"]);
    other["spec"]["ports"][0]["nodePort"] = json!(30_081);
    other["status"] = json!({});
    world.service(&other).service(&local(31_000));
    assert_eq!(health(&mut world), [("default/web".to_owned(), 31_000, 0)]);
    assert_eq!(
        world.refused(),
        [
            "Service default/young: healthCheckNodePort 31000 belongs to Service default/web, which is older; change one of them"
        ]
    );
}

#[test]
fn the_addresses_are_the_internal_ones_of_our_own_node() {
    let mut world = World::new();
    let mut own = node("node-a", "zone-1", "10.0.0.11");
    own["status"]["addresses"] = json!([
        { "type": "ExternalIP", "address": "198.51.100.1" },
        { "type": "InternalIP", "address": "10.0.0.11" },
        { "type": "InternalIP", "address": "fd00::11" },
        { "type": "InternalIP", "address": "127.0.0.1" },
        { "type": "InternalIP", "address": "nonsense" },
        { "type": "Hostname", "address": "node-a" },
    ]);
    let addresses: Vec<String> =
        world.node(&own).view().node_addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["10.0.0.11", "fd00::11"]);
}

#[test]
fn a_node_that_is_about_to_go_is_not_eligible() {
    let mut world = World::new();
    assert!(world.view().is_eligible);
    let mut tainted = node("node-a", "zone-1", "10.0.0.11");
    tainted["spec"]["taints"] =
        json!([{ "key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule" }]);
    assert!(world.node(&tainted).view().is_eligible, "other taints are no matter");
    tainted["spec"]["taints"] =
        json!([{ "key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule" }]);
    assert!(!world.node(&tainted).view().is_eligible);
    world.node(&node("node-a", "zone-1", "10.0.0.11"));
    assert!(world.view().is_eligible, "the taint was taken away");
    let mut deleted = node("node-a", "zone-1", "10.0.0.11");
    deleted["metadata"]["deletionTimestamp"] = json!("2026-02-01T00:00:00Z");
    assert!(!world.node(&deleted).view().is_eligible);
}

#[test]
fn other_nodes_change_nothing_and_cost_nothing() {
    let mut world = World::new();
    world.service(&local(31_000));
    let before = world.view();
    let mut other = node("node-b", "zone-9", "10.0.0.12");
    other["spec"]["taints"] = json!([{ "key": "ToBeDeletedByClusterAutoscaler" }]);
    world.node(&other);
    assert!(std::sync::Arc::ptr_eq(&before, &world.view()));
}

#[test]
fn a_node_that_nobody_knows_yet_is_taken_to_stay() {
    let mut world = World::new();
    let key = ObjectKey { namespace: String::new(), name: "node-a".to_owned() };
    world.cluster.apply(Change::Delete { kind: Kind::Node, key });
    let view = world.view();
    assert!(view.is_eligible && view.node_addresses.is_empty());
}

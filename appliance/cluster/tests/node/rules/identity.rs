//! What did not change is the same allocation.

use std::sync::Arc;

use serde_json::json;
use spillway_cluster::node::NodeService;

use crate::world::{World, ready, service, slice};

fn filled() -> World {
    let mut world = World::new();
    for number in 0..20_u8 {
        let (name, ip) = (format!("s{number}"), format!("10.96.1.{number}"));
        let pod = format!("10.244.1.{number}");
        world.service(&service(&name, json!({ "clusterIP": ip, "clusterIPs": [ip] })));
        world.slice(&slice(&format!("{name}-1"), &name, &[ready(&pod, "node-a")]));
    }
    world
}

/// Names of those that are another allocation than before.
fn moved(before: &[Arc<NodeService>], after: &[Arc<NodeService>]) -> Vec<String> {
    let is_old = |it: &&Arc<NodeService>| !before.iter().any(|old| Arc::ptr_eq(old, it));
    after.iter().filter(is_old).map(|it| it.name.clone()).collect()
}

#[test]
fn an_endpoint_costs_its_own_service_and_no_other() {
    let mut world = filled();
    let before = world.view();
    world.slice(&slice("s7-1", "s7", &[ready("10.244.1.77", "node-a")]));
    let after = world.view();
    assert_eq!(moved(&before.services, &after.services), ["default/s7:http"]);
    assert_eq!(after.services.len(), 20);
}

#[test]
fn a_service_that_comes_or_goes_leaves_the_others_alone() {
    let mut world = filled();
    let before = world.view();
    world.service(&service("new", json!({ "clusterIPs": ["10.96.2.1"] })));
    assert_eq!(moved(&before.services, &world.view().services), ["default/new:http"]);
}

#[test]
fn a_change_that_means_nothing_gives_the_same_view() {
    let mut world = filled();
    let before = world.view();
    let mut touched =
        service("s3", json!({ "clusterIP": "10.96.1.3", "clusterIPs": ["10.96.1.3"] }));
    touched["metadata"]["annotations"] = json!({ "example.com/touched": "yes" });
    touched["metadata"]["resourceVersion"] = json!("99");
    world.service(&touched);
    assert!(Arc::ptr_eq(&before, &world.view()));
}

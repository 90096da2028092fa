//! Which addresses a Service asks for. How they are lent is the address book's business.

use serde_json::{Value, json};
use spillway_cluster::{Promised, View};

use crate::world::{World, policy, pool, service};

fn annotated(annotations: Value, spec: Value) -> World {
    let mut web = service("web", spec);
    web["metadata"]["annotations"] = annotations;
    let mut blue = pool("blue", "192.0.2.0/28");
    blue.auto_assign = false;
    let mut world = World::with_pools(policy(), vec![pool("public", "203.0.113.0/28"), blue]);
    world.service(&web);
    world
}

fn ingress(view: &View) -> String {
    match &view.intents[0].state {
        Promised::Serve { ingress } => ingress[0].ip.to_string(),
        Promised::Pending { message, .. } => message.clone(),
        Promised::CleanUp { .. } => panic!("{view:?}"),
    }
}

#[test]
fn pool_and_address_are_asked_for_in_annotations_or_in_the_spec() {
    for (annotations, spec, expected) in [
        (json!({}), json!({}), "203.0.113.0"),
        (json!({ "spillway.io/pool": "blue" }), json!({}), "192.0.2.0"),
        (json!({ "metallb.io/address-pool": "blue" }), json!({}), "192.0.2.0"),
        (json!({ "spillway.io/addresses": "203.0.113.7" }), json!({}), "203.0.113.7"),
        (json!({ "metallb.universe.tf/loadBalancerIPs": "203.0.113.7" }), json!({}), "203.0.113.7"),
        (json!({}), json!({ "loadBalancerIP": "203.0.113.7" }), "203.0.113.7"),
        (
            json!({ "spillway.io/addresses": "203.0.113.8" }),
            json!({ "loadBalancerIP": "203.0.113.7" }),
            "203.0.113.8",
        ),
        (
            json!({ "metallb.io/address-pool": "none", "spillway.io/pool": "blue" }),
            json!({}),
            "192.0.2.0",
        ),
    ] {
        let mut world = annotated(annotations.clone(), spec);
        assert_eq!(ingress(&world.view()), expected, "{annotations}");
    }
}

#[test]
fn an_address_that_is_in_use_by_status_is_imported() {
    let mut web = service("web", json!({}));
    web["status"] = json!({ "loadBalancer": { "ingress": [{ "ip": "203.0.113.9", "ipMode": "VIP" }, { "hostname": "x" }] } });
    let mut world = World::new(policy());
    world.service(&web);
    assert_eq!(ingress(&world.view()), "203.0.113.9");
}

#[test]
fn what_the_pools_do_not_give_is_refused_with_the_pools_words() {
    for (annotations, reason) in [
        (json!({ "spillway.io/pool": "green" }), "pool-unknown"),
        (json!({ "spillway.io/addresses": "192.0.9.1" }), "address-foreign"),
        (json!({ "spillway.io/addresses": "203.0.113.1,203.0.113.2" }), "invalid"),
    ] {
        let mut world = annotated(annotations.clone(), json!({}));
        assert_eq!(
            world.refusals(),
            [format!("default/web - LoadBalancer {reason}")],
            "{annotations}"
        );
        assert!(matches!(world.view().intents[0].state, Promised::Pending { .. }));
        assert_eq!(world.lines().len(), 1, "its node port is served all the same");
    }
}

#[test]
fn a_bad_annotation_refuses_the_service_and_names_what_is_allowed() {
    let mut world = annotated(json!({ "spillway.io/forward": "direct" }), json!({}));
    assert!(world.lines().is_empty());
    assert_eq!(world.refusals(), ["default/web - - bad-annotation"]);
    let message = &world.view().refused[0].message;
    assert!(
        message.contains("spillway.io/forward")
            && message.contains("direct")
            && message.contains("node, pod")
    );
}

#[test]
fn two_services_share_an_address_by_key_when_their_ports_differ() {
    let mut world = World::new(policy());
    for (name, port, node_port) in [("one", 80, 30080), ("two", 443, 30443)] {
        let mut json = service(
            name,
            json!({ "ports": [{ "name": "p", "port": port, "nodePort": node_port }] }),
        );
        json["metadata"]["annotations"] = json!({ "spillway.io/sharing-key": "k" });
        world.service(&json);
    }
    let lines = world.lines();
    assert!(
        lines[0].contains("203.0.113.0:80/TCP") && lines[2].contains("203.0.113.0:443/TCP"),
        "{lines:#?}"
    );
}

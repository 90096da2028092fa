//! Which Services are served at all, and by whom.

use serde_json::{Value, json};
use spillway_cluster::{Change, Kind, ObjectKey, Policy, Promised};
use spillway_lb::model::{Affinity, ServiceKind};
use std::time::Duration;

use crate::world::{CLASS, World, merge, policy, service};

/// Refusals of a Service on a box that takes its own class only.
fn strict(spec: Value) -> (usize, Vec<String>) {
    let mut world = World::new(Policy { classless: false, ..policy() });
    world.service(&service("web", spec));
    (world.lines().len(), world.refusals())
}

#[test]
fn only_our_class_gets_an_address_and_node_ports_are_everybodys() {
    assert_eq!(strict(json!({ "loadBalancerClass": CLASS })), (2, vec![]));
    let foreign = vec!["default/web - LoadBalancer not-our-class".to_owned()];
    assert_eq!(strict(json!({})), (1, foreign.clone()));
    assert_eq!(strict(json!({ "loadBalancerClass": "example.com/other" })), (1, foreign.clone()));
    let mut classless = World::new(policy());
    classless.service(&service("web", json!({ "loadBalancerClass": "example.com/other" })));
    assert_eq!(classless.refusals(), foreign, "class-less is not any class");
}

#[test]
fn a_service_of_another_proxy_is_left_to_it() {
    let mut web = service("web", json!({}));
    web["metadata"]["labels"] = json!({ "service.kubernetes.io/service-proxy-name": "other" });
    let mut world = World::new(policy());
    world.service(&web);
    assert!(world.lines().is_empty());
    assert_eq!(world.refusals(), ["default/web - - foreign-proxy"]);
}

#[test]
fn what_is_of_no_use_outside_is_skipped_with_a_reason() {
    for (spec, reason) in [
        (json!({ "type": "ClusterIP" }), "cluster-ip"),
        (json!({ "type": "ClusterIP", "clusterIP": "None" }), "headless"),
        (
            json!({ "type": "ExternalName", "externalName": "db.example.com", "ports": null }),
            "external-name",
        ),
        (json!({ "type": "Gateway" }), "invalid"),
        (json!({ "ports": null }), "invalid"),
        (json!({ "externalTrafficPolicy": "local" }), "invalid"),
        (json!({ "ipFamilies": ["IPv5"] }), "invalid"),
    ] {
        let mut world = World::new(policy());
        world.service(&service("web", spec.clone()));
        assert!(world.lines().is_empty(), "{spec}");
        assert_eq!(world.refusals(), [format!("default/web - - {reason}")], "{spec}");
    }
}

#[test]
fn a_service_that_is_being_deleted_is_served_no_longer_and_cleaned_up() {
    let mut web = service("web", json!({}));
    web["metadata"]["finalizers"] = json!(["service.kubernetes.io/load-balancer-cleanup"]);
    let mut world = World::new(policy());
    world.service(&web);
    assert_eq!(world.lines().len(), 2);
    web["metadata"]["deletionTimestamp"] = json!("2026-01-03T00:00:00Z");
    world.service(&web);
    assert!(world.lines().is_empty());
    assert_eq!(world.refusals(), ["default/web - - terminating"]);
    assert_eq!(world.view().intents[0].state, Promised::CleanUp { is_deleted: true });
}

#[test]
fn a_service_that_is_ours_no_longer_is_cleaned_up_as_far_as_it_is_marked() {
    let mut world = World::new(policy());
    let mut web = service("web", json!({ "type": "ClusterIP" }));
    world.service(&web);
    assert!(world.view().intents.is_empty());
    let left = json!({ "loadBalancer": { "ingress": [{ "ip": "203.0.113.0" }] } });
    web["status"] = left.clone();
    world.service(&web);
    assert_eq!(world.view().intents[0].state, Promised::CleanUp { is_deleted: false });
    web["status"]["loadBalancer"]["ingress"][0]["ip"] = json!("192.0.2.1");
    world.service(&web);
    assert!(world.view().intents.is_empty(), "another's address");
    merge(
        &mut web["metadata"],
        json!({ "finalizers": ["service.kubernetes.io/load-balancer-cleanup"] }),
    );
    world.service(&web);
    assert_eq!(world.view().intents.len(), 1);
}

#[test]
fn the_status_promises_every_port_and_says_which_is_not_served() {
    let mut world = World::new(policy());
    world.service(&service(
        "web",
        json!({ "ports": [
        { "name": "http", "port": 80, "nodePort": 30080 },
        { "name": "diameter", "port": 3868, "nodePort": 30868, "protocol": "SCTP" },
        { "name": "quic", "port": 443, "protocol": "UDP" },
    ] }),
    ));
    let view = world.view();
    let Promised::Serve { ingress } = &view.intents[0].state else { panic!("{:?}", view.intents) };
    assert_eq!(ingress[0].ip, "203.0.113.0".parse::<std::net::IpAddr>().unwrap());
    let ports: Vec<String> = ingress[0]
        .ports
        .iter()
        .map(|it| {
            format!(
                "{} {:?} {}",
                it.port,
                it.protocol,
                it.error.map_or("ok", |error| error.as_str())
            )
        })
        .collect();
    let expected = [
        "80 Tcp ok",
        "3868 Sctp spillway.io/SctpNotServed",
        "443 Udp spillway.io/NodePortRequired",
    ];
    assert_eq!(ports, expected);
}

#[test]
fn a_service_that_is_gone_leaves_nothing_behind() {
    let mut world = World::new(policy());
    world.service(&service("web", json!({})));
    assert_eq!(world.lines().len(), 2);
    let key = ObjectKey { namespace: "default".to_owned(), name: "web".to_owned() };
    world.cluster.apply(Change::Delete { kind: Kind::Service, key });
    assert!(world.lines().is_empty() && world.refusals().is_empty());
    assert!(world.view().intents.is_empty());
}

#[test]
fn client_ip_affinity_has_a_timeout() {
    let affinity = |spec: Value| {
        let mut world = World::new(policy());
        world.service(&service("web", spec));
        world.find("default/web:http", ServiceKind::LoadBalancer).affinity
    };
    assert_eq!(affinity(json!({ "sessionAffinity": "None" })), Affinity::None);
    let client = |seconds| Affinity::ClientIp { timeout: Duration::from_secs(seconds) };
    assert_eq!(affinity(json!({ "sessionAffinity": "ClientIP" })), client(10_800));
    let config = json!({ "sessionAffinity": "ClientIP", "sessionAffinityConfig": { "clientIP": { "timeoutSeconds": 600 } } });
    assert_eq!(affinity(config), client(600));
}

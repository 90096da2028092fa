//! Where flows go.

use serde_json::{Value, json};
use spillway_cluster::{BackendMode, Policy};
use spillway_lb::model::ServiceKind;

use crate::world::{World, policy, ready, service, slice};

fn pods() -> Policy {
    Policy { mode: BackendMode::Pod, ..policy() }
}

fn backends(world: &mut World) -> String {
    let service = world.find("default/web:http", ServiceKind::LoadBalancer);
    let texts: Vec<String> = service
        .backends
        .iter()
        .map(|it| format!("{}:{}*{}", it.address, it.port, it.weight))
        .collect();
    texts.join(" ")
}

/// Backends of mode pod for these endpoints of node-a.
fn of_endpoints(endpoints: &[(&str, Value)]) -> String {
    let endpoints: Vec<(&str, &str, Value)> = endpoints
        .iter()
        .map(|(address, conditions)| (*address, "node-a", conditions.clone()))
        .collect();
    let mut world = World::new(pods());
    world.service(&service("web", json!({}))).slice(&slice("s", "web", &endpoints));
    backends(&mut world)
}

fn serving_terminating() -> Value {
    json!({ "ready": false, "serving": true, "terminating": true })
}

#[test]
fn ready_endpoints_serve_and_terminating_ones_only_when_none_is_ready() {
    let dead = json!({ "ready": false, "serving": false, "terminating": true });
    let not_ready = json!({ "ready": false, "serving": false, "terminating": false });
    assert_eq!(
        of_endpoints(&[
            ("10.244.1.1", ready()),
            ("10.244.1.2", serving_terminating()),
            ("10.244.1.3", not_ready.clone())
        ]),
        "10.244.1.1:8080*1"
    );
    assert_eq!(
        of_endpoints(&[
            ("10.244.1.2", serving_terminating()),
            ("10.244.1.3", not_ready),
            ("10.244.1.4", dead.clone())
        ]),
        "10.244.1.2:8080*1"
    );
    assert_eq!(of_endpoints(&[("10.244.1.4", dead)]), "");
}

#[test]
fn an_unknown_condition_is_ready_and_an_unknown_serving_is_what_ready_says() {
    assert_eq!(of_endpoints(&[("10.244.1.1", json!({}))]), "10.244.1.1:8080*1");
    assert_eq!(of_endpoints(&[("10.244.1.1", Value::Null)]), "10.244.1.1:8080*1");
    assert_eq!(
        of_endpoints(&[("10.244.1.1", json!({ "ready": null, "serving": null }))]),
        "10.244.1.1:8080*1"
    );
    assert_eq!(of_endpoints(&[("10.244.1.1", json!({ "ready": false, "terminating": true }))]), "");
}

#[test]
fn not_ready_endpoints_serve_when_the_service_publishes_them() {
    let mut world = World::new(pods());
    world.service(&service("web", json!({ "publishNotReadyAddresses": true })));
    world.slice(&slice("s", "web", &[("10.244.1.1", "node-a", json!({ "ready": false }))]));
    assert_eq!(backends(&mut world), "10.244.1.1:8080*1");
}

#[test]
fn endpoints_are_joined_over_slices_and_one_in_two_of_them_counts_once() {
    let one = slice(
        "one",
        "web",
        &[("10.244.1.1", "node-a", ready()), ("10.244.2.1", "node-b", json!({ "ready": false }))],
    );
    let two = slice(
        "two",
        "web",
        &[("10.244.2.1", "node-b", ready()), ("10.244.1.1", "node-a", ready())],
    );
    for order in [[&one, &two], [&two, &one]] {
        let mut world = World::new(pods());
        world.slice(order[0]).service(&service("web", json!({}))).slice(order[1]);
        assert_eq!(backends(&mut world), "10.244.1.1:8080*1 10.244.2.1:8080*1");
    }
}

#[test]
fn slices_of_one_service_may_resolve_a_named_port_differently() {
    let mut old = slice("old", "web", &[("10.244.1.1", "node-a", ready())]);
    old["ports"][0]["port"] = json!(9090);
    let mut world = World::new(pods());
    world.service(&service("web", json!({}))).slice(&old);
    world.slice(&slice("new", "web", &[("10.244.1.2", "node-a", ready())]));
    assert_eq!(backends(&mut world), "10.244.1.1:9090*1 10.244.1.2:8080*1");
}

#[test]
fn a_slices_port_is_the_services_by_name_and_protocol() {
    for ports in [
        json!([{ "name": "https", "port": 8080 }]),
        json!([{ "name": "http", "port": 8080, "protocol": "UDP" }]),
        json!([]),
        json!(null),
    ] {
        let mut odd = slice("s", "web", &[("10.244.1.1", "node-a", ready())]);
        odd["ports"] = ports.clone();
        let mut world = World::new(pods());
        world.service(&service("web", json!({}))).slice(&odd);
        assert_eq!(backends(&mut world), "", "{ports}");
        assert!(world.refusals().is_empty(), "{ports}");
    }
}

#[test]
fn a_slices_port_without_a_number_is_used_by_nobody() {
    let mut odd = slice("s", "web", &[("10.244.1.1", "node-a", ready())]);
    odd["ports"] = json!([{ "name": "http" }]);
    let mut world = World::new(pods());
    world.service(&service("web", json!({}))).slice(&odd);
    assert_eq!(backends(&mut world), "");
    assert_eq!(world.refusals(), ["default/web - - endpoint-port"]);
}

#[test]
fn names_are_no_endpoints() {
    let mut names = slice("s", "web", &[("db.example.com", "node-a", ready())]);
    names["addressType"] = json!("FQDN");
    let mut world = World::new(pods());
    world.service(&service("web", json!({}))).slice(&names);
    assert_eq!(backends(&mut world), "");
    assert_eq!(world.refusals(), ["default/web - - fqdn-endpoints"]);
}

#[test]
fn an_endpoint_that_is_neither_pod_nor_node_is_refused() {
    for address in [
        "127.0.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "203.0.113.1",
        "198.51.100.1",
        "8.8.8.8",
        "10.245.0.1",
        "10.96.0.1",
        "fd00:10:244:1::5",
        "10.244.1.254",
        "x",
    ] {
        let mut world =
            World::new(Policy { own: vec!["10.244.1.254/32".parse().unwrap()], ..pods() });
        world.service(&service("web", json!({})));
        world.slice(&slice(
            "s",
            "web",
            &[(address, "node-a", ready()), ("10.244.2.7", "node-b", ready())],
        ));
        assert_eq!(backends(&mut world), "10.244.2.7:8080*1", "{address}");
        assert_eq!(world.refusals(), ["default/web - - hostile-endpoint"], "{address}");
    }
}

#[test]
fn a_pod_on_the_hosts_network_has_the_nodes_address() {
    assert_eq!(of_endpoints(&[("10.0.0.12", ready())]), "10.0.0.12:8080*1");
}

#[test]
fn many_bad_endpoints_are_one_sentence() {
    let mut world = World::new(pods());
    world.service(&service("web", json!({})));
    world.slice(&slice(
        "s",
        "web",
        &[("8.8.8.8", "x", ready()), ("8.8.4.4", "x", ready()), ("127.0.0.1", "x", ready())],
    ));
    let view = world.view();
    assert_eq!(view.refused.len(), 1);
    assert!(view.refused[0].message.ends_with("(and 2 more)"), "{}", view.refused[0].message);
}

/// Policy Local in mode node: node-a has two ready endpoints, node-b a terminating one, node-c none.
fn local(spec: Value) -> String {
    let mut web = json!({ "externalTrafficPolicy": "Local" });
    crate::world::merge(&mut web, spec);
    let mut world = World::new(policy());
    world.service(&service("web", web)).slice(&slice(
        "s",
        "web",
        &[
            ("10.244.1.1", "node-a", ready()),
            ("10.244.1.2", "node-a", ready()),
            ("10.244.2.1", "node-b", serving_terminating()),
        ],
    ));
    backends(&mut world)
}

#[test]
fn with_policy_local_all_nodes_are_asked_and_weigh_what_they_hold() {
    assert_eq!(
        local(json!({ "healthCheckNodePort": 31000 })),
        "10.0.0.11:30080*2 10.0.0.12:30080*0 10.0.0.13:30080*0",
        "kube-proxy's answer counts ready endpoints only"
    );
}

#[test]
fn with_policy_local_and_nobody_to_ask_only_nodes_with_endpoints_are_backends() {
    assert_eq!(local(json!({})), "10.0.0.11:30080*2 10.0.0.12:30080*1");
}

#[test]
fn in_mode_pod_policy_local_changes_nothing() {
    let mut world = World::new(pods());
    world.service(&service(
        "web",
        json!({ "externalTrafficPolicy": "Local", "healthCheckNodePort": 31000 }),
    ));
    world.slice(&slice(
        "s",
        "web",
        &[("10.244.1.1", "node-a", ready()), ("10.244.2.1", "node-b", ready())],
    ));
    assert_eq!(backends(&mut world), "10.244.1.1:8080*1 10.244.2.1:8080*1");
}

#[test]
fn without_node_ports_a_service_needs_pods() {
    let spec = json!({ "allocateLoadBalancerNodePorts": false, "ports": [{ "name": "http", "port": 80 }] });
    let mut world = World::new(policy());
    let mut web = service("web", spec);
    world.service(&web).slice(&slice("s", "web", &[("10.244.1.1", "node-a", ready())]));
    assert!(world.lines().is_empty());
    assert_eq!(world.refusals(), ["default/web http LoadBalancer node-port-required"]);
    web["metadata"]["annotations"] = json!({ "spillway.io/forward": "pod" });
    world.service(&web);
    assert_eq!(backends(&mut world), "10.244.1.1:8080*1");
    assert!(world.refusals().is_empty());
}

#[test]
fn internal_traffic_policy_and_hints_are_no_business_of_a_box_outside() {
    let mut world = World::new(pods());
    world.service(&service(
        "web",
        json!({ "internalTrafficPolicy": "Local", "trafficDistribution": "PreferSameZone" }),
    ));
    let mut hinted =
        slice("s", "web", &[("10.244.1.1", "node-a", ready()), ("10.244.2.1", "node-b", ready())]);
    hinted["endpoints"][0]["hints"] = json!({ "forZones": [{ "name": "z" }] });
    world.slice(&hinted);
    assert_eq!(backends(&mut world), "10.244.1.1:8080*1 10.244.2.1:8080*1");
}

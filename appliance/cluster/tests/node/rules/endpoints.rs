//! Which endpoints a frontend leads to.

use serde_json::{Value, json};

use crate::world::{World, balanced, endpoint, ready, service, slice};

/// What a ClusterIP with these endpoints leads to.
fn reached(spec: Value, endpoints: &[Value]) -> String {
    let mut world = World::new();
    world.service(&service("web", spec)).slice(&slice("web-1", "web", endpoints));
    world.reached().0
}

/// What a load balancer's address with externalTrafficPolicy Local leads to: inside, outside.
fn reached_local(endpoints: &[Value]) -> (String, String) {
    let mut world = World::new();
    let spec =
        json!({ "externalTrafficPolicy": "Local", "clusterIP": "", "clusterIPs": ["10.96.0.10"] });
    world.service(&balanced("web", spec)).slice(&slice("web-1", "web", endpoints));
    let lines = world.lines();
    let line = lines.iter().find(|line| line.contains(" LoadBalancer ")).unwrap();
    let (internal, external) = line.split_once(" in ").unwrap().1.split_once(" out ").unwrap();
    (internal.to_owned(), external.to_owned())
}

#[test]
fn a_cluster_ip_leads_to_every_endpoint_that_is_ready() {
    let endpoints = [
        ready("10.244.1.1", "node-a"),
        ready("10.244.2.1", "node-b"),
        endpoint("10.244.2.2", "node-b", "starting"),
        endpoint("10.244.2.3", "node-b", "terminating"),
        endpoint("10.244.2.4", "node-b", "gone"),
    ];
    assert_eq!(reached(json!({}), &endpoints), "10.244.1.1:8080,10.244.2.1:8080");
}

#[test]
fn without_a_ready_endpoint_those_serve_that_still_do_while_they_terminate() {
    let endpoints = [
        endpoint("10.244.2.2", "node-b", "starting"),
        endpoint("10.244.2.3", "node-b", "terminating"),
        endpoint("10.244.2.4", "node-b", "gone"),
    ];
    assert_eq!(reached(json!({}), &endpoints), "~10.244.2.3:8080");
    assert_eq!(reached(json!({}), &endpoints[2..]), "nobody");
}

#[test]
fn conditions_that_nobody_set_mean_ready() {
    let bare = json!({ "addresses": ["10.244.1.1"] });
    assert_eq!(reached(json!({}), &[bare]), "10.244.1.1:8080");
}

#[test]
fn publish_not_ready_addresses_means_every_endpoint() {
    let endpoints = [endpoint("10.244.2.2", "node-b", "starting"), ready("10.244.1.1", "node-a")];
    let spec = json!({ "publishNotReadyAddresses": true });
    assert_eq!(reached(spec, &endpoints), "10.244.1.1:8080,10.244.2.2:8080");
}

#[test]
fn internal_policy_local_means_the_endpoints_of_this_node_or_none() {
    let spec = json!({ "internalTrafficPolicy": "Local" });
    let endpoints = [ready("10.244.1.1", "node-a"), ready("10.244.2.1", "node-b")];
    assert_eq!(reached(spec.clone(), &endpoints), "10.244.1.1:8080");
    assert_eq!(reached(spec.clone(), &endpoints[1..]), "nobody");
    let leaving = [endpoint("10.244.1.2", "node-a", "terminating"), endpoints[1].clone()];
    assert_eq!(reached(spec, &leaving), "~10.244.1.2:8080", "each pool falls back for itself");
}

#[test]
fn external_policy_local_binds_who_is_outside_and_not_who_is_inside() {
    let endpoints = [ready("10.244.1.1", "node-a"), ready("10.244.2.1", "node-b")];
    let all = "10.244.1.1:8080,10.244.2.1:8080".to_owned();
    assert_eq!(reached_local(&endpoints), (all, "10.244.1.1:8080".to_owned()));
    let elsewhere = reached_local(&endpoints[1..]);
    assert_eq!(elsewhere, ("10.244.2.1:8080".to_owned(), "nobody".to_owned()));
    let leaving = [endpoint("10.244.1.2", "node-a", "terminating"), endpoints[1].clone()];
    assert_eq!(
        reached_local(&leaving),
        ("10.244.2.1:8080".to_owned(), "~10.244.1.2:8080".to_owned())
    );
}

#[test]
fn the_policies_of_inside_and_outside_do_not_mix() {
    let mut world = World::new();
    let spec = json!({ "internalTrafficPolicy": "Local", "type": "NodePort",
        "ports": [{ "name": "http", "port": 80, "nodePort": 30080 }] });
    let endpoints = [ready("10.244.1.1", "node-a"), ready("10.244.2.1", "node-b")];
    world.service(&service("web", spec)).slice(&slice("web-1", "web", &endpoints));
    assert_eq!(
        world.lines(),
        [
            "default/web:http ClusterIP 10.96.0.10:80/TCP in 10.244.1.1:8080",
            "default/web:http NodePort V4:30080/TCP in 10.244.1.1:8080,10.244.2.1:8080 out 10.244.1.1:8080,10.244.2.1:8080",
        ]
    );
}

#[test]
fn an_endpoint_in_two_slices_is_one_endpoint_and_ready_if_it_is_so_in_one() {
    let mut world = World::new();
    world
        .service(&service("web", json!({})))
        .slice(&slice("web-1", "web", &[endpoint("10.244.1.1", "node-a", "terminating")]))
        .slice(&slice(
            "web-2",
            "web",
            &[ready("10.244.1.1", "node-a"), ready("10.244.2.1", "node-b")],
        ));
    assert_eq!(world.reached().0, "10.244.1.1:8080,10.244.2.1:8080");
}

#[test]
fn pods_outside_of_every_pod_cidr_are_believed() {
    assert_eq!(reached(json!({}), &[ready("172.30.5.6", "node-c")]), "172.30.5.6:8080");
}

#[test]
fn addresses_that_no_pod_has_are_refused_with_a_sentence() {
    for (address, why) in [
        ("127.0.0.1", "is a loopback address"),
        ("169.254.169.254", "is a link-local address"),
        ("224.0.0.1", "is a multicast address"),
        ("fd00::1", "is no address of the slice's family"),
    ] {
        let mut world = World::new();
        let endpoints = [ready(address, "node-a"), ready("10.244.1.1", "node-a")];
        world.service(&service("web", json!({}))).slice(&slice("web-1", "web", &endpoints));
        assert_eq!(world.reached().0, "10.244.1.1:8080", "{address}");
        let expected = format!(
            "Service default/web: endpoint {address} of EndpointSlice web-1 {why}: not used"
        );
        assert_eq!(world.refused(), [expected]);
    }
}

#[test]
fn a_port_of_a_slice_is_matched_by_name_and_protocol() {
    let mut world = World::new();
    let ports = json!({ "ports": [
        { "name": "http", "port": 80 },
        { "name": "dns", "port": 53, "protocol": "UDP" },
    ] });
    let mut one = slice("web-1", "web", &[ready("10.244.1.1", "node-a")]);
    one["ports"] = json!([{ "name": "dns", "protocol": "TCP", "port": 5300 }, { "name": "http", "port": 8080 }]);
    world.service(&service("web", ports)).slice(&one);
    assert_eq!(
        world.lines(),
        [
            "default/web:dns ClusterIP 10.96.0.10:53/UDP in nobody",
            "default/web:http ClusterIP 10.96.0.10:80/TCP in 10.244.1.1:8080",
        ]
    );
}

#[test]
fn backends_are_sorted_and_hold_those_that_terminate() {
    let mut world = World::new();
    let endpoints = [
        ready("10.244.2.1", "node-b"),
        endpoint("10.244.1.9", "node-a", "terminating"),
        ready("10.244.1.1", "node-a"),
    ];
    world.service(&service("web", json!({}))).slice(&slice("web-1", "web", &endpoints));
    let view = world.view();
    let backends: Vec<_> = view.services[0]
        .backends
        .iter()
        .map(|it| (it.address.to_string(), it.is_local, it.is_terminating))
        .collect();
    let expected =
        [("10.244.1.1", true, false), ("10.244.1.9", true, true), ("10.244.2.1", false, false)];
    assert_eq!(backends, expected.map(|(ip, local, leaving)| (ip.to_owned(), local, leaving)));
}

#[test]
fn a_slice_of_names_is_refused_with_a_sentence() {
    let mut world = World::new();
    let mut names = slice("web-1", "web", &[ready("pod.example", "node-a")]);
    names["addressType"] = json!("FQDN");
    world.service(&service("web", json!({}))).slice(&names);
    assert_eq!(
        world.refused(),
        [
            "Service default/web: EndpointSlice web-1 holds names; only addresses can be forwarded to"
        ]
    );
}

//! Where a Service is answered.

use std::time::Duration;

use serde_json::{Value, json};
use spillway_cluster::addresses::Family;
use spillway_cluster::node::{NodeFrontend, NodePolicy, NodeService, Place, Pool};
use spillway_lb::model::{Affinity, Protocol, Scheduler, ServiceKind};

use crate::world::{World, balanced, policy, ready, service, slice};

/// Kind and place of everything that is answered.
fn places(world: &mut World) -> Vec<String> {
    let lines = world.lines();
    lines.iter().map(|line| line.split(' ').skip(1).take(2).collect::<Vec<_>>().join(" ")).collect()
}

fn answered(object: &Value) -> Vec<String> {
    places(World::new().service(object))
}

#[test]
fn a_load_balancer_is_a_cluster_ip_a_node_port_and_its_address() {
    assert_eq!(
        answered(&balanced("web", json!({}))),
        ["ClusterIP 10.96.0.10:80/TCP", "LoadBalancer 203.0.113.5:80/TCP", "NodePort V4:30080/TCP"]
    );
}

#[test]
fn whatever_the_class_of_a_load_balancer_its_status_is_served() {
    let object = balanced("web", json!({ "loadBalancerClass": "example.com/other" }));
    assert_eq!(answered(&object).len(), 3);
}

#[test]
fn an_address_of_mode_proxy_is_left_to_the_load_balancer() {
    let mut object = balanced("web", json!({}));
    object["status"]["loadBalancer"]["ingress"] = json!([
        { "ip": "203.0.113.5", "ipMode": "Proxy" },
        { "ip": "203.0.113.6", "ipMode": "VIP" },
        { "hostname": "lb.example" },
    ]);
    let all = answered(&object);
    assert!(all.contains(&"LoadBalancer 203.0.113.6:80/TCP".to_owned()), "{all:?}");
    assert!(!all.iter().any(|line| line.contains("203.0.113.5")), "{all:?}");
}

#[test]
fn an_unknown_ip_mode_is_refused_with_a_sentence() {
    let mut object = balanced("web", json!({}));
    object["status"]["loadBalancer"]["ingress"] = json!([{ "ip": "203.0.113.5", "ipMode": "X" }]);
    let mut world = World::new();
    assert_eq!(
        world.service(&object).refused(),
        ["Service default/web: the load balancer's address 203.0.113.5 has the unknown ipMode X"]
    );
}

#[test]
fn a_status_means_nothing_once_the_type_is_another() {
    let object = balanced("web", json!({ "type": "ClusterIP" }));
    assert_eq!(answered(&object), ["ClusterIP 10.96.0.10:80/TCP"]);
}

#[test]
fn a_load_balancer_without_node_ports_has_none() {
    let spec = json!({ "allocateLoadBalancerNodePorts": false, "ports": [{ "name": "http", "port": 80 }] });
    assert_eq!(
        answered(&balanced("web", spec)),
        ["ClusterIP 10.96.0.10:80/TCP", "LoadBalancer 203.0.113.5:80/TCP"]
    );
}

#[test]
fn names_headless_ones_and_those_of_other_proxies_are_passed_over_without_a_word() {
    let mut foreign = service("web", json!({}));
    foreign["metadata"]["labels"] = json!({ "service.kubernetes.io/service-proxy-name": "x" });
    for object in [
        service("web", json!({ "type": "ExternalName", "externalName": "example.com" })),
        service("web", json!({ "clusterIP": "None", "clusterIPs": ["None"] })),
        service("web", json!({ "clusterIP": "", "clusterIPs": [] })),
        foreign,
    ] {
        let mut world = World::new();
        world.service(&object);
        assert_eq!((places(&mut world), world.refused()), (vec![], vec![]), "{object}");
    }
}

#[test]
fn a_service_that_is_being_deleted_is_served_until_it_is_gone() {
    let mut object = service("web", json!({}));
    object["metadata"]["deletionTimestamp"] = json!("2026-02-01T00:00:00Z");
    assert_eq!(answered(&object), ["ClusterIP 10.96.0.10:80/TCP"]);
}

#[test]
fn both_families_are_served_each_with_its_own_endpoints() {
    let mut world = World::new();
    let spec = json!({ "type": "NodePort", "ipFamilies": ["IPv4", "IPv6"],
        "clusterIPs": ["10.96.0.10", "fd00:10:96::a"],
        "ports": [{ "name": "http", "port": 80, "nodePort": 30080 }] });
    let mut v6 = slice("web-6", "web", &[ready("fd00:10:244::5", "node-a")]);
    v6["addressType"] = json!("IPv6");
    world.service(&service("web", spec)).slice(&v6);
    world.slice(&slice("web-4", "web", &[ready("10.244.1.5", "node-a")]));
    assert_eq!(
        world.lines(),
        [
            "default/web:http ClusterIP 10.96.0.10:80/TCP in 10.244.1.5:8080",
            "default/web:http NodePort V4:30080/TCP in 10.244.1.5:8080 out 10.244.1.5:8080",
            "default/web:http ClusterIP [fd00:10:96::a]:80/TCP in [fd00:10:244::5]:8080",
            "default/web:http NodePort V6:30080/TCP in [fd00:10:244::5]:8080 out [fd00:10:244::5]:8080",
        ]
    );
}

#[test]
fn sctp_is_refused_with_a_sentence_and_the_other_ports_are_served() {
    let mut world = World::new();
    let spec = json!({ "ports": [
        { "name": "http", "port": 80 }, { "name": "sig", "port": 3868, "protocol": "SCTP" } ] });
    world.service(&service("web", spec));
    assert_eq!(places(&mut world), ["ClusterIP 10.96.0.10:80/TCP"]);
    assert_eq!(world.refused(), ["Service default/web: port sig is SCTP, which is not forwarded"]);
}

#[test]
fn a_node_port_outside_of_the_range_is_refused_and_the_cluster_ip_served() {
    let mut world = World::new();
    let spec =
        json!({ "type": "NodePort", "ports": [{ "name": "http", "port": 80, "nodePort": 22 }] });
    world.service(&service("web", spec));
    assert_eq!(places(&mut world), ["ClusterIP 10.96.0.10:80/TCP"]);
    assert_eq!(
        world.refused(),
        [
            "Service default/web: port http has nodePort 22, outside of 30000-32767; see range in [node_ports]"
        ]
    );
}

#[test]
fn external_ips_are_served_only_within_the_operators_ranges() {
    let spec = json!({ "externalIPs": ["203.0.113.200", "8.8.8.8"] });
    let mut world = World::new();
    world.service(&service("web", spec.clone()));
    assert_eq!(
        places(&mut world),
        ["ClusterIP 10.96.0.10:80/TCP", "ExternalIP 203.0.113.200:80/TCP"]
    );
    assert_eq!(
        world.refused(),
        [
            "Service default/web: externalIP 8.8.8.8 is in none of the ranges that external_ips allows"
        ]
    );
    let mut closed = World::with(NodePolicy { external_ips: vec![], ..policy() });
    assert_eq!(places(closed.service(&service("web", spec))), ["ClusterIP 10.96.0.10:80/TCP"]);
}

#[test]
fn source_ranges_guard_the_load_balancers_address_and_nothing_else() {
    let mut world = World::new();
    let spec = json!({ "loadBalancerSourceRanges": ["192.0.2.0/24", " 2001:db8::/32"],
        "externalIPs": ["203.0.113.200"] });
    world.service(&balanced("web", spec));
    let lines = world.lines();
    let guarded: Vec<bool> = lines.iter().map(|line| line.ends_with(" guarded")).collect();
    assert_eq!(guarded, [false, true, false, false], "{lines:#?}");
    let ranges: Vec<String> =
        world.view().services[0].source_ranges.iter().map(ToString::to_string).collect();
    assert_eq!(ranges, ["192.0.2.0/24", "2001:db8::/32"]);
}

#[test]
fn a_source_range_that_cannot_be_read_closes_the_address_instead_of_opening_it() {
    let mut world = World::new();
    world.service(&balanced("web", json!({ "loadBalancerSourceRanges": ["192.0.2.0/24", "x"] })));
    assert_eq!(places(&mut world), ["ClusterIP 10.96.0.10:80/TCP", "NodePort V4:30080/TCP"]);
    let [sentence] = world.refused().try_into().unwrap();
    assert!(sentence.contains("source range x cannot be read"), "{sentence}");
}

#[test]
fn addresses_that_nothing_may_answer_on_are_refused() {
    let mut world = World::new();
    let mut object =
        balanced("web", json!({ "clusterIP": "127.0.0.1", "clusterIPs": ["127.0.0.1"] }));
    object["status"]["loadBalancer"]["ingress"] = json!([{ "ip": "169.254.169.254" }]);
    world.service(&object);
    assert_eq!(places(&mut world), ["NodePort V4:30080/TCP"]);
    assert_eq!(
        world.refused(),
        [
            "Service default/web: ClusterIP 127.0.0.1 is a loopback address",
            "Service default/web: the load balancer's address 169.254.169.254 is a link-local address",
        ]
    );
}

#[test]
fn affinity_and_scheduler_are_those_of_the_service() {
    let mut world = World::new();
    let mut object = service("web", json!({ "sessionAffinity": "ClientIP" }));
    object["metadata"]["annotations"] = json!({ "spillway.io/scheduler": "maglev" });
    world.service(&object);
    let view = world.view();
    assert_eq!(view.services[0].scheduler, Scheduler::Maglev);
    let timeout = Duration::from_hours(3);
    assert_eq!(view.services[0].affinity, Affinity::ClientIp { timeout });
    let config = json!({ "sessionAffinityConfig": { "clientIP": { "timeoutSeconds": 600 } } });
    crate::world::merge(&mut object["spec"], config);
    let timeout = Duration::from_mins(10);
    assert_eq!(world.service(&object).view().services[0].affinity, Affinity::ClientIp { timeout });
}

#[test]
fn a_wrong_annotation_costs_nobody_a_cluster_ip() {
    let mut world = World::with(NodePolicy { scheduler: Scheduler::Maglev, ..policy() });
    let mut object = service("web", json!({}));
    object["metadata"]["annotations"] =
        json!({ "spillway.io/scheduler": "best", "spillway.io/health-check": "nonsense" });
    world.service(&object);
    assert_eq!(world.view().services[0].scheduler, Scheduler::Maglev);
    assert_eq!(
        world.refused(),
        [
            "Service default/web: annotation spillway.io/scheduler is \"best\"; allowed: random, maglev; the operator's scheduler is used"
        ]
    );
}

#[test]
fn words_that_are_unknown_refuse_the_whole_service() {
    for (key, value) in [
        ("type", "Magic"),
        ("internalTrafficPolicy", "Near"),
        ("externalTrafficPolicy", "Near"),
        ("sessionAffinity", "Cookie"),
    ] {
        let mut world = World::new();
        world.service(&balanced("web", json!({ key: value })));
        assert_eq!(places(&mut world), Vec::<String>::new(), "{key}");
        let expected = format!("Service default/web: {key} {value} is unknown here");
        assert_eq!(world.refused(), [expected]);
    }
}

/// `age` in days; the spec has an externalIP.
fn aged(name: &str, day: u8, ip: &str) -> Value {
    let cluster_ip = format!("10.96.0.{day}");
    let spec = json!({ "clusterIP": cluster_ip, "clusterIPs": [cluster_ip], "externalIPs": [ip] });
    let mut object = service(name, spec);
    object["metadata"]["creationTimestamp"] = json!(format!("2026-01-{day:02}T00:00:00Z"));
    object
}

#[test]
fn of_two_services_that_want_one_place_the_older_has_it_and_the_other_a_sentence() {
    let mut world = World::new();
    world.service(&aged("young", 9, "203.0.113.200")).service(&aged("old", 2, "203.0.113.200"));
    let owner = |world: &mut World| {
        let lines = world.lines();
        let mut owners = lines.iter().filter(|line| line.contains("203.0.113.200"));
        let owner = owners.next().unwrap().split(':').next().unwrap().to_owned();
        assert!(owners.next().is_none(), "{lines:?}");
        owner
    };
    assert_eq!(owner(&mut world), "default/old");
    assert_eq!(
        world.refused(),
        [
            "Service default/young: 203.0.113.200:80/TCP belongs to Service default/old, which is older or was given it; change one of them"
        ]
    );
    world.service(&aged("old", 2, "203.0.113.201"));
    let lines = world.lines();
    assert!(
        lines.iter().any(|line| line.starts_with("default/young:http ExternalIP")),
        "{lines:?}"
    );
    assert_eq!(world.refused(), Vec::<String>::new());
}

#[test]
fn what_is_given_comes_before_what_is_written_however_old() {
    let mut world = World::new();
    world.service(&aged("old", 1, "203.0.113.150"));
    let mut object =
        balanced("web", json!({ "clusterIP": "10.96.0.99", "clusterIPs": ["10.96.0.99"] }));
    object["status"]["loadBalancer"]["ingress"] = json!([{ "ip": "203.0.113.150" }]);
    world.service(&object);
    let lines = world.lines();
    let owner = lines.iter().find(|line| line.contains("203.0.113.150")).unwrap();
    assert!(owner.starts_with("default/web:http LoadBalancer"), "{owner}");
}

#[test]
fn the_same_place_by_two_ways_is_served_once() {
    let spec = json!({ "externalIPs": ["203.0.113.150", "203.0.113.150"] });
    let mut object = balanced("web", spec);
    object["status"]["loadBalancer"]["ingress"] = json!([{ "ip": "203.0.113.150" }]);
    let mut world = World::new();
    world.service(&object);
    assert_eq!(
        places(&mut world),
        [
            "ClusterIP 10.96.0.10:80/TCP",
            "LoadBalancer 203.0.113.150:80/TCP",
            "NodePort V4:30080/TCP"
        ]
    );
    assert_eq!(world.refused(), Vec::<String>::new());
}

#[test]
fn on_the_nodes_own_address_a_node_port_comes_before_who_names_the_address() {
    let mut world =
        World::with(NodePolicy { external_ips: vec!["10.0.0.0/24".parse().unwrap()], ..policy() });
    let mut thief = aged("thief", 1, "10.0.0.11");
    thief["spec"]["ports"] =
        json!([{ "name": "http", "port": 30080 }, { "name": "mine", "port": 8080 }]);
    world.service(&thief).service(&balanced("web", json!({})));
    let lines = world.lines();
    assert!(!lines.iter().any(|line| line.contains("10.0.0.11:30080")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("10.0.0.11:8080")), "{lines:#?}");
    assert_eq!(
        world.refused(),
        [
            "Service default/thief: 10.0.0.11:30080/TCP belongs to Service default/web, which is older or was given it; change one of them"
        ]
    );
    // The node's address moves away, and with it the reason.
    world.node(&crate::world::node("node-a", "zone-1", "10.0.0.99"));
    assert_eq!(world.refused(), Vec::<String>::new());
}

#[test]
fn static_services_are_served_beside_the_clusters_and_before_them() {
    let frontend = NodeFrontend {
        kind: ServiceKind::ClusterIp,
        place: Place::Address("10.96.0.10".parse().unwrap()),
        port: 80,
        internal: 0,
        external: None,
        is_guarded: false,
    };
    let own = NodeService {
        name: "own".to_owned(),
        family: Family::V4,
        protocol: Protocol::Tcp,
        scheduler: Scheduler::Random,
        affinity: Affinity::None,
        source_ranges: Vec::new(),
        backends: Vec::new(),
        pools: vec![Pool::default()],
        frontends: vec![frontend],
    };
    let mut world = World::with(NodePolicy { services: vec![own.into()], ..policy() });
    world.service(&service("web", json!({})));
    assert_eq!(world.lines(), ["own ClusterIP 10.96.0.10:80/TCP in nobody"]);
    assert_eq!(
        world.refused(),
        [
            "Service default/web: 10.96.0.10:80/TCP belongs to service \"own\" of the configuration; change one of them"
        ]
    );
}

//! What the box answers on.

use serde_json::json;
use spillway_cluster::{BackendMode, Policy};
use spillway_lb::model::ServiceKind;

use crate::world::{World, policy, service};

const NODES: &str = "10.0.0.11:30080,10.0.0.12:30080,10.0.0.13:30080";

fn lines_of(spec: serde_json::Value) -> Vec<String> {
    World::new(policy()).service(&service("web", spec)).lines()
}

fn refusals_of(spec: serde_json::Value) -> Vec<String> {
    World::new(policy()).service(&service("web", spec)).refusals()
}

#[test]
fn a_load_balancer_is_answered_on_its_address_and_on_its_node_port() {
    let expected = [
        format!("default/web:http LoadBalancer 203.0.113.0:80/TCP => {NODES}"),
        format!("default/web:http NodePort 198.51.100.1:30080/TCP => {NODES}"),
    ];
    assert_eq!(lines_of(json!({})), expected);
}

#[test]
fn a_node_port_service_has_no_address_of_a_pool() {
    let expected = [format!("default/web:http NodePort 198.51.100.1:30080/TCP => {NODES}")];
    assert_eq!(lines_of(json!({ "type": "NodePort" })), expected);
}

#[test]
fn node_ports_are_answered_on_no_address_when_the_box_has_none_for_them() {
    let mut world = World::new(Policy { node_port_addresses: Vec::new(), ..policy() });
    world.service(&service("web", json!({ "type": "NodePort" })));
    assert!(world.lines().is_empty());
    assert_eq!(world.refusals(), ["default/web - NodePort no-node-port-address"]);
}

#[test]
fn tcp_and_udp_share_a_number() {
    let ports = json!({ "type": "NodePort", "ports": [
        { "name": "dns", "port": 53, "nodePort": 30053, "protocol": "UDP" },
        { "name": "dns-tcp", "port": 53, "nodePort": 30053, "protocol": "TCP" },
    ] });
    let expected = [
        "default/web:dns NodePort 198.51.100.1:30053/UDP => 10.0.0.11:30053,10.0.0.12:30053,10.0.0.13:30053",
        "default/web:dns-tcp NodePort 198.51.100.1:30053/TCP => 10.0.0.11:30053,10.0.0.12:30053,10.0.0.13:30053",
    ];
    assert_eq!(lines_of(ports), expected);
}

#[test]
fn an_unnamed_port_is_called_by_number_and_protocol() {
    let lines =
        lines_of(json!({ "type": "NodePort", "ports": [{ "port": 80, "nodePort": 30080 }] }));
    assert_eq!(lines, [format!("default/web:80/TCP NodePort 198.51.100.1:30080/TCP => {NODES}")]);
}

#[test]
fn sctp_refuses_its_port_and_no_other() {
    let ports = json!({ "type": "NodePort", "ports": [
        { "name": "diameter", "port": 3868, "nodePort": 30868, "protocol": "SCTP" },
        { "name": "http", "port": 80, "nodePort": 30080 },
    ] });
    assert_eq!(lines_of(ports.clone()).len(), 1);
    assert_eq!(refusals_of(ports), ["default/web diameter - sctp"]);
}

#[test]
fn external_ips_are_served_within_the_allowed_ranges_only() {
    let spec = json!({ "type": "NodePort", "externalIPs": ["203.0.113.200", "192.0.2.1", "203.0.113.200"] });
    let lines = lines_of(spec.clone());
    assert!(
        lines.contains(&format!("default/web:http ExternalIP 203.0.113.200:80/TCP => {NODES}"))
    );
    assert_eq!(lines.len(), 2);
    assert_eq!(refusals_of(spec.clone()), ["default/web - ExternalIP external-ip-not-allowed"]);
    let mut none = World::new(Policy { external_ips: Vec::new(), ..policy() });
    none.service(&service("web", spec));
    assert!(
        none.lines().iter().all(|line| !line.contains("ExternalIP")),
        "off unless allowed (CVE-2020-8554)"
    );
}

#[test]
fn external_ips_of_a_cluster_ip_service_need_pods_as_backends() {
    let spec = json!({ "type": "ClusterIP", "externalIPs": ["203.0.113.200"], "ports": [{ "name": "http", "port": 80 }] });
    assert_eq!(refusals_of(spec.clone()), ["default/web http ExternalIP node-port-required"]);
    let mut pods = World::new(Policy { mode: BackendMode::Pod, ..policy() });
    pods.service(&service("web", spec));
    assert_eq!(pods.lines(), ["default/web:http ExternalIP 203.0.113.200:80/TCP => -"]);
}

#[test]
fn an_external_ip_that_repeats_the_assigned_address_is_served_once() {
    let mut world =
        World::new(Policy { external_ips: vec!["203.0.113.0/24".parse().unwrap()], ..policy() });
    world.service(&service("web", json!({ "externalIPs": ["203.0.113.0"] })));
    assert_eq!(world.lines().len(), 2);
    assert!(world.refusals().is_empty());
}

#[test]
fn source_ranges_guard_the_address_and_external_ips_but_not_the_node_port() {
    let mut world = World::new(policy());
    world.service(&service(
        "web",
        json!({
            "externalIPs": ["203.0.113.200"],
            "loadBalancerSourceRanges": [" 198.51.100.0/24", "2001:db8::/32", "198.51.100.7/24"],
        }),
    ));
    let ranges =
        |kind, world: &mut World| world.find("default/web:http", kind).source_ranges.clone();
    let expected = ["198.51.100.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
    assert_eq!(ranges(ServiceKind::LoadBalancer, &mut world), expected);
    assert_eq!(ranges(ServiceKind::ExternalIp, &mut world), expected);
    assert!(ranges(ServiceKind::NodePort, &mut world).is_empty());
}

#[test]
fn the_old_annotation_gives_source_ranges_when_the_spec_does_not() {
    let mut web = service("web", json!({}));
    web["metadata"]["annotations"] = json!({ "service.beta.kubernetes.io/load-balancer-source-ranges": "192.0.2.0/24, 192.0.3.0/24" });
    let mut world = World::new(policy());
    world.service(&web);
    assert_eq!(world.find("default/web:http", ServiceKind::LoadBalancer).source_ranges.len(), 2);
    web["spec"]["loadBalancerSourceRanges"] = json!(["10.0.0.0/8"]);
    world.service(&web);
    assert_eq!(
        world.find("default/web:http", ServiceKind::LoadBalancer).source_ranges,
        ["10.0.0.0/8".parse().unwrap()]
    );
}

#[test]
fn an_unreadable_source_range_opens_nothing_to_anybody() {
    for ranges in [
        json!(["everybody"]),
        json!(["10.0.0.0/8", ""]),
        json!(["10.0.0.0/33"]),
        json!(["10.0.0.0-10.0.0.9"]),
    ] {
        let spec = json!({ "loadBalancerSourceRanges": ranges });
        assert!(lines_of(spec.clone()).is_empty(), "{ranges}");
        assert_eq!(refusals_of(spec), ["default/web - - bad-source-range"], "{ranges}");
    }
}

#[test]
fn ipv6_is_refused_unless_the_data_plane_forwards_it() {
    let only = json!({ "ipFamilies": ["IPv6"] });
    assert!(lines_of(only.clone()).is_empty());
    assert_eq!(refusals_of(only), ["default/web - - ipv6"]);
    let both = json!({ "ipFamilies": ["IPv6", "IPv4"], "ipFamilyPolicy": "PreferDualStack" });
    assert_eq!(refusals_of(both.clone()), ["default/web - - ipv6"]);
    assert_eq!(
        lines_of(both).first().unwrap(),
        &format!("default/web:http LoadBalancer 203.0.113.0:80/TCP => {NODES}")
    );
    let required = json!({ "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack" });
    assert_eq!(
        lines_of(required.clone()),
        [format!("default/web:http NodePort 198.51.100.1:30080/TCP => {NODES}")]
    );
    assert_eq!(refusals_of(required), ["default/web - - ipv6", "default/web - LoadBalancer ipv6"]);
}

#[test]
fn dual_stack_is_a_service_for_each_family() {
    let addresses = vec!["198.51.100.1".parse().unwrap(), "2001:db8::5".parse().unwrap()];
    let mut world = World::new(Policy { ipv6: true, node_port_addresses: addresses, ..policy() });
    world.service(&service(
        "web",
        json!({
            "ipFamilies": ["IPv6", "IPv4"],
            "ipFamilyPolicy": "RequireDualStack",
        }),
    ));
    let nodes6 = "[fd00::11]:30080,[fd00::12]:30080,[fd00::13]:30080";
    let expected = [
        format!("default/web:http LoadBalancer 203.0.113.0:80/TCP => {NODES}"),
        format!("default/web:http/ipv6 LoadBalancer [2001:db8:1::]:80/TCP => {nodes6}"),
        format!("default/web:http NodePort 198.51.100.1:30080/TCP => {NODES}"),
        format!("default/web:http/ipv6 NodePort [2001:db8::5]:30080/TCP => {nodes6}"),
    ];
    assert_eq!(world.lines(), expected);
    assert!(world.refusals().is_empty());
}

#[test]
fn the_older_service_keeps_a_frontend_and_the_younger_is_told_whose_it_is() {
    let mut older =
        service("older", json!({ "type": "NodePort", "externalIPs": ["203.0.113.200"] }));
    older["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    let younger = service(
        "a-younger",
        json!({ "type": "NodePort", "externalIPs": ["203.0.113.200"],
        "ports": [{ "name": "http", "port": 80, "nodePort": 30081 }] }),
    );
    let mut world = World::new(policy());
    world.service(&younger);
    assert_eq!(world.lines().len(), 2);
    world.service(&older);
    assert_eq!(world.refusals(), ["default/a-younger http ExternalIP frontend-taken"]);
    let view = world.view();
    assert!(view.refused[0].message.contains("default/older"), "{}", view.refused[0].message);
    assert_eq!(world.lines().len(), 3, "its node port is still served");
}

#[test]
fn what_was_given_comes_before_what_somebody_wrote_down() {
    let mut thief =
        service("thief", json!({ "type": "ClusterIP", "externalIPs": ["203.0.113.0"] }));
    thief["metadata"]["creationTimestamp"] = json!("2020-01-01T00:00:00Z");
    thief["metadata"]["annotations"] = json!({ "spillway.io/forward": "pod" });
    let mut world =
        World::new(Policy { external_ips: vec!["203.0.113.0/24".parse().unwrap()], ..policy() });
    world.service(&thief);
    assert_eq!(world.lines().len(), 1);
    world.service(&service("web", json!({})));
    assert_eq!(world.refusals(), ["default/thief http ExternalIP frontend-taken"]);
}

#[test]
fn a_node_port_outside_of_the_clusters_range_is_refused() {
    let spec = json!({ "ports": [{ "name": "kubelet", "port": 80, "nodePort": 10250 }] });
    assert!(lines_of(spec.clone()).is_empty());
    assert_eq!(refusals_of(spec), ["default/web kubelet - node-port-range"]);
}

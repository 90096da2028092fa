//! How backends are asked whether they serve.

use serde_json::{Value, json};
use spillway_cluster::{BackendMode, Policy};
use spillway_lb::model::{CheckKind, ServiceKind};

use crate::world::{World, policy, service};

fn checks(policy: Policy, check: Option<&str>, spec: Value) -> Vec<String> {
    let mut web = service("web", spec);
    if let Some(check) = check {
        web["metadata"]["annotations"] = json!({ "spillway.io/health-check": check });
    }
    let mut world = World::new(policy);
    world.service(&web);
    let service = world.find("default/web:http", ServiceKind::LoadBalancer);
    let text = |check: &spillway_lb::model::HealthCheck| {
        let kind = match &check.kind {
            CheckKind::Tcp => "tcp".to_owned(),
            CheckKind::Http { path, expect, .. } => {
                format!("http {path} {}-{}", expect.start(), expect.end())
            }
            CheckKind::NodeEndpoints => "node-endpoints".to_owned(),
        };
        format!(
            "{kind} at {}",
            check.port.map_or_else(|| "backend".to_owned(), |port| port.to_string())
        )
    };
    service.checks.iter().map(text).collect()
}

fn udp() -> Value {
    json!({ "ports": [{ "name": "http", "port": 80, "nodePort": 30080, "protocol": "UDP" }] })
}

fn local() -> Value {
    json!({ "externalTrafficPolicy": "Local", "healthCheckNodePort": 31000 })
}

const PROXY: &str = "http /healthz 200-200 at 10256";

#[test]
fn policy_cluster_asks_kube_proxy_and_the_node_port() {
    assert_eq!(checks(policy(), None, json!({})), [PROXY, "tcp at backend"]);
    assert_eq!(checks(policy(), None, udp()), [PROXY]);
    let quiet = Policy { kube_proxy_port: None, check_node_ports: false, ..policy() };
    assert!(checks(quiet, None, json!({})).is_empty());
}

#[test]
fn policy_local_asks_the_nodes_for_their_endpoints() {
    assert_eq!(checks(policy(), None, local()), ["node-endpoints at 31000", "tcp at backend"]);
    assert_eq!(
        checks(policy(), None, json!({ "externalTrafficPolicy": "Local" })),
        [PROXY, "tcp at backend"],
        "nobody answers for its endpoints"
    );
    assert_eq!(
        checks(policy(), None, json!({ "healthCheckNodePort": 31000 })),
        [PROXY, "tcp at backend"],
        "without Local the port is a leftover"
    );
}

#[test]
fn mode_pod_asks_the_pod() {
    let pods = || Policy { mode: BackendMode::Pod, ..policy() };
    assert_eq!(checks(pods(), None, json!({})), ["tcp at backend"]);
    assert_eq!(checks(pods(), None, local()), ["tcp at backend"]);
    assert!(checks(pods(), None, udp()).is_empty());
}

#[test]
fn the_annotation_changes_how_the_port_is_asked_and_the_node_still_is() {
    assert!(checks(policy(), Some("none"), local()).is_empty());
    assert_eq!(checks(policy(), Some("tcp"), json!({})), [PROXY, "tcp at backend"]);
    assert_eq!(
        checks(policy(), Some("http:/ready"), json!({})),
        [PROXY, "http /ready 200-399 at backend"]
    );
    assert_eq!(
        checks(policy(), Some("http:9000/"), local()),
        ["node-endpoints at 31000", "http / 200-399 at 9000"]
    );
    assert_eq!(checks(policy(), Some("http:9000/"), udp()), [PROXY, "http / 200-399 at 9000"]);
    assert_eq!(checks(policy(), Some("http:/"), udp()), [PROXY], "a UDP port speaks no HTTP");
}

#[test]
fn fail_open_and_the_scheduler_are_the_services_to_choose() {
    let mut web = service("web", json!({}));
    web["metadata"]["annotations"] =
        json!({ "spillway.io/fail-open": "false", "spillway.io/scheduler": "maglev" });
    let mut world = World::new(policy());
    world.service(&web);
    let service = world.find("default/web:http", ServiceKind::NodePort);
    assert!(!service.ejection.fail_open);
    assert_eq!(service.ejection.percent_max, 50);
    assert_eq!(service.scheduler, spillway_lb::model::Scheduler::Maglev);
}

//! What the API server does to a Service before it stores it: defaults, what an update keeps,
//! allocation. After `pkg/registry/core/service` of Kubernetes.

use serde_json::{Value, json};

use crate::json;
use crate::status::Status;

pub mod allocate;
mod validate;

pub use allocate::{Allocator, Ranges};
pub(crate) use validate::is_subdomain;
pub use validate::{check_spec, check_status, check_types};

/// `spec.type` of a service; `ClusterIP` where it says nothing.
pub fn kind_of(service: &Value) -> &str {
    json::text(service, &["spec", "type"]).unwrap_or("ClusterIP")
}

pub(crate) fn is_load_balancer(service: &Value) -> bool {
    kind_of(service) == "LoadBalancer"
}

fn needs_node_ports(service: &Value) -> bool {
    let wants = json::at(service, &["spec", "allocateLoadBalancerNodePorts"]);
    match kind_of(service) {
        "NodePort" => true,
        "LoadBalancer" => wants != Some(&Value::Bool(false)),
        _ => false,
    }
}

fn may_have_node_ports(service: &Value) -> bool {
    matches!(kind_of(service), "NodePort" | "LoadBalancer")
}

fn needs_health_check(service: &Value) -> bool {
    is_load_balancer(service)
        && json::text(service, &["spec", "externalTrafficPolicy"]) == Some("Local")
}

fn is_external(service: &Value) -> bool {
    may_have_node_ports(service) || !json::list(service, &["spec", "externalIPs"]).is_empty()
}

/// Brings a new or changed service to the form in which it is stored.
pub fn admit(
    service: &mut Value,
    old: Option<&Value>,
    allocator: &mut Allocator,
) -> Result<(), Status> {
    check_types(service)?;
    tidy(service);
    if let Some(old) = old {
        keep_allocated(service, old);
        drop_what_the_type_has_not(service, old);
    }
    defaults(service);
    check_spec(service, old)?;
    allocator.assign(service, old)
}

/// Members without content go, as Go's `omitempty` has it.
fn tidy(service: &mut Value) {
    if let Some(spec) = json::at_mut(service, &["spec"]) {
        json::drop_empty_members(spec);
    }
    if let Some(Value::Array(ports)) = json::at_mut(service, &["spec", "ports"]) {
        ports.iter_mut().for_each(json::drop_empty_members);
        for port in ports {
            if port.get("nodePort") == Some(&json!(0)) {
                json::remove(port, &["nodePort"]);
            }
        }
    }
    if json::at(service, &["spec", "healthCheckNodePort"]) == Some(&json!(0)) {
        json::remove(service, &["spec", "healthCheckNodePort"]);
    }
    tidy_status(service);
}

/// The status in the form in which it is stored.
pub fn tidy_status(service: &mut Value) {
    json::default(service, &["status", "loadBalancer"], json!({}));
    if let Some(status) = json::at_mut(service, &["status"])
        && let Some(balancer) = status.get_mut("loadBalancer")
    {
        json::drop_empty_members(balancer);
    }
    if json::list(service, &["status", "conditions"]).is_empty() {
        json::remove(service, &["status", "conditions"]);
    }
    if let Some(Value::Array(entries)) =
        json::at_mut(service, &["status", "loadBalancer", "ingress"])
    {
        for entry in entries {
            json::drop_empty_members(entry);
            if json::text(entry, &["ip"]).is_some() {
                json::default(entry, &["ipMode"], "VIP");
            }
        }
    }
}

/// An update that leaves out what the server has allocated keeps it.
fn keep_allocated(service: &mut Value, old: &Value) {
    let has_cluster_ip = |service: &Value| kind_of(service) != "ExternalName";
    if has_cluster_ip(service) && has_cluster_ip(old) {
        for field in ["clusterIP", "clusterIPs"] {
            if json::at(service, &["spec", field]).is_none() {
                json::copy(old, service, &["spec", field]);
            }
        }
        // A change of only one of the two is carried into the other by `defaults`; of the two,
        // clusterIP is what old clients know, so it wins.
        let first = json::list(service, &["spec", "clusterIPs"]).first().cloned();
        let single = json::at(service, &["spec", "clusterIP"]).cloned();
        if first != single
            && let Some(single) = single
        {
            json::set(service, &["spec", "clusterIPs"], json!([single]));
        }
    }
    for field in ["ipFamilies", "ipFamilyPolicy"] {
        if has_cluster_ip(service) && json::at(service, &["spec", field]).is_none() {
            json::copy(old, service, &["spec", field]);
        }
    }
    if may_have_node_ports(service) && may_have_node_ports(old) {
        let old_ports = json::list(old, &["spec", "ports"]).to_vec();
        if let Some(Value::Array(ports)) = json::at_mut(service, &["spec", "ports"]) {
            for port in ports.iter_mut().filter(|port| port.get("nodePort").is_none()) {
                let same = old_ports.iter().find(|old| port_key(old) == port_key(port));
                if let Some(number) = same.and_then(|old| old.get("nodePort")) {
                    json::set(port, &["nodePort"], number.clone());
                }
            }
        }
    }
    if needs_health_check(service)
        && needs_health_check(old)
        && json::at(service, &["spec", "healthCheckNodePort"]).is_none()
    {
        json::copy(old, service, &["spec", "healthCheckNodePort"]);
    }
}

fn port_key(port: &Value) -> (Option<&Value>, &str) {
    (port.get("port"), json::text(port, &["protocol"]).unwrap_or("TCP"))
}

/// A change of type takes with it what only the old type had, if the client left that alone.
fn drop_what_the_type_has_not(service: &mut Value, old: &Value) {
    let is_unchanged = |service: &Value, field: &str| {
        json::at(service, &["spec", field]) == json::at(old, &["spec", field])
    };
    let mut drop = Vec::new();
    if is_external(old) && !is_external(service) {
        drop.push("externalTrafficPolicy");
    }
    if needs_health_check(old) && !needs_health_check(service) {
        drop.push("healthCheckNodePort");
    }
    if is_load_balancer(old) && !is_load_balancer(service) {
        drop.extend(["allocateLoadBalancerNodePorts", "loadBalancerClass"]);
    }
    if kind_of(old) != "ExternalName" && kind_of(service) == "ExternalName" {
        drop.extend(["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"]);
    }
    for field in drop {
        if is_unchanged(service, field) {
            json::remove(service, &["spec", field]);
        }
    }
    if may_have_node_ports(old) && !may_have_node_ports(service) {
        let old_ports = json::list(old, &["spec", "ports"]).to_vec();
        if let Some(Value::Array(ports)) = json::at_mut(service, &["spec", "ports"]) {
            for port in ports {
                let is_kept =
                    old_ports.iter().any(|old| old.get("nodePort") == port.get("nodePort"));
                if is_kept {
                    json::remove(port, &["nodePort"]);
                }
            }
        }
    }
    // Since 1.27 (gate AllowServiceLBStatusOnNonLB): no ingress outlives the type.
    if is_load_balancer(old) && !is_load_balancer(service) {
        json::set(service, &["status", "loadBalancer"], json!({}));
    }
}

fn defaults(service: &mut Value) {
    json::default(service, &["spec", "type"], "ClusterIP");
    json::default(service, &["spec", "sessionAffinity"], "None");
    if json::text(service, &["spec", "sessionAffinity"]) == Some("ClientIP") {
        let timeout = ["spec", "sessionAffinityConfig", "clientIP", "timeoutSeconds"];
        json::default(service, &timeout, 10_800);
    } else {
        json::remove(service, &["spec", "sessionAffinityConfig"]);
    }
    if kind_of(service) != "ExternalName" {
        json::default(service, &["spec", "internalTrafficPolicy"], "Cluster");
    }
    if is_external(service) {
        json::default(service, &["spec", "externalTrafficPolicy"], "Cluster");
    }
    if is_load_balancer(service) {
        json::default(service, &["spec", "allocateLoadBalancerNodePorts"], true);
    }
    if let Some(Value::Array(ports)) = json::at_mut(service, &["spec", "ports"]) {
        for port in ports {
            json::default(port, &["protocol"], "TCP");
            if let Some(number) = port.get("port").cloned()
                && port.get("targetPort").is_none_or(|target| *target == json!(0))
            {
                json::set(port, &["targetPort"], number);
            }
        }
    }
    let is_headless = json::text(service, &["spec", "clusterIP"]) == Some("None");
    if is_headless && kind_of(service) != "ExternalName" {
        json::default(service, &["spec", "clusterIPs"], json!(["None"]));
    }
}

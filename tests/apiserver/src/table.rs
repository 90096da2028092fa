//! `as=Table`: the columns that `kubectl get` shows, as the real server prints them.

use serde_json::{Value, json};

use crate::json::{at, list, text};
use crate::object::Object;
use crate::resource::{Kind, Resource};
use crate::time::{Timestamp, age};

/// A column's name and its priority: 0 is always shown, 1 with `-o wide`.
type Column = (&'static str, u8);

fn columns(kind: Kind) -> &'static [Column] {
    match kind {
        Kind::Service => &[
            ("Name", 0),
            ("Type", 0),
            ("Cluster-IP", 0),
            ("External-IP", 0),
            ("Port(s)", 0),
            ("Age", 0),
            ("Selector", 1),
        ],
        Kind::Node => &[
            ("Name", 0),
            ("Status", 0),
            ("Roles", 0),
            ("Age", 0),
            ("Version", 0),
            ("Internal-IP", 1),
            ("External-IP", 1),
            ("OS-Image", 1),
            ("Kernel-Version", 1),
            ("Container-Runtime", 1),
        ],
        Kind::EndpointSlice => {
            &[("Name", 0), ("AddressType", 0), ("Ports", 0), ("Endpoints", 0), ("Age", 0)]
        }
        Kind::Event => {
            &[("Last Seen", 0), ("Type", 0), ("Reason", 0), ("Object", 0), ("Message", 0)]
        }
        Kind::Lease => &[("Name", 0), ("Holder", 0), ("Age", 0)],
        Kind::Namespace => &[("Name", 0), ("Status", 0), ("Age", 0)],
        Kind::Endpoints => &[("Name", 0), ("Endpoints", 0), ("Age", 0)],
        Kind::Pod | Kind::ConfigMap | Kind::Secret | Kind::ServiceAccount => {
            &[("Name", 0), ("Age", 0)]
        }
    }
}

/// A table of those objects. Every row carries the object's metadata.
pub fn render<'a>(
    resource: &Resource,
    objects: impl IntoIterator<Item = &'a Object>,
    metadata: &Value,
    now: Timestamp,
) -> Value {
    let definitions: Vec<Value> = columns(resource.kind)
        .iter()
        .map(|(name, priority)| {
            let format = if *name == "Name" { "name" } else { "" };
            json!({"name": name, "type": "string", "format": format,
                "description": "", "priority": priority})
        })
        .collect();
    let rows: Vec<Value> = objects
        .into_iter()
        .map(|object| {
            json!({"cells": cells(resource.kind, object, now), "object": {
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                "metadata": object.value.get("metadata")}})
        })
        .collect();
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": definitions, "rows": rows})
}

fn cells(kind: Kind, object: &Object, now: Timestamp) -> Vec<String> {
    let value = &object.value;
    let name = object.name().to_owned();
    let born = since(text(value, &["metadata", "creationTimestamp"]), now);
    let get = |path: &[&str]| text(value, path).unwrap_or_default().to_owned();
    match kind {
        Kind::Service => {
            let cluster_ip = or_none(get(&["spec", "clusterIP"]));
            let (external, ports) = (external_ips(value), service_ports(value));
            vec![name, get(&["spec", "type"]), cluster_ip, external, ports, born, selector(value)]
        }
        Kind::Node => node(value, name, born),
        Kind::EndpointSlice => {
            let (ports, endpoints) = (slice_ports(value), slice_endpoints(value));
            vec![name, get(&["addressType"]), ports, endpoints, born]
        }
        Kind::Event => {
            let seen = ["lastTimestamp", "eventTime", "firstTimestamp"]
                .into_iter()
                .find_map(|field| text(value, &[field]));
            let kind = get(&["involvedObject", "kind"]).to_lowercase();
            let about = format!("{kind}/{}", get(&["involvedObject", "name"]));
            vec![since(seen, now), get(&["type"]), get(&["reason"]), about, get(&["message"])]
        }
        Kind::Lease => vec![name, get(&["spec", "holderIdentity"]), born],
        Kind::Namespace => vec![name, get(&["status", "phase"]), born],
        Kind::Endpoints => {
            let addresses: Vec<&str> = list(value, &["subsets"])
                .iter()
                .flat_map(|subset| list(subset, &["addresses"]))
                .filter_map(|address| text(address, &["ip"]))
                .collect();
            vec![name, or_none(addresses.join(",")), born]
        }
        Kind::Pod | Kind::ConfigMap | Kind::Secret | Kind::ServiceAccount => vec![name, born],
    }
}

fn since(then: Option<&str>, now: Timestamp) -> String {
    match then.and_then(Timestamp::parse) {
        Some(then) => age(now.seconds().saturating_sub(then.seconds())),
        None => "<unknown>".into(),
    }
}

fn or_none(text: String) -> String {
    if text.is_empty() { "<none>".into() } else { text }
}

fn strings<'a>(value: &'a Value, path: &[&str]) -> Vec<&'a str> {
    list(value, path).iter().filter_map(Value::as_str).collect()
}

/// As `getServiceExternalIP` of kubectl's printers.
fn external_ips(service: &Value) -> String {
    let mut external = strings(service, &["spec", "externalIPs"]);
    match text(service, &["spec", "type"]).unwrap_or_default() {
        "ExternalName" => {
            or_none(text(service, &["spec", "externalName"]).unwrap_or_default().into())
        }
        "LoadBalancer" => {
            let given: Vec<&str> = list(service, &["status", "loadBalancer", "ingress"])
                .iter()
                .filter_map(|entry| text(entry, &["ip"]).or_else(|| text(entry, &["hostname"])))
                .collect();
            external.splice(0..0, given);
            if external.is_empty() { "<pending>".into() } else { external.join(",") }
        }
        _ => or_none(external.join(",")),
    }
}

fn service_ports(service: &Value) -> String {
    let ports: Vec<String> = list(service, &["spec", "ports"])
        .iter()
        .map(|port| {
            let number = at(port, &["port"]).cloned().unwrap_or_default();
            let protocol = text(port, &["protocol"]).unwrap_or("TCP");
            match port.get("nodePort") {
                Some(node_port) => format!("{number}:{node_port}/{protocol}"),
                None => format!("{number}/{protocol}"),
            }
        })
        .collect();
    or_none(ports.join(","))
}

fn selector(service: &Value) -> String {
    let pairs: Vec<String> = at(service, &["spec", "selector"])
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
        .collect();
    or_none(pairs.join(","))
}

fn node(node: &Value, name: String, born: String) -> Vec<String> {
    let ready = list(node, &["status", "conditions"])
        .iter()
        .find(|condition| text(condition, &["type"]) == Some("Ready"))
        .and_then(|condition| text(condition, &["status"]));
    let mut status = match ready {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if at(node, &["spec", "unschedulable"]) == Some(&Value::Bool(true)) {
        status.push_str(",SchedulingDisabled");
    }
    let prefix = "node-role.kubernetes.io/";
    let roles: Vec<&str> = at(node, &["metadata", "labels"])
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(label, _)| label.strip_prefix(prefix))
        .collect();
    let address = |kind: &str| {
        let found = list(node, &["status", "addresses"])
            .iter()
            .find(|address| text(address, &["type"]) == Some(kind));
        or_none(found.and_then(|a| text(a, &["address"])).unwrap_or_default().into())
    };
    let info =
        |field: &str| text(node, &["status", "nodeInfo", field]).unwrap_or_default().to_owned();
    let (internal, external) = (address("InternalIP"), address("ExternalIP"));
    vec![
        name,
        status,
        or_none(roles.join(",")),
        born,
        info("kubeletVersion"),
        internal,
        external,
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

fn slice_ports(slice: &Value) -> String {
    let ports: Vec<String> = list(slice, &["ports"])
        .iter()
        .map(|port| port.get("port").map_or_else(|| "*".into(), ToString::to_string))
        .collect();
    if ports.is_empty() { "<unset>".into() } else { ports.join(",") }
}

fn slice_endpoints(slice: &Value) -> String {
    let all: Vec<&str> = list(slice, &["endpoints"])
        .iter()
        .flat_map(|endpoint| strings(endpoint, &["addresses"]))
        .collect();
    let shown = all.get(..3).filter(|_| all.len() > 3);
    match shown {
        Some(shown) => format!("{} + {} more...", shown.join(","), all.len() - 3),
        None if all.is_empty() => "<unset>".into(),
        None => all.join(","),
    }
}

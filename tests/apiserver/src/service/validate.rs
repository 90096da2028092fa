//! What of a Service the real server refuses: the rules that a load balancer may meet.
//!
//! A selection of `ValidateService`, `ValidateServiceUpdate` and `ValidateLoadBalancerStatus`.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{is_external, is_load_balancer, kind_of, may_have_node_ports, needs_health_check};
use crate::json;
use crate::status::{Cause, Status};

const IP_HINT: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const ONLY_LOAD_BALANCER: &str = "may only be used when `type` is 'LoadBalancer'";
const DNS_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', \
    start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  \
    or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

/// Fields whose JSON type is checked when the object is read; `[]` stands for every item.
const TYPES: [(&[&str], &str); 17] = [
    (&["spec", "type"], "string"),
    (&["spec", "clusterIP"], "string"),
    (&["spec", "loadBalancerClass"], "string"),
    (&["spec", "loadBalancerIP"], "string"),
    (&["spec", "externalTrafficPolicy"], "string"),
    (&["spec", "internalTrafficPolicy"], "string"),
    (&["spec", "sessionAffinity"], "string"),
    (&["spec", "allocateLoadBalancerNodePorts"], "bool"),
    (&["spec", "publishNotReadyAddresses"], "bool"),
    (&["spec", "healthCheckNodePort"], "int32"),
    (&["spec", "externalIPs", "[]"], "string"),
    (&["spec", "loadBalancerSourceRanges", "[]"], "string"),
    (&["spec", "ports", "[]", "name"], "string"),
    (&["spec", "ports", "[]", "protocol"], "string"),
    (&["spec", "ports", "[]", "port"], "int32"),
    (&["spec", "ports", "[]", "nodePort"], "int32"),
    (&["status", "loadBalancer", "ingress", "[]", "ip"], "string"),
];

/// 400 for a field of the wrong JSON type, as Go's decoder gives it.
pub fn check_types(service: &Value) -> Result<(), Status> {
    TYPES.iter().try_for_each(|(path, wanted)| {
        check_type(service, path, wanted).map_err(|found| {
            let field: Vec<&str> = path.iter().copied().filter(|step| *step != "[]").collect();
            Status::bad_request(format!(
                "Service in version \"v1\" cannot be handled as a Service: json: cannot unmarshal \
                 {found} into Go struct field Service.{} of type {wanted}",
                field.join(".")
            ))
        })
    })
}

fn check_type(value: &Value, path: &[&str], wanted: &str) -> Result<(), &'static str> {
    let Some((step, rest)) = path.split_first() else {
        let is_fine = match wanted {
            "string" => value.is_string(),
            "bool" => value.is_boolean(),
            _ => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        };
        return if is_fine { Ok(()) } else { Err(name_of(value)) };
    };
    match (*step, value) {
        ("[]", Value::Array(items)) => {
            items.iter().try_for_each(|item| check_type(item, rest, wanted))
        }
        (_, Value::Object(map)) => {
            map.get(*step).map_or(Ok(()), |member| check_type(member, rest, wanted))
        }
        (_, other) => Err(name_of(other)),
    }
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// 422 for a spec that breaks a rule; `old` is what it replaces.
pub fn check_spec(service: &Value, old: Option<&Value>) -> Result<(), Status> {
    let mut causes = Vec::new();
    let name = json::text(service, &["metadata", "name"]).unwrap_or_default();
    if !is_label(name, false) {
        causes.push(Cause::invalid("metadata.name", &json!(name), DNS_1035));
    }
    check_choices(service, &mut causes);
    check_ports(service, &mut causes);
    check_addresses(service, &mut causes);
    check_type_fields(service, &mut causes);
    if let Some(old) = old {
        check_immutable(service, old, &mut causes);
    }
    finish(name, &causes)
}

/// 422 for a status that breaks a rule.
pub fn check_status(service: &Value) -> Result<(), Status> {
    let name = json::text(service, &["metadata", "name"]).unwrap_or_default();
    let entries = json::list(service, &["status", "loadBalancer", "ingress"]);
    let mut causes = Vec::new();
    if !is_load_balancer(service) && !entries.is_empty() {
        let why = "may only be used when `spec.type` is 'LoadBalancer'";
        causes.push(Cause::forbidden("status.loadBalancer.ingress", why));
        return finish(name, &causes);
    }
    for (n, entry) in entries.iter().enumerate() {
        let field = |name: &str| format!("status.loadBalancer.ingress[{n}].{name}");
        let ip = json::text(entry, &["ip"]);
        if let Some(ip) = ip.filter(|ip| ip.parse::<IpAddr>().is_err()) {
            causes.push(Cause::invalid(field("ip"), &json!(ip), IP_HINT));
        }
        match (ip, json::text(entry, &["ipMode"])) {
            (None, Some(_)) => {
                let why = "may not be specified when `ip` is not set";
                causes.push(Cause::forbidden(field("ipMode"), why));
            }
            (Some(_), Some(mode)) if !matches!(mode, "VIP" | "Proxy") => {
                causes.push(Cause::unsupported(field("ipMode"), &json!(mode), &["Proxy", "VIP"]));
            }
            (_, _) => {}
        }
        let hostname = json::text(entry, &["hostname"]);
        if let Some(hostname) = hostname.filter(|name| !is_subdomain(name)) {
            let why = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
                characters, '-' or '.', and must start and end with an alphanumeric character";
            causes.push(Cause::invalid(field("hostname"), &json!(hostname), why));
        }
    }
    finish(name, &causes)
}

fn finish(name: &str, causes: &[Cause]) -> Result<(), Status> {
    if causes.is_empty() { Ok(()) } else { Err(Status::invalid("", "Service", name, causes)) }
}

/// RFC 1035 label, or RFC 1123 if it may begin with a digit.
pub(crate) fn is_label(text: &str, may_begin_with_digit: bool) -> bool {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let first = text.chars().next();
    let is_first =
        first.is_some_and(|c| c.is_ascii_lowercase() || may_begin_with_digit && c.is_ascii_digit());
    is_first && text.len() <= 63 && text.chars().all(is_inner) && !text.ends_with('-')
}

/// RFC 1123 subdomain.
pub(crate) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(|label| is_label(label, true))
}

fn check_choices(service: &Value, causes: &mut Vec<Cause>) {
    let choices: [(&str, &[&str]); 5] = [
        ("type", &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]),
        ("sessionAffinity", &["ClientIP", "None"]),
        ("externalTrafficPolicy", &["Cluster", "Local"]),
        ("internalTrafficPolicy", &["Cluster", "Local"]),
        ("ipFamilyPolicy", &["PreferDualStack", "RequireDualStack", "SingleStack"]),
    ];
    for (field, supported) in choices {
        if let Some(value) = json::text(service, &["spec", field])
            && !supported.contains(&value)
        {
            causes.push(Cause::unsupported(format!("spec.{field}"), &json!(value), supported));
        }
    }
    let path = ["spec", "sessionAffinityConfig", "clientIP", "timeoutSeconds"];
    if let Some(timeout) = json::at(service, &path)
        && !timeout.as_u64().is_some_and(|seconds| (1..=86_400).contains(&seconds))
    {
        let why = "must be greater than 0 and less than 86400";
        causes.push(Cause::invalid(path.join("."), timeout, why));
    }
}

fn check_ports(service: &Value, causes: &mut Vec<Cause>) {
    let ports = json::list(service, &["spec", "ports"]);
    let is_headless = json::text(service, &["spec", "clusterIP"]) == Some("None");
    if ports.is_empty() && !is_headless && kind_of(service) != "ExternalName" {
        causes.push(Cause::required("spec.ports", ""));
    }
    let in_range = |value: &Value| value.as_u64().is_some_and(|n| (1..=65_535).contains(&n));
    for (n, port) in ports.iter().enumerate() {
        let field = |name: &str| format!("spec.ports[{n}].{name}");
        let range_hint = "must be between 1 and 65535, inclusive";
        match json::text(port, &["name"]) {
            None if ports.len() > 1 => causes.push(Cause::required(field("name"), "")),
            Some(name) if !is_label(name, true) => {
                let why = "a lowercase RFC 1123 label must consist of lower case alphanumeric \
                    characters or '-', and must start and end with an alphanumeric character";
                causes.push(Cause::invalid(field("name"), &json!(name), why));
            }
            None | Some(_) => {}
        }
        let number = port.get("port").cloned().unwrap_or_else(|| json!(0));
        if !in_range(&number) {
            causes.push(Cause::invalid(field("port"), &number, range_hint));
        }
        match port.get("targetPort") {
            Some(Value::String(name)) => {
                let is_fine = name.len() <= 15
                    && is_label(name, true)
                    && name.chars().any(|c| c.is_ascii_lowercase());
                if !is_fine {
                    let why = "must contain at least one letter (a-z), at most 15 characters";
                    causes.push(Cause::invalid(field("targetPort"), &json!(name), why));
                }
            }
            Some(target) if !in_range(target) => {
                causes.push(Cause::invalid(field("targetPort"), target, range_hint));
            }
            Some(_) | None => {}
        }
        let protocol = json::text(port, &["protocol"]).unwrap_or_default();
        if !matches!(protocol, "TCP" | "UDP" | "SCTP") {
            let supported = ["SCTP", "TCP", "UDP"];
            causes.push(Cause::unsupported(field("protocol"), &json!(protocol), &supported));
        }
        if port.get("nodePort").is_some() && !may_have_node_ports(service) {
            let why = format!("may not be used when `type` is '{}'", kind_of(service));
            causes.push(Cause::forbidden(field("nodePort"), &why));
        }
        check_duplicates(ports, n, port, causes);
    }
}

fn check_duplicates(ports: &[Value], n: usize, port: &Value, causes: &mut Vec<Cause>) {
    let mut earlier = ports.iter().take(n);
    let is_same = |other: &Value, field: &str| {
        other.get(field) == port.get(field) && port.get(field).is_some()
    };
    if earlier.clone().any(|other| is_same(other, "name")) {
        let name = port.get("name").cloned().unwrap_or_default();
        causes.push(Cause::duplicate(format!("spec.ports[{n}].name"), &name));
    }
    if earlier.clone().any(|other| is_same(other, "port") && is_same(other, "protocol")) {
        let short = json!({"port": port.get("port"), "protocol": port.get("protocol")});
        causes.push(Cause::duplicate(format!("spec.ports[{n}]"), &short));
    }
    if earlier.any(|other| is_same(other, "nodePort") && is_same(other, "protocol")) {
        let number = port.get("nodePort").cloned().unwrap_or_default();
        causes.push(Cause::duplicate(format!("spec.ports[{n}].nodePort"), &number));
    }
}

fn check_addresses(service: &Value, causes: &mut Vec<Cause>) {
    for (n, value) in json::list(service, &["spec", "externalIPs"]).iter().enumerate() {
        let field = format!("spec.externalIPs[{n}]");
        match value.as_str().unwrap_or_default().parse::<IpAddr>() {
            Err(_) => causes.push(Cause::invalid(field, value, IP_HINT)),
            Ok(ip) if ip.is_unspecified() => {
                let why = format!("may not be unspecified ({ip})");
                causes.push(Cause::invalid(field, value, &why));
            }
            Ok(ip) if ip.is_loopback() => {
                let why = "may not be in the loopback range (127.0.0.0/8, ::1/128)";
                causes.push(Cause::invalid(field, value, why));
            }
            Ok(ip) if ip.is_multicast() => {
                let why = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)";
                causes.push(Cause::invalid(field, value, why));
            }
            Ok(_) => {}
        }
    }
    let ranges = json::list(service, &["spec", "loadBalancerSourceRanges"]);
    if !ranges.is_empty() && !is_load_balancer(service) {
        causes.push(Cause::forbidden("spec.loadBalancerSourceRanges", ONLY_LOAD_BALANCER));
    }
    for (n, value) in ranges.iter().enumerate() {
        if !is_cidr(value.as_str().unwrap_or_default().trim()) {
            let field = format!("spec.loadBalancerSourceRanges[{n}]");
            let why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
            causes.push(Cause::invalid(field, value, why));
        }
    }
}

fn is_cidr(text: &str) -> bool {
    let Some((address, prefix)) = text.split_once('/') else { return false };
    let limit = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    prefix.parse::<u8>().is_ok_and(|prefix| prefix <= limit)
}

fn check_type_fields(service: &Value, causes: &mut Vec<Cause>) {
    let spec = |field: &str| json::at(service, &["spec", field]);
    if !is_load_balancer(service) {
        for field in ["loadBalancerClass", "allocateLoadBalancerNodePorts"] {
            if spec(field).is_some() {
                causes.push(Cause::forbidden(format!("spec.{field}"), ONLY_LOAD_BALANCER));
            }
        }
    }
    if let Some(policy) = spec("externalTrafficPolicy")
        && !is_external(service)
    {
        let why = "may only be set for externally-accessible services";
        causes.push(Cause::invalid("spec.externalTrafficPolicy", policy, why));
    }
    if let Some(port) = spec("healthCheckNodePort")
        && !needs_health_check(service)
    {
        let why =
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        causes.push(Cause::invalid("spec.healthCheckNodePort", port, why));
    }
    if is_load_balancer(service) && spec("clusterIP") == Some(&json!("None")) {
        let why = "may not be set to 'None' for LoadBalancer services";
        causes.push(Cause::invalid("spec.clusterIPs[0]", &json!("None"), why));
    }
    if kind_of(service) == "ExternalName" {
        let name = json::text(service, &["spec", "externalName"]).unwrap_or_default();
        if name.is_empty() {
            causes.push(Cause::required("spec.externalName", ""));
        } else if !is_subdomain(name.trim_end_matches('.')) {
            let why = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
                characters, '-' or '.', and must start and end with an alphanumeric character";
            causes.push(Cause::invalid("spec.externalName", &json!(name), why));
        }
    }
}

fn check_immutable(service: &Value, old: &Value, causes: &mut Vec<Cause>) {
    let pair = |field: &str| (json::at(service, &["spec", field]), json::at(old, &["spec", field]));
    let why = "may not change once set";
    let stays = is_load_balancer(service) && is_load_balancer(old);
    if let (new, was) = pair("loadBalancerClass")
        && stays
        && new != was
    {
        let new = new.cloned().unwrap_or_default();
        causes.push(Cause::invalid("spec.loadBalancerClass", &new, why));
    }
    if let (new, Some(was)) = pair("clusterIP")
        && kind_of(service) != "ExternalName"
        && kind_of(old) != "ExternalName"
        && new != Some(was)
    {
        let new = json!([new]);
        causes.push(Cause::invalid("spec.clusterIPs[0]", &new, why));
    }
    if let (Some(new), Some(was)) = pair("healthCheckNodePort")
        && needs_health_check(service)
        && new != was
    {
        causes.push(Cause::invalid("spec.healthCheckNodePort", new, "field is immutable"));
    }
}

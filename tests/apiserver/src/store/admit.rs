//! What is done to every object before it is stored, and per kind.

use serde_json::{Value, json};

use super::Part;
use crate::event;
use crate::json;
use crate::object::Object;
use crate::resource::{Kind, Resource};
use crate::service::{self, Allocator};
use crate::status::{Cause, Status};

/// Checks `kind` and `apiVersion` and takes them off, with what a client cannot set.
pub(super) fn take_off_type(resource: &Resource, object: &mut Value) -> Result<(), Status> {
    if !object.is_object() {
        return Err(Status::bad_request("couldn't get version/kind; json parse error"));
    }
    let wanted = resource.api_version();
    if let Some(found) = json::text(object, &["apiVersion"])
        && found != wanted
    {
        return Err(Status::bad_request(format!(
            "the API version in the data ({found}) does not match the expected API version ({wanted})"
        )));
    }
    if let Some(found) = json::text(object, &["kind"])
        && found != resource.kind_name
    {
        return Err(Status::bad_request(format!(
            "{found} in version \"{wanted}\" cannot be handled as a {}",
            resource.kind_name
        )));
    }
    if resource.kind == Kind::Event && !resource.group.is_empty() {
        *object = event::to_core(object.take());
    }
    for path in
        [&["kind"][..], &["apiVersion"], &["metadata", "managedFields"], &["metadata", "selfLink"]]
    {
        json::remove(object, path);
    }
    json::drop_nulls(object);
    if object.get("metadata").is_some_and(|metadata| !metadata.is_object()) {
        return Err(wrong_type(resource, "metadata", "ObjectMeta"));
    }
    json::default(object, &["metadata"], json!({}));
    for map in ["labels", "annotations"] {
        let Some(found) = json::at(object, &["metadata", map]) else { continue };
        let is_fine = found.as_object().is_some_and(|map| map.values().all(Value::is_string));
        if !is_fine {
            return Err(wrong_type(resource, &format!("metadata.{map}"), "string"));
        }
    }
    let finalizers = json::at(object, &["metadata", "finalizers"]);
    if finalizers
        .is_some_and(|list| !list.as_array().is_some_and(|l| l.iter().all(Value::is_string)))
    {
        return Err(wrong_type(resource, "metadata.finalizers", "[]string"));
    }
    if let Some(metadata) = json::at_mut(object, &["metadata"]) {
        json::drop_empty_members(metadata);
    }
    Ok(())
}

fn wrong_type(resource: &Resource, field: &str, wanted: &str) -> Status {
    let kind = resource.kind_name;
    Status::bad_request(format!(
        "{kind} in version \"v1\" cannot be handled as a {kind}: json: cannot unmarshal into Go \
         struct field ObjectMeta.{field} of type {wanted}"
    ))
}

/// 422 where the name cannot be one.
pub(super) fn check_name(resource: &Resource, object: &Value) -> Result<(), Status> {
    let name = json::text(object, &["metadata", "name"]).unwrap_or_default();
    let invalid =
        |cause: Cause| Err(Status::invalid(resource.group, resource.kind_name, name, &[cause]));
    if name.is_empty() {
        return invalid(Cause::required("metadata.name", "name or generateName is required"));
    }
    // The rule for services is in `service::check_spec`.
    if resource.kind != Kind::Service && !service::is_subdomain(name) {
        let why = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
            characters, '-' or '.', and must start and end with an alphanumeric character (e.g. \
            'example.com', regex used for validation is \
            '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
        return invalid(Cause::invalid("metadata.name", &json!(name), why));
    }
    Ok(())
}

/// The object sent must be the one that it replaces.
pub(super) fn check_identity(resource: &Resource, old: &Object, new: &Value) -> Result<(), Status> {
    let text = |field: &str| json::text(new, &["metadata", field]).filter(|text| !text.is_empty());
    if let Some(name) = text("name").filter(|name| *name != old.name()) {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            old.name()
        )));
    }
    if text("namespace").is_some_and(|namespace| Some(namespace) != old.namespace()) {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    if let Some(uid) = text("uid").filter(|uid| *uid != old.uid()) {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            old.uid()
        );
        return Err(Status::conflict_because(resource, old.name(), &why));
    }
    match text("resourceVersion") {
        Some(version) if version != "0" && version != old.version.to_string() => {
            Err(Status::conflict(resource, old.name()))
        }
        Some(_) | None => Ok(()),
    }
}

/// What a client cannot change.
pub(super) fn keep_metadata(old: &Object, new: &mut Value) {
    for field in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "generateName",
    ] {
        json::copy(&old.value, new, &["metadata", field]);
    }
}

/// A terminating object gets no new finalizers.
pub(super) fn check_finalizers(
    resource: &Resource,
    old: &Object,
    new: &Value,
) -> Result<(), Status> {
    let path = ["metadata", "finalizers"];
    let before = json::list(&old.value, &path);
    let added: Vec<String> = json::list(new, &path)
        .iter()
        .filter(|finalizer| !before.contains(finalizer))
        .map(ToString::to_string)
        .collect();
    if added.is_empty() || !old.is_terminating() {
        return Ok(());
    }
    let why = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        added.join(", ")
    );
    let cause = Cause::forbidden("metadata.finalizers", &why);
    Err(Status::invalid(resource.group, resource.kind_name, old.name(), &[cause]))
}

/// A change of anything but metadata counts.
pub(super) fn count_generation(old: &Value, new: &mut Value) {
    let without = |value: &Value| {
        let mut value = value.clone();
        json::remove(&mut value, &["metadata"]);
        json::remove(&mut value, &["status"]);
        value
    };
    if without(old) != without(new) {
        let path = ["metadata", "generation"];
        let generation = json::at(old, &path).and_then(Value::as_u64).unwrap_or(1);
        json::set(new, &path, (generation + 1).into());
    }
}

/// The rules of the kind for a new object.
pub(super) fn create(
    resource: &Resource,
    object: &mut Value,
    allocator: &mut Allocator,
) -> Result<(), Status> {
    match resource.kind {
        Kind::Service => {
            json::set(object, &["status"], json!({"loadBalancer": {}}));
            service::admit(object, None, allocator)
        }
        Kind::Namespace => {
            json::default(object, &["spec", "finalizers"], json!(["kubernetes"]));
            json::set(object, &["status"], json!({"phase": "Active"}));
            Ok(())
        }
        Kind::Pod => {
            json::default(object, &["status", "phase"], "Pending");
            Ok(())
        }
        Kind::EndpointSlice | Kind::Node | Kind::Event => shape(resource, None, object),
        Kind::ConfigMap | Kind::Endpoints | Kind::Lease | Kind::Secret | Kind::ServiceAccount => {
            Ok(())
        }
    }
}

/// The rules of the kind for a changed object.
pub(super) fn change(
    resource: &Resource,
    part: Part,
    old: &Value,
    new: &mut Value,
    allocator: &mut Allocator,
) -> Result<(), Status> {
    match (resource.kind, part) {
        (Kind::Service, Part::Main) => service::admit(new, Some(old), allocator),
        (Kind::Service, Part::Status) => {
            service::check_types(new)?;
            service::tidy_status(new);
            service::check_status(new)
        }
        (Kind::EndpointSlice | Kind::Node | Kind::Event, _) => shape(resource, Some(old), new),
        (
            Kind::ConfigMap
            | Kind::Endpoints
            | Kind::Lease
            | Kind::Namespace
            | Kind::Pod
            | Kind::Secret
            | Kind::ServiceAccount,
            _,
        ) => Ok(()),
    }
}

/// Members that are always there, and what a slice must not be.
fn shape(resource: &Resource, old: Option<&Value>, object: &mut Value) -> Result<(), Status> {
    match resource.kind {
        Kind::Event => event::defaults(object),
        Kind::Node => {
            json::default(object, &["spec"], json!({}));
            let zero = Value::Object(resource.zero());
            for member in ["daemonEndpoints", "nodeInfo"] {
                if let Some(empty) = json::at(&zero, &["status", member]) {
                    json::default(object, &["status", member], empty.clone());
                }
            }
        }
        Kind::EndpointSlice => {
            slice_defaults(object);
            let causes = slice_causes(old, object);
            if !causes.is_empty() {
                let name = json::text(object, &["metadata", "name"]).unwrap_or_default();
                return Err(Status::invalid(resource.group, resource.kind_name, name, &causes));
            }
        }
        Kind::ConfigMap
        | Kind::Endpoints
        | Kind::Lease
        | Kind::Namespace
        | Kind::Pod
        | Kind::Secret
        | Kind::Service
        | Kind::ServiceAccount => {}
    }
    Ok(())
}

/// Go writes `endpoints` and `ports` even when they are nil, and `conditions` of every endpoint.
fn slice_defaults(slice: &mut Value) {
    for list in ["endpoints", "ports"] {
        if json::list(slice, &[list]).is_empty() {
            json::set(slice, &[list], Value::Null);
        }
    }
    if let Some(Value::Array(endpoints)) = slice.get_mut("endpoints") {
        for endpoint in endpoints {
            json::default(endpoint, &["conditions"], json!({}));
        }
    }
    if let Some(Value::Array(ports)) = slice.get_mut("ports") {
        for port in ports {
            json::default(port, &["name"], "");
            json::default(port, &["protocol"], "TCP");
        }
    }
}

fn slice_causes(old: Option<&Value>, slice: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let family = json::text(slice, &["addressType"]).unwrap_or_default();
    if family.is_empty() {
        causes.push(Cause::required("addressType", ""));
    } else if !matches!(family, "IPv4" | "IPv6" | "FQDN") {
        let supported = ["FQDN", "IPv4", "IPv6"];
        causes.push(Cause::unsupported("addressType", &json!(family), &supported));
    }
    if old.is_some_and(|old| json::text(old, &["addressType"]) != Some(family)) {
        causes.push(Cause::invalid("addressType", &json!(family), "field is immutable"));
    }
    let endpoints = json::list(slice, &["endpoints"]);
    if endpoints.len() > 1000 {
        let message = format!("Too many: {}: must have at most 1000 items", endpoints.len());
        causes.push(Cause { reason: "FieldValueTooMany", field: "endpoints".into(), message });
    }
    for (n, endpoint) in endpoints.iter().enumerate() {
        let addresses = json::list(endpoint, &["addresses"]);
        if addresses.is_empty() {
            let why = "must contain at least 1 address";
            causes.push(Cause::required(format!("endpoints[{n}].addresses"), why));
        }
        for (m, address) in addresses.iter().enumerate() {
            let text = address.as_str().unwrap_or_default();
            let is_fine = match family {
                "IPv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
                "IPv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
                _ => true,
            };
            if !is_fine {
                let field = format!("endpoints[{n}].addresses[{m}]");
                let why = format!("must be a valid {family} address");
                causes.push(Cause::invalid(field, address, &why));
            }
        }
    }
    causes
}

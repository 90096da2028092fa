//! What clients ask before they ask for objects: versions, groups, resources, schemas, health.

use serde_json::{Value, json};

use crate::resource::RESOURCES;

/// A document that does not depend on what is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    Json(Value),
    Text(&'static str),
    /// An OpenAPI v2 schema in protobuf: the empty message, which is valid and describes nothing.
    EmptyProtobuf,
}

/// The document at that path, if there is one.
pub fn document(path: &str) -> Option<Document> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        ["version"] => Some(Document::Json(version())),
        ["healthz" | "livez" | "readyz", ..] => Some(Document::Text("ok")),
        ["api"] => Some(Document::Json(json!({"kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": []}))),
        ["apis"] => {
            let groups: Vec<Value> = group_names().map(group).collect();
            Some(Document::Json(
                json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}),
            ))
        }
        ["api", "v1"] => Some(Document::Json(resources("", "v1"))),
        ["apis", name] => group_names().find(|group| group == name).map(|name| {
            let mut document = group(name);
            crate::json::set(&mut document, &["kind"], "APIGroup".into());
            crate::json::set(&mut document, &["apiVersion"], "v1".into());
            Document::Json(document)
        }),
        ["apis", name, "v1"] => group_names()
            .find(|group| group == name)
            .map(|name| Document::Json(resources(name, &format!("{name}/v1")))),
        ["openapi", "v2"] => Some(Document::EmptyProtobuf),
        ["openapi", "v3"] => Some(Document::Json(json!({"paths": {}}))),
        _ => None,
    }
}

fn version() -> Value {
    json!({"major": "1", "minor": "36", "gitVersion": "v1.36.2+spillway-tests",
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "2026-08-21T11:29:11Z",
        "goVersion": "none", "compiler": "rustc", "platform": "linux/amd64"})
}

fn group_names() -> impl Iterator<Item = &'static str> {
    ["coordination.k8s.io", "discovery.k8s.io", "events.k8s.io"].into_iter()
}

fn group(name: &str) -> Value {
    let version = json!({"groupVersion": format!("{name}/v1"), "version": "v1"});
    json!({"name": name, "versions": [version.clone()], "preferredVersion": version})
}

fn resources(group: &str, group_version: &str) -> Value {
    let resources: Vec<Value> = RESOURCES
        .iter()
        .filter(|resource| resource.group == group)
        .flat_map(crate::resource::Resource::discovery)
        .collect();
    let mut list = json!({"kind": "APIResourceList", "groupVersion": group_version,
        "resources": resources});
    if !group.is_empty() {
        crate::json::set(&mut list, &["apiVersion"], "v1".into());
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resource_is_found_in_the_documents_that_discovery_starts_from() {
        for resource in &RESOURCES {
            let path = match resource.group {
                "" => "/api/v1".to_owned(),
                group => format!("/apis/{group}/v1"),
            };
            let Some(Document::Json(list)) = document(&path) else { panic!("{path} is missing") };
            let names: Vec<&str> = crate::json::list(&list, &["resources"])
                .iter()
                .filter_map(|entry| entry["name"].as_str())
                .collect();
            assert!(names.contains(&resource.plural), "{} is not in {path}", resource.plural);
        }
    }
}

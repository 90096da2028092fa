//! The manifests in `config/kubernetes/`: whole, least-privileged, and of one mind with the settings.

mod node;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;
use spillway_cluster::Span;
use spillway_control::settings::KubernetesSettings;

use crate::shipped::shipped;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/kubernetes")
}

fn documents(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn yaml_in(directory: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|extension| extension == "yaml")).collect()
}

/// The text at a JSON pointer.
fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn texts<'v>(value: &'v Value, pointer: &str) -> Vec<&'v str> {
    let list =
        value.pointer(pointer).and_then(Value::as_array).unwrap_or_else(|| panic!("{value}"));
    list.iter().map(|item| item.as_str().unwrap()).collect()
}

fn rbac(kind: &str) -> Value {
    let all = documents(&directory().join("rbac.yaml"));
    let mut found = all.into_iter().filter(|document| text(document, "/kind") == kind);
    let one = found.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(found.next().is_none(), "two of {kind}");
    one
}

/// `group/resource verb`, with the name that it is bound to, if it is.
fn grants(role: &Value) -> BTreeSet<String> {
    let mut grants = BTreeSet::new();
    for rule in role.pointer("/rules").and_then(Value::as_array).unwrap() {
        let names = if rule.get("resourceNames").is_some() {
            format!(" {}", texts(rule, "/resourceNames").join(","))
        } else {
            String::new()
        };
        for group in texts(rule, "/apiGroups") {
            for resource in texts(rule, "/resources") {
                for verb in texts(rule, "/verbs") {
                    grants.insert(format!("{group}/{resource} {verb}{names}"));
                }
            }
        }
    }
    grants
}

fn set(lines: &[&str]) -> BTreeSet<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

fn example_settings() -> KubernetesSettings {
    shipped("kubernetes.toml").kubernetes.unwrap()
}

#[test]
fn every_manifest_is_yaml_and_every_document_in_it_an_object() {
    let mut files = yaml_in(&directory());
    files.extend(yaml_in(&directory().join("examples")));
    assert!(files.len() >= 9, "{files:?}");
    for file in files {
        let documents = documents(&file);
        assert!(!documents.is_empty(), "{}", file.display());
        for document in documents {
            for pointer in ["/apiVersion", "/kind", "/metadata/name"] {
                let found = text(&document, pointer);
                assert!(!found.is_empty(), "{}: no {pointer}", file.display());
            }
        }
    }
}

#[test]
fn the_account_may_read_what_is_served_and_write_what_it_serves_and_nothing_else() {
    let expected = set(&[
        "/services get",
        "/services list",
        "/services watch",
        "/services patch",
        "/services/status patch",
        "/nodes get",
        "/nodes list",
        "/nodes watch",
        "discovery.k8s.io/endpointslices get",
        "discovery.k8s.io/endpointslices list",
        "discovery.k8s.io/endpointslices watch",
        "/events create",
        "/events patch",
        "events.k8s.io/events create",
        "events.k8s.io/events patch",
    ]);
    assert_eq!(grants(&rbac("ClusterRole")), expected);
}

#[test]
fn the_account_may_hold_the_lease_of_the_settings_and_no_other() {
    let settings = example_settings();
    let role = rbac("Role");
    assert_eq!(text(&role, "/metadata/namespace"), settings.lease_namespace);
    let name = settings.lease_name;
    let mut expected = set(&["coordination.k8s.io/leases create"]);
    expected.extend(
        ["get", "list", "watch", "update", "patch"]
            .map(|verb| format!("coordination.k8s.io/leases {verb} {name}")),
    );
    assert_eq!(grants(&role), expected);
}

#[test]
fn no_rule_has_a_wildcard() {
    for file in ["rbac.yaml", "spillway-node.yaml"] {
        let text = std::fs::read_to_string(directory().join(file)).unwrap();
        let rules = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        assert_eq!(rules.filter(|line| line.contains('*')).count(), 0, "{file}");
    }
}

#[test]
fn the_bindings_and_the_token_name_the_account_and_its_roles() {
    let account = rbac("ServiceAccount");
    for (binding, role) in [("ClusterRoleBinding", "ClusterRole"), ("RoleBinding", "Role")] {
        let (binding, role_object) = (rbac(binding), rbac(role));
        assert_eq!(text(&binding, "/roleRef/kind"), role);
        assert_eq!(text(&binding, "/roleRef/name"), text(&role_object, "/metadata/name"));
        assert_eq!(text(&binding, "/subjects/0/kind"), "ServiceAccount");
        for key in ["name", "namespace"] {
            let (subject, metadata) = (format!("/subjects/0/{key}"), format!("/metadata/{key}"));
            assert_eq!(text(&binding, &subject), text(&account, &metadata));
        }
    }
    let token = documents(&directory().join("token.yaml"));
    let [token] = token.as_slice() else { panic!("{token:?}") };
    let of = "/metadata/annotations/kubernetes.io~1service-account.name";
    assert_eq!(text(token, of), text(&account, "/metadata/name"));
    assert_eq!(text(token, "/metadata/namespace"), text(&account, "/metadata/namespace"));
    assert_eq!(text(token, "/type"), "kubernetes.io/service-account-token");
}

fn holds(span: Span, address: IpAddr) -> bool {
    match span {
        Span::Prefix(net) => net.contains(&address),
        Span::Range { first, last } => (first..=last).contains(&address),
    }
}

#[test]
fn the_example_services_ask_for_what_the_example_settings_have() {
    let settings = example_settings();
    let mut asked = BTreeSet::new();
    for file in yaml_in(&directory().join("examples")) {
        for service in documents(&file) {
            let file = file.display();
            assert_eq!(text(&service, "/kind"), "Service", "{file}");
            assert_eq!(text(&service, "/spec/type"), "LoadBalancer", "{file}");
            let class = text(&service, "/spec/loadBalancerClass");
            assert!(class.is_empty() || class == settings.policy.class, "{file}: {class}");
            let annotations = service.pointer("/metadata/annotations").and_then(Value::as_object);
            for (key, value) in annotations.into_iter().flatten() {
                let value = value.as_str().unwrap();
                match key.as_str() {
                    "metallb.io/address-pool" => {
                        assert!(settings.pools.iter().any(|pool| pool.name == value), "{file}");
                    }
                    "spillway.io/addresses" | "metallb.io/loadBalancerIPs" => {
                        let address = value.parse().unwrap();
                        let mut spans = settings.pools.iter().flat_map(|pool| &pool.spans);
                        assert!(spans.any(|span| holds(*span, address)), "{file}: {value}");
                    }
                    "spillway.io/scheduler" => assert!(["random", "maglev"].contains(&value)),
                    "spillway.io/sharing-key" | "metallb.io/allow-shared-ip" => {}
                    other => panic!("{file}: {other}"),
                }
                asked.insert(key.clone());
            }
        }
    }
    assert_eq!(asked.len(), 6, "{asked:?}");
}

//! The DaemonSet of the companion, and its unit.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use spillway_cluster::Access;
use spillway_control::settings::{Sources, node};

use super::{directory, documents, grants, set, text, texts};
use crate::folder::{Folder, pairs};

fn one(kind: &str) -> Value {
    let all = documents(&directory().join("spillway-node.yaml"));
    let mut found = all.into_iter().filter(|document| text(document, "/kind") == kind);
    let one = found.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(found.next().is_none(), "two of {kind}");
    one
}

fn container() -> Value {
    let set = one("DaemonSet");
    let all = set.pointer("/spec/template/spec/containers").and_then(Value::as_array).unwrap();
    let [container] = all.as_slice() else { panic!("{all:?}") };
    container.clone()
}

fn unit() -> String {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/systemd/spillway-node.service");
    std::fs::read_to_string(file).unwrap()
}

#[test]
fn the_account_of_a_node_may_read_three_kinds_and_write_nothing() {
    let expected = set(&[
        "/services get",
        "/services list",
        "/services watch",
        "/nodes get",
        "/nodes list",
        "/nodes watch",
        "discovery.k8s.io/endpointslices get",
        "discovery.k8s.io/endpointslices list",
        "discovery.k8s.io/endpointslices watch",
    ]);
    assert_eq!(grants(&one("ClusterRole")), expected);
    let binding = one("ClusterRoleBinding");
    assert_eq!(text(&binding, "/roleRef/name"), text(&one("ClusterRole"), "/metadata/name"));
    let account = one("ServiceAccount");
    assert_eq!(text(&binding, "/subjects/0/name"), text(&account, "/metadata/name"));
    let pod = one("DaemonSet");
    assert_eq!(
        text(&pod, "/spec/template/spec/serviceAccountName"),
        text(&account, "/metadata/name")
    );
}

#[test]
fn its_configuration_is_read_without_a_mistake_and_named_after_the_node() {
    let config = one("ConfigMap");
    let folder = Folder::with(text(&config, "/data/node.toml"));
    let env = pairs(&[("SPILLWAY__NAME", "worker-7.example")]);
    let settings = node::load(&Sources { env, ..folder.sources() }, "pod-xyz");
    let settings = settings.unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(settings.policy.node, "worker-7.example");
    assert_eq!(settings.kubernetes.unwrap().access, Access::InCluster);
    let env = container();
    let env = env["env"].as_array().unwrap();
    let name = env.iter().find(|it| it["name"] == "SPILLWAY__NAME").unwrap();
    assert_eq!(text(name, "/valueFrom/fieldRef/fieldPath"), "spec.nodeName");
    // What is commented out in it can be taken in as it stands.
    let text =
        text(&config, "/data/node.toml").replace("# [", "[").replace("# prefixes", "prefixes");
    let text = text.replace("# listen", "listen");
    let settings = node::load(&Folder::with(&text).sources(), "n");
    let settings = settings.unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert!(settings.refuse_unowned && settings.health.is_none());
}

#[test]
fn every_path_of_the_settings_is_mounted_and_nothing_else_can_be_written() {
    let container = container();
    let settings = super::super::node::good("[kubernetes]\nin_cluster = true");
    let mounts = container["volumeMounts"].as_array().unwrap();
    let is_writable = |path: &Path| {
        let under = mounts.iter().filter(|mount| path.starts_with(text(mount, "/mountPath")));
        let mount = under.max_by_key(|mount| text(mount, "/mountPath").len());
        let mount = mount.unwrap_or_else(|| panic!("{} is nowhere", path.display()));
        mount.get("readOnly").is_none()
    };
    assert!(is_writable(&settings.datapath.pins));
    assert!(is_writable(&settings.state_dir));
    assert!(is_writable(&settings.kubernetes.unwrap().cache.unwrap()));
    assert!(!is_writable(&settings.datapath.cgroup));
    assert!(!is_writable(Path::new("/etc/spillway/node.toml")));
    assert_eq!(container.pointer("/securityContext/readOnlyRootFilesystem"), Some(&true.into()));
    let pod = one("DaemonSet");
    let volumes = pod.pointer("/spec/template/spec/volumes").and_then(Value::as_array).unwrap();
    let names = |list: &[Value]| -> BTreeSet<String> {
        list.iter().map(|it| text(it, "/name").to_owned()).collect()
    };
    assert_eq!(names(volumes), names(mounts));
}

#[test]
fn the_probes_ask_what_the_agent_answers() {
    let container = container();
    let settings = super::super::node::good("[kubernetes]\nin_cluster = true");
    let port = settings.health.unwrap().port();
    for (probe, path) in [("livenessProbe", "/livez"), ("readinessProbe", "/healthz")] {
        let get = &container[probe]["httpGet"];
        assert_eq!((get["port"].as_u64(), text(get, "/path")), (Some(port.into()), path));
    }
}

#[test]
fn pod_and_unit_have_the_same_five_capabilities_and_no_more() {
    let container = container();
    let context = &container["securityContext"];
    assert_eq!(context["privileged"], false);
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(texts(context, "/capabilities/drop"), ["ALL"]);
    let added = texts(context, "/capabilities/add");
    assert_eq!(added, ["BPF", "NET_ADMIN", "PERFMON", "SYS_ADMIN", "SYS_RESOURCE"]);
    let unit = unit();
    let line = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).unwrap();
    let bounded: Vec<&str> = line.split(' ').map(|it| it.trim_start_matches("CAP_")).collect();
    assert_eq!(bounded, added);
    let pod = one("DaemonSet");
    let spec = pod.pointer("/spec/template/spec").unwrap();
    assert_eq!((&spec["hostNetwork"], &spec["hostPID"]), (&true.into(), &Value::Null));
    assert_eq!(spec["priorityClassName"], "system-node-critical");
}

#[test]
fn the_unit_keeps_state_where_the_settings_have_it_and_can_write_the_pins() {
    let unit = unit();
    let settings = super::super::node::good("[kubernetes]\nin_cluster = true");
    let has = |line: &str| assert!(unit.lines().any(|it| it == line), "{line}");
    has("StateDirectory=spillway-node");
    has("RuntimeDirectory=spillway-node");
    assert_eq!(settings.state_dir, Path::new("/run/spillway-node"));
    let cache = settings.kubernetes.unwrap().cache.unwrap();
    assert!(cache.starts_with("/var/lib/spillway-node"));
    has("ReadWritePaths=/sys/fs/bpf");
    assert!(settings.datapath.pins.starts_with("/sys/fs/bpf"));
}

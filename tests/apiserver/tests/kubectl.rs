//! kubectl against this server: a client that reads everything and forgives little.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what helps a test fails as the test does"
)]

mod common;

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Served, run, service};
use serde_json::{Value, json};

/// `$KUBECTL`, or the one in the path.
struct Kubectl {
    program: PathBuf,
    config: PathBuf,
}

impl Kubectl {
    fn new(served: &Served) -> Self {
        let program = std::env::var_os("KUBECTL").unwrap_or_else(|| "kubectl".into()).into();
        Self { program, config: served.kubeconfig("admin") }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.env("HOME", self.config.parent().unwrap()).arg("--kubeconfig").arg(&self.config);
        command.args(arguments);
        command
    }

    fn try_run(&self, arguments: &[&str]) -> (String, bool) {
        let is_there = Command::new(&self.program).arg("version").arg("--client").output().is_ok();
        assert!(is_there, "kubectl is missing: apt-get install kubernetes-client");
        run(&mut self.command(arguments), Duration::from_mins(1))
    }

    fn run(&self, arguments: &[&str]) -> String {
        let (output, is_fine) = self.try_run(arguments);
        assert!(is_fine, "kubectl {arguments:?} failed:\n{output}");
        output
    }

    fn write(&self, name: &str, object: &Value) -> String {
        let path = self.config.with_file_name(name);
        std::fs::write(&path, object.to_string()).unwrap();
        path.display().to_string()
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_lives_its_whole_life_by_kubectl() {
    let served = Served::start("kubectl-life").await;
    let kubectl = Kubectl::new(&served);
    let file = kubectl.write("web.json", &service("web"));

    let created = kubectl.run(&["create", "-f", &file]);
    assert!(created.contains("service/web created"), "{created}");
    let (refused, is_fine) = kubectl.try_run(&["create", "-f", &file]);
    assert!(!is_fine && refused.contains("AlreadyExists"), "{refused}");

    let listed = kubectl.run(&["get", "svc", "web"]);
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(words(lines[0]), ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"]);
    let row = words(lines[1]);
    assert_eq!((row[0], row[1], row[3]), ("web", "LoadBalancer", "<pending>"));
    assert!(row[2].starts_with("10.96.") && row[4].starts_with("80:3") && row[4].ends_with("/TCP"));

    let patch = json!({"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}}});
    let place =
        spillway_apiserver::request::Place::parse("/api/v1/namespaces/default/services/web")
            .unwrap();
    let key = spillway_apiserver::object::Key::new(Some("default"), "web");
    let part = spillway_apiserver::store::Part::Status;
    let format = spillway_apiserver::patch::Format::Merge;
    let patched =
        served.server.edit(|store, _| store.patch(place.resource, part, &key, (format, &patch)));
    patched.unwrap();
    let wide = kubectl.run(&["get", "svc", "-o", "wide"]);
    let row = wide.lines().find(|line| line.starts_with("web")).unwrap();
    assert_eq!((words(row)[3], words(row)[6]), ("203.0.113.7", "app=web"));

    let as_json: Value =
        serde_json::from_str(&kubectl.run(&["get", "svc", "web", "-o", "json"])).unwrap();
    assert_eq!(
        as_json["status"]["loadBalancer"]["ingress"],
        json!([{"ip": "203.0.113.7", "ipMode": "VIP"}])
    );
    assert!(kubectl.run(&["get", "svc", "web", "-o", "yaml"]).contains("type: LoadBalancer"));
    let by_path = kubectl.run(&["get", "svc", "web", "-o", "jsonpath={.spec.ports[0].port}"]);
    assert_eq!(by_path, "80");

    kubectl.run(&["label", "svc", "web", "tier=front"]);
    kubectl.run(&["annotate", "svc", "web", "example.com/pool=blue"]);
    let selected = kubectl.run(&["get", "svc", "-l", "tier=front", "-o", "name"]);
    assert_eq!(selected.trim(), "service/web");
    kubectl.run(&["patch", "svc", "web", "-p", r#"{"spec":{"externalTrafficPolicy":"Local"}}"#]);
    kubectl.run(&[
        "patch",
        "svc",
        "web",
        "--type=merge",
        "-p",
        r#"{"spec":{"sessionAffinity":"ClientIP"}}"#,
    ]);
    let json_patch = r#"[{"op":"replace","path":"/spec/ports/0/targetPort","value":9090}]"#;
    kubectl.run(&["patch", "svc", "web", "--type=json", "-p", json_patch]);
    let service: Value =
        serde_json::from_str(&kubectl.run(&["get", "svc", "web", "-o", "json"])).unwrap();
    assert!(service["spec"]["healthCheckNodePort"].as_u64().is_some_and(|port| port >= 30_000));
    assert_eq!(service["spec"]["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"], 10_800);
    assert_eq!(service["spec"]["ports"][0]["targetPort"], 9090);

    let deleted = kubectl.run(&["delete", "svc", "web"]);
    assert!(deleted.contains("\"web\" deleted"), "{deleted}");
    let (missing, is_fine) = kubectl.try_run(&["get", "svc", "web"]);
    assert!(!is_fine && missing.contains("NotFound"), "{missing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn apply_creates_then_changes_nothing_then_changes_what_changed() {
    let served = Served::start("kubectl-apply").await;
    let kubectl = Kubectl::new(&served);
    let mut object = service("web");
    let file = kubectl.write("web.json", &object);
    assert!(kubectl.run(&["apply", "-f", &file]).contains("created"));
    assert!(kubectl.run(&["apply", "-f", &file]).contains("unchanged"));
    object["spec"]["ports"][0]["port"] = 8080.into();
    object["spec"]["ports"].as_array_mut().unwrap().push(json!({"name": "tls", "port": 443}));
    kubectl.write("web.json", &object);
    assert!(kubectl.run(&["apply", "-f", &file]).contains("configured"));
    let ports = kubectl.run(&["get", "svc", "web", "-o", "jsonpath={.spec.ports[*].port}"]);
    assert_eq!(ports, "8080 443");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_breaks_a_rule_is_refused_with_the_rule() {
    let served = Served::start("kubectl-refused").await;
    let kubectl = Kubectl::new(&served);
    let mut object = service("web");
    object["spec"]["ports"][0]["port"] = 70_000.into();
    let file = kubectl.write("bad.json", &object);
    let (refused, is_fine) = kubectl.try_run(&["create", "--validate=false", "-f", &file]);
    let rule = "spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive";
    assert!(!is_fine && refused.contains(rule), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn describe_and_events_show_what_happened_to_a_service() {
    let served = Served::start("kubectl-describe").await;
    let kubectl = Kubectl::new(&served);
    served.server.load(&service("web")).unwrap();
    // kubectl looks for events of this very object: one without its uid is not shown.
    let uid = kubectl.run(&["get", "svc", "web", "-o", "jsonpath={.metadata.uid}"]);
    let event = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event",
        "metadata": {"name": "web.1", "namespace": "default"},
        "eventTime": "2026-11-21T03:17:01.760000Z", "reportingController": "spillway.io/lb",
        "reportingInstance": "box-1", "action": "Sync", "reason": "EnsuredLoadBalancer",
        "regarding": {"kind": "Service", "namespace": "default", "name": "web", "uid": uid},
        "note": "203.0.113.7 is served", "type": "Normal"});
    served.server.load(&event).unwrap();
    let described = kubectl.run(&["describe", "svc", "web"]);
    for expected in ["LoadBalancer", "app=web", "8080/TCP", "EnsuredLoadBalancer"] {
        assert!(described.contains(expected), "{expected} is not in:\n{described}");
    }
    let events = kubectl.run(&["get", "events"]);
    assert!(events.contains("203.0.113.7 is served") && events.contains("service/web"), "{events}");
    assert!(kubectl.run(&["get", "endpointslices,leases,nodes,ns"]).contains("kube-system"));
}

#[tokio::test(flavor = "multi_thread")]
async fn get_with_watch_prints_a_line_per_change() {
    let served = Served::start("kubectl-watch").await;
    let kubectl = Kubectl::new(&served);
    let mut command = kubectl.command(&["get", "svc", "-w"]);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .expect("kubectl is missing: apt-get install kubernetes-client");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut until = move |start: &str| lines.find(|line| line.starts_with(start)).unwrap();
    until("kubernetes");
    served.server.load(&service("web")).unwrap();
    assert!(until("web").contains("<pending>"));
    let mut object = service("other");
    object["status"] = json!({"loadBalancer": {"ingress": [{"hostname": "lb.example.com"}]}});
    served.server.load(&object).unwrap();
    assert!(until("other").contains("<pending>"));
    assert!(until("other").contains("lb.example.com"));
    child.kill().unwrap();
    child.wait().unwrap();
}

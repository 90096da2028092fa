//! The requests that a real server was recorded with, put to this one: same code, same words.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what helps a test fails as the test does"
)]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::recorded;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use serde_json::{Value, json};
use spillway_apiserver::auth::{Denial, Identity};
use spillway_apiserver::replay::Replay;
use spillway_apiserver::{ApiServer, Options};
use tower::Service as _;

const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

struct Ask<'a> {
    method: &'a str,
    url: &'a str,
    content_type: &'a str,
    body: Value,
    user: Option<&'a str>,
    token: Option<&'a str>,
}

impl<'a> Ask<'a> {
    fn new(method: &'a str, url: &'a str) -> Self {
        let content_type = "application/json";
        Self { method, url, content_type, body: Value::Null, user: Some("admin"), token: None }
    }

    fn get(url: &'a str) -> Self {
        Self::new("GET", url)
    }

    fn body(self, content_type: &'a str, body: Value) -> Self {
        Self { content_type, body, ..self }
    }

    async fn send(self, server: &ApiServer) -> (u16, String) {
        let body = if self.body.is_null() { String::new() } else { self.body.to_string() };
        let mut request = Request::builder().method(self.method).uri(self.url);
        request = request.header(header::CONTENT_TYPE, self.content_type);
        if let Some(token) = self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let mut connection = server.connect(self.user.map(Identity::new));
        let response = connection.call(request).await.unwrap();
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (code, String::from_utf8(bytes.to_vec()).unwrap())
    }
}

fn service(name: &str, kind: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {"type": kind, "selector": {"app": name}, "ports": [{"name": "x", "port": 80}]}})
}

/// The server as it was when the errors were recorded: s0 to s29, and `bad` of type LoadBalancer.
fn crowded() -> ApiServer {
    let server = ApiServer::default();
    for n in 0..30 {
        server.load(&service(&format!("s{n}"), "ClusterIP")).unwrap();
    }
    server
}

fn recording(file: &str) -> (u16, Value) {
    let index = std::fs::read_to_string(recorded("errors/index.jsonl")).unwrap();
    let entry = index
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|entry| entry["file"] == file)
        .unwrap_or_else(|| panic!("{file} is not in the index"));
    let text = std::fs::read_to_string(recorded("errors").join(file)).unwrap();
    let code = u16::try_from(entry["status"].as_u64().unwrap()).unwrap();
    (code, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

async fn same(server: &ApiServer, file: &str, ask: Ask<'_>) {
    let (code, text) = ask.send(server).await;
    let ours = serde_json::from_str(&text).unwrap_or(Value::String(text));
    assert_eq!((code, ours), recording(file), "{file}");
}

#[tokio::test]
async fn refusals_are_those_of_the_real_server() {
    let server = crowded();
    let kube_proxy = Denial {
        user: Some("system:kube-proxy".into()),
        resource: Some("secrets".into()),
        ..Denial::default()
    };
    server.authority().deny(kube_proxy);
    let nobody = Ask { user: None, ..Ask::get("/api/v1/services") };
    same(&server, "err-403-anonymous.jsonl", nobody).await;
    let wrong = Ask { user: None, token: Some("wrong"), ..Ask::get("/api/v1/services") };
    same(&server, "err-401-badtoken.jsonl", wrong).await;
    let proxy = |url| Ask { user: Some("system:kube-proxy"), ..Ask::get(url) };
    same(&server, "err-403-rbac-list.jsonl", proxy("/api/v1/secrets")).await;
    same(&server, "err-403-rbac-watch.jsonl", proxy("/api/v1/secrets?watch=true")).await;
    let unknown = Ask::get("/apis/gateway.networking.k8s.io/v1/gatewayclasses");
    same(&server, "err-404-kind.jsonl", unknown).await;
    let missing = Ask::get("/api/v1/namespaces/default/services/nope");
    same(&server, "err-404-object.jsonl", missing).await;
    let bad_version = Ask::get("/api/v1/services?watch=true&resourceVersion=abc");
    same(&server, "err-500-bad-rv.jsonl", bad_version).await;
    let no_match =
        Ask::get("/api/v1/services?watch=true&sendInitialEvents=true&allowWatchBookmarks=true");
    same(&server, "err-422-sendinitial.jsonl", no_match).await;
}

#[tokio::test]
async fn a_version_from_the_future_is_refused_by_a_list_and_waited_for_by_a_watch() {
    let server = crowded();
    let url = "/api/v1/services?resourceVersion=99999999&resourceVersionMatch=NotOlderThan";
    let (code, text) = Ask::get(url).send(&server).await;
    let version = server.edit(|store, _| store.version());
    let (expected_code, expected) = recording("err-504-list-future-rv.jsonl");
    let expected = expected.to_string().replace("current: 317", &format!("current: {version}"));
    assert_eq!(
        (code, serde_json::from_str::<Value>(&text).unwrap()),
        (expected_code, serde_json::from_str(&expected).unwrap())
    );
    tokio::time::pause();
    let url = "/api/v1/services?watch=true&timeoutSeconds=5&allowWatchBookmarks=true&resourceVersion=99999999";
    assert_eq!(Ask::get(url).send(&server).await, (200, String::new()));
}

#[tokio::test]
async fn writes_of_a_status_end_as_in_the_real_server() {
    let server = crowded();
    let status = |name: &str| format!("/api/v1/namespaces/default/services/{name}/status");
    let mut stale = service("s0", "ClusterIP");
    stale["metadata"]["resourceVersion"] = "1".into();
    let put = Ask::new("PUT", &status("s0")).body("application/json", stale).send(&server).await;
    assert_eq!((put.0, serde_json::from_str(&put.1).unwrap()), recording("err-409-conflict.jsonl"));
    let ingress = |ip: &str| json!({"status": {"loadBalancer": {"ingress": [{"ip": ip}]}}});
    let url = status("s0");
    let patch = Ask::new("PATCH", &url).body(MERGE, ingress("203.0.113.7"));
    same(&server, "err-422-status-not-lb.jsonl", patch).await;
    let url = format!("{}?fieldManager=rust-lb&force=true", status("s1"));
    let patch = Ask::new("PATCH", &url).body(APPLY, ingress("203.0.113.7"));
    same(&server, "err-422-ssa-status-not-lb.jsonl", patch).await;
    server.load(&service("bad", "LoadBalancer")).unwrap();
    let url = status("bad");
    let patch = Ask::new("PATCH", &url).body(MERGE, ingress("not-an-ip"));
    same(&server, "err-422-status-bad-ip.jsonl", patch).await;
}

/// Every path of members in a value, with what kind of thing is there; list items as one.
fn shape(value: &Value, path: &str, into: &mut BTreeMap<String, &'static str>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(items) => {
            for item in items {
                shape(item, &format!("{path}[]"), into);
            }
            "list"
        }
        Value::Object(members) => {
            for (name, member) in members.iter().filter(|(name, _)| *name != "managedFields") {
                shape(member, &format!("{path}.{name}"), into);
            }
            "object"
        }
    };
    into.insert(path.into(), kind);
}

fn shape_of(value: &Value) -> BTreeMap<String, &'static str> {
    let mut paths = BTreeMap::new();
    shape(value, "", &mut paths);
    paths
}

#[tokio::test]
async fn objects_have_the_members_that_the_real_server_gives_them() {
    let server = ApiServer::default();
    let mut s2 = service("s2", "ClusterIP");
    s2["metadata"]["annotations"] = json!({"n": "2"});
    server.load(&s2).unwrap();
    server.load(&service("bad", "LoadBalancer")).unwrap();
    let at = |name: &str| format!("/api/v1/namespaces/default/services/{name}");
    let to_lb = json!({"spec": {"type": "LoadBalancer"}});
    let ingress = |ip: &str| json!({"status": {"loadBalancer": {"ingress": [{"ip": ip}]}}});
    let mut both = ingress("203.0.113.7");
    both["spec"] = json!({"type": "ClusterIP"});
    let lease = recording("ok-lease-create.jsonl").1;
    let event = recording("ok-event-create.jsonl").1;
    let bare = |value: &Value, keep: &str| {
        let mut value = value.clone();
        for field in ["uid", "resourceVersion", "creationTimestamp", "managedFields", keep] {
            value["metadata"].as_object_mut().unwrap().remove(field);
        }
        value
    };
    let cases = [
        ("ok-patch-to-lb.jsonl", "PATCH", at("s2"), MERGE, to_lb),
        (
            "ok-ssa-status.jsonl",
            "PATCH",
            format!("{}/status?fieldManager=rust-lb", at("s2")),
            APPLY,
            ingress("203.0.113.9"),
        ),
        ("ok-put-status-dropped-spec.jsonl", "PATCH", format!("{}/status", at("bad")), MERGE, both),
        (
            "ok-lease-create.jsonl",
            "POST",
            "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases".into(),
            "application/json",
            bare(&lease, ""),
        ),
        (
            "ok-event-create.jsonl",
            "POST",
            "/apis/events.k8s.io/v1/namespaces/default/events".into(),
            "application/json",
            bare(&event, "name"),
        ),
    ];
    for (file, method, url, content_type, body) in cases {
        let (code, text) = Ask::new(method, &url).body(content_type, body).send(&server).await;
        let (expected_code, expected) = recording(file);
        assert_eq!(code, expected_code, "{file}: {text}");
        let ours: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(shape_of(&ours), shape_of(&expected), "{file}");
        for part in
            ["/spec/type", "/status", "/spec/ports/0/targetPort", "/spec/externalTrafficPolicy"]
        {
            assert_eq!(ours.pointer(part), expected.pointer(part), "{file} {part}");
        }
    }
}

#[tokio::test]
async fn an_expired_continue_token_comes_with_one_that_goes_on() {
    let server = crowded();
    let (_, first) = Ask::get("/api/v1/services?limit=10").send(&server).await;
    let first: Value = serde_json::from_str(&first).unwrap();
    let (_, real) = recording("list-services-limit10.jsonl");
    let names = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().unwrap();
        items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&first), names(&real));
    assert_eq!(first["metadata"]["remainingItemCount"], real["metadata"]["remainingItemCount"]);
    server.load(&service("later", "ClusterIP")).unwrap();
    server.compact();
    let url = format!(
        "/api/v1/services?limit=10&continue={}",
        first["metadata"]["continue"].as_str().unwrap()
    );
    same(&server, "err-410-list-continue.jsonl", Ask::get(&url)).await;
    let token = recording("err-410-list-continue.jsonl").1["metadata"]["continue"]
        .as_str()
        .unwrap()
        .to_owned();
    let url = format!("/api/v1/services?limit=10&continue={token}");
    let (code, rest) = Ask::get(&url).send(&server).await;
    let rest: Value = serde_json::from_str(&rest).unwrap();
    let (_, real) = recording("list-continue-inconsistent.jsonl");
    assert_eq!((code, names(&rest)), (200, names(&real)));
    let exact = Ask::get("/api/v1/services?resourceVersion=210&resourceVersionMatch=Exact");
    same(&server, "err-410-list-exact.jsonl", exact).await;
}

#[tokio::test]
async fn a_watch_of_a_forgotten_version_is_one_error_in_a_good_answer() {
    let server = crowded();
    server.compact();
    let version = server.edit(|store, _| store.version());
    let url =
        "/api/v1/services?watch=true&timeoutSeconds=5&allowWatchBookmarks=true&resourceVersion=2";
    let (code, text) = Ask::get(url).send(&server).await;
    let (_, expected) = recording("watch-services-410.jsonl");
    let expected = expected.to_string().replace("(340)", &format!("({version})"));
    let expected: Value = serde_json::from_str(&expected).unwrap();
    assert_eq!((code, serde_json::from_str::<Value>(&text).unwrap()), (200, expected));
}

#[tokio::test(start_paused = true)]
async fn bookmarks_come_every_minute_and_before_the_end_in_the_real_form() {
    let server =
        ApiServer::new(Options { bookmark_every: Duration::from_mins(1), ..Options::default() });
    let url = "/api/v1/services?watch=true&timeoutSeconds=150&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    let (_, text) = Ask::get(url).send(&server).await;
    let version = server.edit(|store, _| store.version()).to_string();
    let real = std::fs::read_to_string(recorded("manual/watchlist-services.jsonl")).unwrap();
    let kinds = |text: &str| -> Vec<Value> {
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .filter(|event| event["type"] == "BOOKMARK")
            .map(|mut event| {
                event["object"]["metadata"]["resourceVersion"] = version.as_str().into();
                event
            })
            .collect()
    };
    // The real server was busy, and so sent one bookmark more.
    assert_eq!(kinds(&text)[..2], kinds(&real)[..2]);
    assert_eq!(kinds(&text).len(), 4);
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(first["object"]["metadata"]["name"], "kubernetes");
}

#[tokio::test(start_paused = true)]
async fn recordings_are_played_back_byte_for_byte() {
    let replay = Replay::load(&recorded("manual")).unwrap();
    let server = ApiServer::new(Options { replay: Some(replay), ..Options::default() });
    let file = |name: &str| std::fs::read_to_string(recorded("manual").join(name)).unwrap();
    let (_, list) = Ask::get("/api/v1/services?limit=500").send(&server).await;
    assert_eq!(list, file("list-services-0-empty.jsonl").trim_end());
    let url = "/api/v1/services?watch=true&timeoutSeconds=150&allowWatchBookmarks=true&resourceVersion=209";
    assert_eq!(Ask::get(url).send(&server).await.1, file("watch-services.jsonl"));
    // Another client's way to ask, and going on from the middle.
    let (_, list) = Ask::get("/api/v1/services?limit=50").send(&server).await;
    assert_eq!(list, file("list-services-0-empty.jsonl").trim_end());
    let url = "/api/v1/services?watch=true&timeoutSeconds=290&resourceVersion=271";
    let (_, rest) = Ask::get(url).send(&server).await;
    assert!(file("watch-services.jsonl").ends_with(&rest) && rest.contains("\"275\""), "{rest}");
}

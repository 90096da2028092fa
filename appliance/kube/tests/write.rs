//! Writing and leading against the test API server, on a clock that jumps.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that cannot go on fails its test"
)]

mod common;

use std::time::Duration;

use common::{client, delete, put, resource_of, settings};
use serde_json::{Value, json};
use spillway_apiserver::ApiServer;
use spillway_apiserver::auth::Denial;
use spillway_apiserver::faults::{Fault, Rule};
use spillway_apiserver::object::Key;
use spillway_apiserver::resource;
use spillway_cluster::election::Settings;
use spillway_cluster::events::{Draft, Reason};
use spillway_cluster::status::Write;
use spillway_cluster::{Kind, Object, ObjectKey};
use spillway_kube::{Clockwork, LeaseSettings, Notice, Session, SessionSettings, Written};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

fn clockwork() -> Clockwork {
    Clockwork { seed: Some(1), ..Clockwork::default() }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey { namespace: "default".into(), name: name.into() }
}

fn stored(server: &ApiServer, name: &str) -> Value {
    let resource = resource_of(Kind::Service);
    let key = Key::new(Some("default"), name);
    server.edit(|store, _| store.get(resource, &key).unwrap().value.clone())
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A patch of an annotation, planned from the object as it is now, and an event beside it.
fn patch(server: &ApiServer, name: &str, value: &str) -> Vec<Write> {
    let object = stored(server, name);
    let uid = text(&object, "/metadata/uid").to_owned();
    let version = text(&object, "/metadata/resourceVersion");
    let body = json!({"metadata": {"uid": uid, "resourceVersion": version,
        "annotations": {"said": value}}});
    let draft = Draft {
        service: key(name),
        uid: uid.clone(),
        reason: Reason::EnsuredLoadBalancer,
        message: "Ensured load balancer".into(),
    };
    vec![Write::PatchService { key: key(name), uid, is_status: false, body }, Write::Event(draft)]
}

fn said(server: &ApiServer, name: &str) -> String {
    text(&stored(server, name), "/metadata/annotations/said").to_owned()
}

fn events(server: &ApiServer) -> usize {
    server.edit(|store, _| store.objects(resource::Kind::Event).len())
}

/// Waits for what became of a patch.
async fn outcome(notices: &mut mpsc::Receiver<Notice>) -> Written {
    let waiting = async {
        loop {
            if let Notice::Written { key: _, outcome } = notices.recv().await.unwrap() {
                return outcome;
            }
        }
    };
    timeout(Duration::from_mins(5), waiting).await.unwrap()
}

fn start(server: &ApiServer) -> (Session, mpsc::Receiver<Notice>) {
    Session::with_clients(vec![client(server)], settings(clockwork()))
}

#[tokio::test(start_paused = true)]
async fn a_patch_is_written_and_its_event_told() {
    let server = ApiServer::default();
    put(&server, Kind::Service, "a", 1);
    let (session, mut notices) = start(&server);
    session.writer().submit(patch(&server, "a", "hello"));
    let Written::Done(Object::Service(service)) = outcome(&mut notices).await else {
        panic!("not done")
    };
    assert_eq!(service.meta.annotations["said"], "hello");
    assert_eq!(said(&server, "a"), "hello");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(events(&server), 1);
}

#[tokio::test(start_paused = true)]
async fn a_status_goes_to_the_subresource_and_leaves_the_rest_alone() {
    let server = ApiServer::default();
    put(&server, Kind::Service, "a", 1);
    let (session, mut notices) = start(&server);
    let object = stored(&server, "a");
    let uid = text(&object, "/metadata/uid").to_owned();
    let condition = json!({"type": "spillway.io/LoadBalancerServing", "status": "True",
        "reason": "Serving", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let body = json!({"spec": {"type": "ClusterIP"}, "status": {"conditions": [condition]}});
    let write = Write::PatchService { key: key("a"), uid, is_status: true, body };
    session.writer().submit(vec![write]);
    assert!(matches!(outcome(&mut notices).await, Written::Done(_)));
    let object = stored(&server, "a");
    assert_eq!(text(&object, "/status/conditions/0/status"), "True");
    assert_eq!(text(&object, "/spec/type"), "NodePort");
}

#[tokio::test(start_paused = true)]
async fn a_patch_of_an_older_object_is_a_conflict_and_brings_the_newer_one() {
    let server = ApiServer::default();
    put(&server, Kind::Service, "a", 1);
    let (session, mut notices) = start(&server);
    let late = patch(&server, "a", "late");
    put(&server, Kind::Service, "a", 2);
    session.writer().submit(late);
    let Written::Conflict(Some(Object::Service(now))) = outcome(&mut notices).await else {
        panic!("no conflict")
    };
    assert_eq!(now.meta.annotations["change"], "2");
    assert_eq!((said(&server, "a").as_str(), events(&server)), ("", 0));
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_gone_or_is_another_one_now_is_told_as_gone() {
    let server = ApiServer::default();
    put(&server, Kind::Service, "a", 1);
    let (session, mut notices) = start(&server);
    let late = patch(&server, "a", "late");
    delete(&server, Kind::Service, "a");
    session.writer().submit(late.clone());
    assert_eq!(outcome(&mut notices).await, Written::Gone);
    put(&server, Kind::Service, "a", 1);
    session.writer().submit(late);
    assert_eq!(outcome(&mut notices).await, Written::Gone);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_cannot_write_now_is_asked_again_with_the_newest_plan() {
    let server = ApiServer::default();
    put(&server, Kind::Service, "a", 1);
    let (session, mut notices) = start(&server);
    let fault = Fault::Answer { code: 503, retry_after_s: Some(3) };
    server.add_fault(Rule::once(fault).when("patch").times(2));
    session.writer().submit(patch(&server, "a", "first"));
    let start = Instant::now();
    assert!(matches!(outcome(&mut notices).await, Written::Unavailable(_)));
    session.writer().submit(patch(&server, "a", "second"));
    assert!(matches!(outcome(&mut notices).await, Written::Unavailable(_)));
    assert!(matches!(outcome(&mut notices).await, Written::Done(_)));
    assert!(start.elapsed() >= Duration::from_secs(6), "Retry-After counts: {:?}", start.elapsed());
    assert_eq!(said(&server, "a"), "second");
}

#[tokio::test(start_paused = true)]
async fn what_the_api_server_will_never_take_is_not_tried_again() {
    let server = ApiServer::default();
    put(&server, Kind::Service, "a", 1);
    let (session, mut notices) = start(&server);
    let fault = Fault::Answer { code: 422, retry_after_s: None };
    server.add_fault(Rule::once(fault).when("patch"));
    session.writer().submit(patch(&server, "a", "x"));
    assert!(matches!(outcome(&mut notices).await, Written::Invalid(_)));
    sleep(Duration::from_mins(5)).await;
    assert_eq!(said(&server, "a"), "");
}

#[tokio::test(start_paused = true)]
async fn an_account_that_may_not_write_makes_the_box_read_only_until_it_may() {
    let server = ApiServer::default();
    for name in ["a", "b", "c", "d"] {
        put(&server, Kind::Service, name, 1);
    }
    let (session, mut notices) = start(&server);
    server.authority().deny(Denial { verb: Some("patch".into()), ..Denial::default() });
    let writer = session.writer();
    for name in ["a", "b", "c"] {
        writer.submit(patch(&server, name, "x"));
    }
    for _ in 0..3 {
        assert!(matches!(outcome(&mut notices).await, Written::Forbidden(_)));
    }
    assert!(writer.is_read_only());
    let asked = Instant::now();
    writer.submit(patch(&server, "d", "x"));
    server.authority().allow_all();
    for _ in 0..4 {
        assert!(matches!(outcome(&mut notices).await, Written::Done(_)));
    }
    let waited = asked.elapsed();
    assert!(waited >= Duration::from_secs(59) && waited < Duration::from_secs(70), "{waited:?}");
    assert!(!writer.is_read_only());
    assert!(["a", "b", "c", "d"].iter().all(|name| said(&server, name) == "x"));
}

#[tokio::test(start_paused = true)]
async fn five_hundred_patches_take_twenty_seconds_and_all_arrive() {
    let server = ApiServer::default();
    let names: Vec<_> = (0..500).map(|number| format!("s{number}")).collect();
    for name in &names {
        put(&server, Kind::Service, name, 1);
    }
    let (session, mut notices) = start(&server);
    let started = Instant::now();
    for name in &names {
        session.writer().submit(patch(&server, name, "x").drain(..1).collect());
    }
    for _ in &names {
        assert!(matches!(outcome(&mut notices).await, Written::Done(_)));
    }
    let took = started.elapsed();
    assert!(took > Duration::from_secs(19) && took < Duration::from_secs(22), "{took:?}");
    assert!(names.iter().all(|name| said(&server, name) == "x"));
}

fn box_of(server: &ApiServer, identity: &str) -> (Session, mpsc::Receiver<Notice>) {
    let lease = LeaseSettings {
        namespace: "kube-system".into(),
        name: "spillway".into(),
        identity: identity.into(),
        election: Settings::default(),
    };
    let settings = SessionSettings { lease: Some(lease), ..settings(clockwork()) };
    Session::with_clients(vec![client(server)], settings)
}

/// Waits until the box leads; says how long that took.
async fn leads(session: &Session) -> Duration {
    let start = Instant::now();
    let mut changes = session.leader().unwrap().changes();
    timeout(Duration::from_mins(2), changes.wait_for(|leads| *leads)).await.unwrap().unwrap();
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn of_two_boxes_one_leads_and_the_other_takes_over_when_it_dies() {
    let server = ApiServer::default();
    put(&server, Kind::Service, "a", 1);
    let (first, _kept) = box_of(&server, "one");
    leads(&first).await;
    let (second, mut notices) = box_of(&server, "two");
    sleep(Duration::from_mins(2)).await;
    let leader = second.leader().unwrap();
    assert!(first.leader().unwrap().is_leader() && !leader.is_leader());
    assert_eq!(leader.holder(), "one");
    second.writer().submit(patch(&server, "a", "by two"));
    assert_eq!(outcome(&mut notices).await, Written::NotLeader);
    drop(first);
    let took = leads(&second).await;
    assert!(took < Duration::from_secs(18), "{took:?}");
    second.writer().submit(patch(&server, "a", "by two"));
    assert!(matches!(outcome(&mut notices).await, Written::Done(_)));
}

#[tokio::test(start_paused = true)]
async fn a_box_that_stops_in_order_hands_over_within_seconds() {
    let server = ApiServer::default();
    let (first, _kept) = box_of(&server, "one");
    leads(&first).await;
    let (second, _kept_too) = box_of(&server, "two");
    sleep(Duration::from_secs(30)).await;
    first.shutdown().await;
    let took = leads(&second).await;
    assert!(took <= Duration::from_secs(3), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_loses_the_api_server_stops_leading_by_itself() {
    let server = ApiServer::default();
    let (session, _kept) = box_of(&server, "one");
    leads(&session).await;
    server.set_down(true);
    sleep(Duration::from_secs(11)).await;
    assert!(!session.leader().unwrap().is_leader());
    server.set_down(false);
    leads(&session).await;
}

//! kube-rs against this server: watcher in both strategies, writes, leases, events. Over TLS, and
//! in process with a paused clock.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what helps a test fails as the test does"
)]

mod common;

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use common::{Served, service};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ObjectReference, Service};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::runtime::watcher;
use kube::{Client, Config};
use serde_json::json;
use spillway_apiserver::ApiServer;
use spillway_apiserver::auth::Denial;
use spillway_apiserver::faults::{Fault, Garble, Rule};
use spillway_apiserver::pki::Credentials;

async fn over_tls(served: &Served, credentials: &Credentials) -> Client {
    let path = served.kubeconfig_with("client", credentials);
    let file = Kubeconfig::read_from(path).unwrap();
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

fn in_process(server: &ApiServer) -> Client {
    Client::new(server.admin(), "default")
}

fn typed(name: &str) -> Service {
    serde_json::from_value(service(name)).unwrap()
}

/// Follows a watcher until it has seen the service `last`, and says what exists then.
async fn follow(api: Api<Service>, config: watcher::Config, last: &str) -> BTreeSet<String> {
    let mut stream = pin!(watcher(api, config));
    let mut known = BTreeSet::new();
    while let Some(event) = stream.next().await {
        // The watcher goes on by itself after an error.
        let Ok(event) = event else { continue };
        match event {
            watcher::Event::Init => known.clear(),
            watcher::Event::InitApply(o) | watcher::Event::Apply(o) => {
                known.extend(o.metadata.name);
            }
            watcher::Event::Delete(o) => {
                known.remove(&o.metadata.name.unwrap_or_default());
            }
            watcher::Event::InitDone => {}
        }
        if known.contains(last) {
            return known;
        }
    }
    known
}

fn names(expected: &[&str]) -> BTreeSet<String> {
    expected.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn a_watcher_follows_in_both_strategies_over_tls() {
    for (name, config) in [
        ("list-watch", watcher::Config::default()),
        ("streaming-list", watcher::Config::default().streaming_lists()),
    ] {
        let served = Served::start(name).await;
        let token = "secret-of-the-box";
        let identity = spillway_apiserver::auth::Identity::new("system:serviceaccount:lb:box");
        served.server.authority().add_token(token, identity);
        let client = over_tls(&served, &Credentials::Token(token.into())).await;
        let api: Api<Service> = Api::all(client);
        served.server.load(&service("before")).unwrap();
        let follower = tokio::spawn(follow(api, config, "last"));
        tokio::time::sleep(Duration::from_millis(300)).await;
        served.server.load(&service("after")).unwrap();
        served.server.load(&service("last")).unwrap();
        let known = tokio::time::timeout(Duration::from_secs(20), follower).await.unwrap().unwrap();
        assert_eq!(known, names(&["after", "before", "kubernetes", "last"]), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watcher_survives_every_fault_and_ends_with_the_truth() {
    for streaming in [false, true] {
        let server = ApiServer::default();
        let mut config = watcher::Config::default();
        if streaming {
            config = config.streaming_lists();
        }
        for fault in [
            Fault::Answer { code: 503, retry_after_s: None },
            Fault::HangUp,
            Fault::Cut { after: 1 },
            Fault::End { after: 1 },
            Fault::CutAfterBytes { bytes: 700 },
            Fault::Duplicate { event: 0 },
            Fault::Garble { event: 0, how: Garble::Truncated },
            Fault::Garble { event: 0, how: Garble::Junk },
            Fault::Expired,
        ] {
            server.add_fault(Rule::once(fault).on("services").when("watch"));
        }
        let follower = tokio::spawn(follow(Api::all(in_process(&server)), config, "last"));
        for n in 0..20 {
            tokio::time::sleep(Duration::from_secs(10)).await;
            server.load(&service(&format!("s{n}"))).unwrap();
            if n == 10 {
                server.compact();
                server.cut_streams();
            }
        }
        server.load(&service("last")).unwrap();
        let known = tokio::time::timeout(Duration::from_hours(1), follower).await.unwrap().unwrap();
        assert_eq!(known.len(), 22, "{known:?}");
        assert!(!server.has_faults());
    }
}

#[tokio::test]
async fn status_is_patched_and_replaced_and_a_stale_writer_loses() {
    let server = ApiServer::default();
    let api: Api<Service> = Api::default_namespaced(in_process(&server));
    let created = api.create(&PostParams::default(), &typed("web")).await.unwrap();
    let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}]}}});
    let patched =
        api.patch_status("web", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    assert_ne!(patched.metadata.resource_version, created.metadata.resource_version);

    let mut mine = patched.clone();
    mine.status.as_mut().unwrap().load_balancer.as_mut().unwrap().ingress = None;
    api.replace_status("web", &PostParams::default(), &mine).await.unwrap();
    let stale = api.replace_status("web", &PostParams::default(), &patched).await.unwrap_err();
    assert!(matches!(&stale, kube::Error::Api(status) if status.code == 409), "{stale}");
    let versioned = json!({"metadata": {"resourceVersion": "1"}, "status": {}});
    let stale = api
        .patch_status("web", &PatchParams::default(), &Patch::Merge(&versioned))
        .await
        .unwrap_err();
    assert!(matches!(&stale, kube::Error::Api(status) if status.is_conflict()), "{stale}");

    let apply = json!({"apiVersion": "v1", "kind": "Service",
        "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.10", "ipMode": "Proxy"}]}}});
    let params = PatchParams::apply("box").force();
    let applied = api.patch_status("web", &params, &Patch::Apply(&apply)).await.unwrap();
    let ingress = applied.status.unwrap().load_balancer.unwrap().ingress.unwrap();
    assert_eq!(ingress[0].ip_mode.as_deref(), Some("Proxy"));
}

#[tokio::test]
async fn a_finalizer_keeps_a_deleted_service_until_it_is_taken_off() {
    let server = ApiServer::default();
    let api: Api<Service> = Api::default_namespaced(in_process(&server));
    let mut service = typed("web");
    service.metadata.finalizers = Some(vec!["service.kubernetes.io/load-balancer-cleanup".into()]);
    api.create(&PostParams::default(), &service).await.unwrap();
    api.delete("web", &DeleteParams::default()).await.unwrap();
    let marked = api.get("web").await.unwrap();
    assert!(marked.metadata.deletion_timestamp.is_some());
    let patch = json!({"metadata": {"finalizers": null}});
    api.patch("web", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    assert!(api.get_opt("web").await.unwrap().is_none());
}

#[tokio::test]
async fn a_list_comes_in_pages_of_one_state() {
    let server = ApiServer::default();
    for n in 0..7 {
        server.load(&service(&format!("s{n}"))).unwrap();
    }
    let api: Api<Service> = Api::all(in_process(&server));
    let first = api.list(&ListParams::default().limit(3)).await.unwrap();
    assert_eq!(first.metadata.remaining_item_count, Some(5));
    server.load(&service("s00")).unwrap();
    let token = first.metadata.continue_.unwrap();
    let second = api.list(&ListParams::default().limit(3).continue_token(&token)).await.unwrap();
    assert_eq!(second.metadata.resource_version, first.metadata.resource_version);
    let found: Vec<_> = second.items.iter().filter_map(|o| o.metadata.name.as_deref()).collect();
    assert_eq!(found, ["s2", "s3", "s4"]);
    server.compact();
    let gone = api.list(&ListParams::default().continue_token(&token)).await.unwrap_err();
    assert!(matches!(&gone, kube::Error::Api(status) if status.code == 410), "{gone}");
}

#[tokio::test]
async fn leases_and_events_are_written_and_denials_hold() {
    let server = ApiServer::default();
    let client = in_process(&server);
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-system");
    let lease: Lease = serde_json::from_value(json!({"metadata": {"name": "box"},
        "spec": {"holderIdentity": "a", "leaseDurationSeconds": 15,
            "renewTime": "2026-11-21T03:17:01.750000Z"}}))
    .unwrap();
    let created = leases.create(&PostParams::default(), &lease).await.unwrap();
    let mut taken = created.clone();
    taken.spec.as_mut().unwrap().holder_identity = Some("b".into());
    leases.replace("box", &PostParams::default(), &taken).await.unwrap();
    assert!(leases.replace("box", &PostParams::default(), &created).await.is_err());

    let recorder = Recorder::new(client.clone(), "spillway".into());
    let event = Event {
        type_: EventType::Normal,
        reason: "EnsuredLoadBalancer".into(),
        note: Some("ok".into()),
        action: "Sync".into(),
        secondary: None,
    };
    let about = ObjectReference {
        kind: Some("Service".into()),
        name: Some("web".into()),
        namespace: Some("default".into()),
        ..ObjectReference::default()
    };
    recorder.publish(&event, &about).await.unwrap();
    recorder.publish(&event, &about).await.unwrap();
    let core: Api<k8s_openapi::api::core::v1::Event> = Api::default_namespaced(client.clone());
    let events = core.list(&ListParams::default().fields("involvedObject.name=web")).await.unwrap();
    assert_eq!(events.items.len(), 1);
    assert_eq!(events.items[0].message.as_deref(), Some("ok"));

    let denial = Denial { resource: Some("services/status".into()), ..Denial::default() };
    server.authority().deny(denial);
    server.load(&service("web")).unwrap();
    let api: Api<Service> = Api::default_namespaced(client);
    let patch = Patch::Merge(json!({"status": {}}));
    let refused = api.patch_status("web", &PatchParams::default(), &patch).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 403), "{refused}");
    api.get("web").await.unwrap();
}

#[tokio::test]
async fn an_outage_refuses_connections_and_afterwards_everything_is_still_there() {
    let served = Served::start("outage").await;
    let pair = served.ca.client("admin", &[], spillway_apiserver::pki::Validity::Good).unwrap();
    let client = over_tls(&served, &Credentials::Certificate(pair)).await;
    let api: Api<Service> = Api::default_namespaced(client);
    api.create(&PostParams::default(), &typed("web")).await.unwrap();
    let mut open = pin!(api.watch(&kube::api::WatchParams::default(), "0").await.unwrap());
    open.try_next().await.unwrap().unwrap();
    served.server.set_down(true);
    while let Ok(Some(_)) = open.try_next().await {}
    assert!(api.get("web").await.is_err());
    served.server.set_down(false);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while api.get("web").await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "it does not come back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

//! The link against the test API server, or with news out of thin air.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use spillway_apiserver::auth::Identity;
use spillway_apiserver::pki::{Ca, Credentials, Validity, kubeconfig};
use spillway_apiserver::tls::{self, Listening};
use spillway_apiserver::{ApiServer, resource};
use spillway_cluster::Access;
use tokio::time::{sleep, timeout};

use super::*;
use crate::control::samples;

/// A directory of one test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sw-link-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// A link to the API server at `url`, which shows a certificate of `ca`.
fn link_to(folder: &Folder, url: &str, ca: &Ca) -> (Link, Arc<ClusterDesk>) {
    let path = folder.0.join("kubeconfig");
    let credentials = Credentials::Token("t".to_owned());
    std::fs::write(&path, kubeconfig(url, ca.pem(), &credentials)).unwrap();
    let access = Access::Kubeconfig { path, context: None, endpoints: Vec::new() };
    let settings = samples::settings().kubernetes.unwrap();
    Link::start(KubernetesSettings { access, ..settings }, "box", 1).unwrap()
}

/// A link that hears nothing but what a test gives it: nobody listens on port 1.
fn deaf_link(folder: &Folder) -> (Link, Arc<ClusterDesk>) {
    link_to(folder, "https://127.0.0.1:1", &Ca::new("nobody").unwrap())
}

fn upsert(kind: Kind, manifest: &Value) -> News {
    News::Notice(Notice::Change(Change::Upsert(Object::parse(kind, manifest).unwrap())))
}

fn node(name: &str) -> News {
    let manifest = json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "uid": name, "resourceVersion": "1"}});
    upsert(Kind::Node, &manifest)
}

fn feed(kind: Kind, state: FeedState) -> News {
    News::Notice(Notice::Feed { kind, state })
}

#[tokio::test]
async fn a_write_is_pending_on_the_box_that_leads_until_it_is_answered() {
    let folder = Folder::new();
    let (mut link, desk) = deaf_link(&folder);
    let service = json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "web", "namespace": "default", "uid": "u", "resourceVersion": "1"},
        "spec": {"type": "LoadBalancer", "loadBalancerClass": "spillway.io/box",
            "ports": [{"port": 80, "nodePort": 30080}]}});
    let pending_after = |link: &mut Link, news| {
        link.take(news);
        desk.view().writes.pending
    };
    let nothing = || feed(Kind::Service, FeedState::default());
    assert_eq!(pending_after(&mut link, upsert(Kind::Service, &service)), 0, "another box writes");
    link.is_leader = true;
    assert_eq!(pending_after(&mut link, nothing()), 1, "it waits for the workers");
    let generation = Generation::new(1);
    link.built(generation);
    link.work(generation);
    assert_eq!(pending_after(&mut link, nothing()), 1, "it is out");
    let key = link.view.intents[0].service.clone();
    let outcome = spillway_kube::Written::Conflict(None);
    assert_eq!(pending_after(&mut link, News::Notice(Notice::Written { key, outcome })), 0);
}

#[tokio::test]
async fn rows_are_made_when_the_view_is_another_and_shared_otherwise() {
    let folder = Folder::new();
    let (mut link, desk) = deaf_link(&folder);
    link.take(node("a"));
    let rows = Arc::clone(&desk.view().rows);
    assert_eq!(rows.nodes.len(), 1);
    link.take(feed(Kind::Node, FeedState { synced: true, ..FeedState::default() }));
    assert!(desk.view().feeds.iter().any(|feed| feed.synced));
    assert!(Arc::ptr_eq(&desk.view().rows, &rows));
    link.take(node("b"));
    assert_eq!(desk.view().rows.nodes.len(), 2);
}

#[tokio::test]
async fn what_the_watch_has_logged_is_not_logged_again() {
    let folder = Folder::new();
    let (mut link, _desk) = deaf_link(&folder);
    let log = folder.0.join("log");
    let file = std::fs::File::create(&log).unwrap();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(file).finish();
    tracing::subscriber::with_default(subscriber, || {
        let now = std::time::Instant::now();
        let held = spillway_kube::Held { since: now, until: now, kept: 8, lost: 8 };
        let bad = FeedState { error: Some("gone".to_owned()), ..FeedState::default() };
        for state in [bad, FeedState { synced: true, held: Some(held), ..FeedState::default() }] {
            link.take(feed(Kind::Service, state));
        }
        tracing::info!("the end");
    });
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("the end") && log.lines().count() == 1, "{log}");
}

/// Events of this reason that the server holds.
fn events(server: &ApiServer, reason: &str) -> usize {
    server.edit(|store, _| {
        let events = store.objects(resource::Kind::Event).values();
        events.filter(|event| event.value["reason"] == reason).count()
    })
}

#[tokio::test]
async fn a_box_that_gets_the_lease_tells_of_services_that_were_empty_before() {
    const EMPTY: &str = "UnAvailableLoadBalancer";
    let folder = Folder::new();
    let server = ApiServer::default();
    server.authority().add_token("t", Identity::new("box"));
    let service = json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"type": "LoadBalancer", "loadBalancerClass": "spillway.io/box",
            "ports": [{"port": 80}]}});
    server.load(&service).unwrap();
    let ca = Ca::new("ours").unwrap();
    let pair = ca.server(&["127.0.0.1"], Validity::Good).unwrap();
    let config = tls::config(&pair, ca.pem()).unwrap();
    let listening = Listening::start(&server, "127.0.0.1:0".parse().unwrap(), config).await;
    let listening = listening.unwrap();
    let (mut link, _desk) = link_to(&folder, &listening.url(), &ca);
    let leading = async {
        while !link.is_leader {
            let news = link.news().await;
            // Another box holds it, so to speak, until the Service is known here.
            if matches!(news, News::Lease) && link.view.intents.is_empty() {
                sleep(Duration::from_millis(10)).await;
            } else {
                link.take(news);
            }
        }
        assert_eq!(events(&server, EMPTY), 0, "only the leader tells");
        while events(&server, EMPTY) == 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), leading).await.unwrap();
    link.stop().await;
}

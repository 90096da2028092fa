//! What the tests of this crate share: what a session's notices add up to, and what the server holds.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "every test links all of it and uses a part"
)]

mod watched;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use kube::Client;
use serde_json::{Value, json};
use spillway_apiserver::ApiServer;
use spillway_apiserver::object::Key;
use spillway_apiserver::patch::Format;
use spillway_apiserver::resource::{self, Resource};
use spillway_apiserver::store::{Part, Preconditions};
use spillway_cluster::{Access, Change, Kind, Object, ObjectKey};
use spillway_kube::{Clockwork, FeedState, Notice, SessionSettings};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

pub use watched::Watched;

pub type World = BTreeMap<(Kind, ObjectKey), Object>;

/// What has been heard so far.
#[derive(Debug, Default)]
pub struct Heard {
    pub world: World,
    pub feeds: BTreeMap<Kind, FeedState>,
    /// Complete reads, by kind.
    pub replaced: BTreeMap<Kind, usize>,
}

impl Heard {
    pub fn take(&mut self, notice: Notice) {
        match notice {
            Notice::Change(Change::Replace { kind, objects }) => {
                *self.replaced.entry(kind).or_default() += 1;
                self.world.retain(|(known, _), _| *known != kind);
                for object in objects {
                    self.world.insert((kind, object.key()), object);
                }
            }
            Notice::Change(Change::Upsert(object)) => {
                self.world.insert((object.kind(), object.key()), object);
            }
            Notice::Change(Change::Delete { kind, key }) => {
                self.world.remove(&(kind, key));
            }
            Notice::Feed { kind, state } => {
                self.feeds.insert(kind, state);
            }
            Notice::Written { key: _, outcome: _ } => {}
        }
    }

    /// Listens until it is as wanted; says how long that took, or what was heard instead.
    pub async fn until(
        &mut self,
        notices: &mut mpsc::Receiver<Notice>,
        patience: Duration,
        is_there: impl Fn(&Self) -> bool,
    ) -> Result<Duration, String> {
        let start = Instant::now();
        while !is_there(self) {
            let left = patience.saturating_sub(start.elapsed());
            match timeout(left, notices.recv()).await {
                Ok(Some(notice)) => self.take(notice),
                Ok(None) => return Err("the session has ended".to_owned()),
                Err(_) => return Err(format!("not within {patience:?}: {:#?}", self.feeds)),
            }
        }
        Ok(start.elapsed())
    }

    pub fn is_synced(&self) -> bool {
        self.feeds.len() == 3 && self.feeds.values().all(|feed| feed.synced && feed.error.is_none())
    }

    pub fn names(&self, kind: Kind) -> Vec<String> {
        let of_kind = self.world.keys().filter(|(known, _)| *known == kind);
        of_kind.map(|(_, key)| key.to_string()).collect()
    }

    pub fn error(&self, kind: Kind) -> &str {
        self.feeds.get(&kind).and_then(|feed| feed.error.as_deref()).unwrap_or_default()
    }
}

pub fn resource_of(kind: Kind) -> &'static Resource {
    let kind = match kind {
        Kind::Service => resource::Kind::Service,
        Kind::EndpointSlice => resource::Kind::EndpointSlice,
        Kind::Node => resource::Kind::Node,
    };
    Resource::of_kind(kind).unwrap()
}

/// What the server holds of what a session watches.
pub fn truth(server: &ApiServer) -> World {
    let mut world = World::new();
    for kind in Kind::ALL {
        let resource = resource_of(kind);
        let objects = server.edit(|store, _| {
            let of_kind = store.objects(resource.kind).values();
            of_kind.map(|object| object.full(resource)).collect::<Vec<_>>()
        });
        for text in objects {
            let value: Value = serde_json::from_str(&text).unwrap();
            let label = value.pointer("/metadata/labels/kubernetes.io~1service-name");
            if kind == Kind::EndpointSlice && label.is_none() {
                continue;
            }
            let object = Object::parse(kind, &value).unwrap();
            world.insert((kind, object.key()), object);
        }
    }
    world
}

pub fn manifest(kind: Kind, name: &str) -> Value {
    match kind {
        Kind::Service => json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"type": "NodePort", "ports": [{"port": 80}]}}),
        Kind::EndpointSlice => json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": name, "namespace": "default",
                "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}],
            "ports": [{"port": 8080}]}),
        Kind::Node => json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
            "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.7"}]}}),
    }
}

/// Creates the object, or changes it.
pub fn put(server: &ApiServer, kind: Kind, name: &str, change: u64) {
    let resource = resource_of(kind);
    let key = Key::new(resource.is_namespaced.then_some("default"), name);
    server.edit(|store, now| {
        if store.get(resource, &key).is_err() {
            store.load(&manifest(kind, name), now).unwrap();
        }
        let patch = json!({"metadata": {"annotations": {"change": change.to_string()}}});
        store.patch(resource, Part::Main, &key, (Format::Merge, &patch)).unwrap();
    });
}

/// Deletes the object, if it is there.
pub fn delete(server: &ApiServer, kind: Kind, name: &str) {
    let resource = resource_of(kind);
    let key = Key::new(resource.is_namespaced.then_some("default"), name);
    server.edit(|store, now| {
        drop(store.delete(resource, &key, &Preconditions::default(), now));
    });
}

/// A way to the server without a socket.
pub fn client(server: &ApiServer) -> (String, Client) {
    ("https://in-process".to_owned(), Client::new(server.admin(), "default"))
}

/// Settings for a session that brings its own clients.
pub fn settings(clockwork: Clockwork) -> SessionSettings {
    SessionSettings { clockwork, ..SessionSettings::new(Access::InCluster) }
}

/// A directory of one test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sw-kube-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

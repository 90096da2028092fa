//! Objects, their versions and their history. Pure: time is an argument, there is no I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::history::{Change, History};
use crate::object::{Key, Object};
use crate::resource::{Kind, Resource};
use crate::service::{Allocator, Ranges};
use crate::status::Status;
use crate::time::Timestamp;

mod admit;
mod list;
mod write;

pub use list::{ListQuery, Page, VersionMatch};
pub use write::{Part, Preconditions};

/// How a store is set up.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    pub ranges: Ranges,
    /// Changes per kind that a watch can go back.
    pub history_limit: usize,
    /// Put the Service and EndpointSlice `kubernetes` into `default`, as every cluster has them.
    pub has_kubernetes_service: bool,
    /// Makes the uids of two stores differ.
    pub seed: u64,
}

impl Default for StoreConfig {
    fn default() -> Self {
        let ranges = Ranges::default();
        Self { ranges, history_limit: 65_536, has_kubernetes_service: true, seed: 1 }
    }
}

/// The objects of one kind, and how they came to be.
#[derive(Debug, Default)]
struct Shelf {
    objects: BTreeMap<Key, Arc<Object>>,
    history: History,
}

/// Everything that the server knows.
#[derive(Debug)]
pub struct Store {
    shelves: BTreeMap<Kind, Shelf>,
    version: u64,
    allocator: Allocator,
    history_limit: usize,
    /// State of the generator of uids and of names.
    random: u64,
}

/// What an empty shelf is lent as.
static NOTHING: BTreeMap<Key, Arc<Object>> = BTreeMap::new();

impl Store {
    /// A store as a young cluster has it: four namespaces, and the service of the API server.
    pub fn new(config: StoreConfig, now: Timestamp) -> Self {
        let mut store = Self {
            shelves: BTreeMap::new(),
            version: 200,
            allocator: Allocator::new(config.ranges),
            history_limit: config.history_limit.max(1),
            random: config.seed,
        };
        for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}}});
            let created = store.load(&namespace, now);
            debug_assert!(created.is_ok(), "{created:?}");
        }
        if config.has_kubernetes_service {
            let service = json!({"apiVersion": "v1", "kind": "Service",
                "metadata": {"name": "kubernetes", "namespace": "default",
                    "labels": {"component": "apiserver", "provider": "kubernetes"}},
                "spec": {"clusterIP": "10.96.0.1",
                    "ports": [{"name": "https", "port": 443, "targetPort": 6443}]}});
            let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": {"name": "kubernetes", "namespace": "default",
                    "labels": {"kubernetes.io/service-name": "kubernetes"}},
                "addressType": "IPv4",
                "endpoints": [{"addresses": ["192.0.2.10"], "conditions": {"ready": true}}],
                "ports": [{"name": "https", "protocol": "TCP", "port": 6443}]});
            for object in [service, slice] {
                let created = store.load(&object, now);
                debug_assert!(created.is_ok(), "{created:?}");
            }
        }
        store
    }

    /// The newest version.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Forgets all that led to the present state: older watches and lists get 410.
    pub fn compact(&mut self) {
        self.compact_to(self.version);
    }

    /// Forgets what happened up to `version`.
    pub fn compact_to(&mut self, version: u64) {
        for resource in &crate::resource::RESOURCES {
            self.shelves.entry(resource.kind).or_default().history.compact(version);
        }
    }

    /// One object.
    pub fn get(&self, resource: &Resource, key: &Key) -> Result<Arc<Object>, Status> {
        let found = self.objects(resource.kind).get(key);
        found.map(Arc::clone).ok_or_else(|| {
            let name = key.as_str().rsplit('/').next().unwrap_or_default();
            Status::not_found(resource, name)
        })
    }

    /// All objects of a kind as they are now.
    pub fn objects(&self, kind: Kind) -> &BTreeMap<Key, Arc<Object>> {
        self.shelves.get(&kind).map_or(&NOTHING, |shelf| &shelf.objects)
    }

    /// The changes of a kind after `version`; 410 when they are forgotten.
    pub fn changes_since(&self, kind: Kind, version: u64) -> Result<Vec<Change>, Status> {
        let Some(shelf) = self.shelves.get(&kind) else { return Ok(Vec::new()) };
        let changes = shelf.history.since(version).map_err(|forgotten| {
            let floor = forgotten.floor;
            Status::expired(format!("too old resource version: {version} ({floor})"))
        })?;
        Ok(changes.cloned().collect())
    }

    /// Stores a change, and lets the world see it.
    fn commit(
        &mut self,
        kind: Kind,
        before: Option<&Arc<Object>>,
        after: Option<Value>,
    ) -> Option<Arc<Object>> {
        self.version += 1;
        let shelf = self.shelves.entry(kind).or_default();
        let after = after.map(|value| Arc::new(Object::new(value, self.version)));
        match (&after, before) {
            (Some(after), _) => {
                shelf.objects.insert(after.key(), Arc::clone(after));
            }
            (None, Some(before)) => {
                shelf.objects.remove(&before.key());
            }
            (None, None) => return None,
        }
        let change =
            Change { version: self.version, before: before.cloned(), after: after.clone() };
        shelf.history.record(change, self.history_limit);
        after
    }

    /// The next number of a generator without a pattern (splitmix64, Steele et al. 2014).
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A uid in the form of a version-4 UUID (RFC 9562).
    fn uid(&mut self) -> String {
        let (high, low) = (self.random(), self.random());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xfff,
            0x8000 | (low >> 48 & 0x3fff),
            low & 0xffff_ffff_ffff
        )
    }

    /// Five characters after `generateName`, of the alphabet of apimachinery's `rand`.
    fn suffix(&mut self) -> String {
        const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
        let mut bits = self.random();
        let mut letter = || {
            let letter = ALPHABET.get((bits % 27) as usize).copied().unwrap_or(b'x');
            bits /= 27;
            char::from(letter)
        };
        (0..5).map(|_| letter()).collect()
    }
}

//! `coordination.k8s.io/v1` Lease.

use std::time::Duration;

use serde_json::{Value, json};

use super::Settings;
use crate::change::ObjectKey;

/// A Lease as the server sent it. All of it is sent back, so that labels and fields that we do not know survive.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lease(Value);

impl Lease {
    pub(super) fn read(object: Value) -> Self {
        Self(object)
    }

    /// A first one.
    pub(super) fn new(name: &ObjectKey, identity: &str, settings: &Settings, utc: &str) -> Self {
        let mut lease = Self(json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": { "namespace": name.namespace, "name": name.name },
        }));
        lease.set("leaseTransitions", json!(0));
        lease.set("acquireTime", json!(utc));
        lease.hold(identity, settings, utc);
        lease
    }

    /// Empty: nobody.
    pub(super) fn holder(&self) -> &str {
        self.spec("holderIdentity").and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn version(&self) -> &str {
        self.0.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn duration(&self) -> Duration {
        let seconds = self.spec("leaseDurationSeconds").and_then(Value::as_u64);
        Duration::from_secs(seconds.unwrap_or_default())
    }

    pub(super) fn says_same(&self, other: &Self) -> bool {
        self.0.get("spec") == other.0.get("spec")
    }

    /// The same Lease with the candidate as its holder, from now on or still.
    pub(super) fn taken(&self, identity: &str, settings: &Settings, utc: &str) -> Self {
        let mut lease = self.clone();
        if self.holder() != identity {
            let transitions = self.spec("leaseTransitions").and_then(Value::as_i64).unwrap_or(0);
            lease.set("leaseTransitions", json!(transitions.saturating_add(1)));
            lease.set("acquireTime", json!(utc));
        }
        lease.hold(identity, settings, utc);
        lease
    }

    /// The same Lease without a holder; the short duration is client-go's.
    pub(super) fn released(&self, utc: &str) -> Self {
        let mut lease = self.clone();
        lease.set("holderIdentity", json!(""));
        lease.set("leaseDurationSeconds", json!(1));
        lease.set("renewTime", json!(utc));
        lease
    }

    /// What is sent. The server keeps its own account of who wrote which field.
    pub(super) fn body(mut self) -> Value {
        if let Some(metadata) = self.0.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
        self.0
    }

    fn hold(&mut self, identity: &str, settings: &Settings, utc: &str) {
        self.set("holderIdentity", json!(identity));
        self.set("leaseDurationSeconds", json!(settings.lease_duration().as_secs()));
        self.set("renewTime", json!(utc));
    }

    fn spec(&self, field: &str) -> Option<&Value> {
        self.0.get("spec")?.get(field)
    }

    fn set(&mut self, field: &str, value: Value) {
        let Some(object) = self.0.as_object_mut() else { return };
        let spec = object.entry("spec").or_insert_with(|| json!({}));
        if !spec.is_object() {
            *spec = json!({});
        }
        if let Some(spec) = spec.as_object_mut() {
            spec.insert(field.to_owned(), value);
        }
    }
}

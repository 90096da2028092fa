//! A stored object: immutable once stored, shared by the store, its history and every watch.

use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::json;
use crate::resource::Resource;

/// Where an object is among those of its kind: `namespace/name`, or `name`.
///
/// Ordered as etcd orders: byte by byte.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// The key of an object in a namespace, or of one that is in none.
    pub fn new(namespace: Option<&str>, name: &str) -> Self {
        Self(match namespace {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.into(),
        })
    }

    /// The smallest key of a namespace, or of all.
    pub fn start(namespace: Option<&str>) -> Self {
        Self::new(namespace, "")
    }

    /// A key as a continue token holds it.
    pub fn raw(key: &str) -> Self {
        Self(key.trim_start_matches('/').into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Is it in that namespace (or is none asked for)?
    pub fn is_in(&self, namespace: Option<&str>) -> bool {
        namespace.is_none_or(|namespace| {
            self.0.strip_prefix(namespace).is_some_and(|rest| rest.starts_with('/'))
        })
    }
}

/// An object without `kind` and `apiVersion`, which the resource adds.
#[derive(Debug)]
pub struct Object {
    pub value: Value,
    pub version: u64,
    /// The value as text, made when first asked for: a list of thousands costs one copy each.
    text: OnceLock<String>,
}

impl Object {
    /// The value with its version written into it.
    pub fn new(mut value: Value, version: u64) -> Self {
        json::set(&mut value, &["metadata", "resourceVersion"], version.to_string().into());
        Self { value, version, text: OnceLock::new() }
    }

    pub fn name(&self) -> &str {
        json::text(&self.value, &["metadata", "name"]).unwrap_or_default()
    }

    pub fn namespace(&self) -> Option<&str> {
        json::text(&self.value, &["metadata", "namespace"])
    }

    pub fn uid(&self) -> &str {
        json::text(&self.value, &["metadata", "uid"]).unwrap_or_default()
    }

    pub fn key(&self) -> Key {
        Key::new(self.namespace(), self.name())
    }

    pub fn has_finalizers(&self) -> bool {
        !json::list(&self.value, &["metadata", "finalizers"]).is_empty()
    }

    pub fn is_terminating(&self) -> bool {
        json::at(&self.value, &["metadata", "deletionTimestamp"]).is_some()
    }

    /// The same object as of another version: what a DELETED event carries.
    #[must_use]
    pub fn at_version(&self, version: u64) -> Self {
        Self::new(self.value.clone(), version)
    }

    /// As an item of a list: without `kind` and `apiVersion`.
    pub fn item(&self) -> &str {
        self.text.get_or_init(|| self.value.to_string())
    }

    /// As an object by itself.
    pub fn full(&self, resource: &Resource) -> String {
        with_type(resource.kind_name, &resource.api_version(), self.item())
    }
}

/// Puts `kind` and `apiVersion` before the members of `item`, where the real server has them.
pub fn with_type(kind: &str, api_version: &str, item: &str) -> String {
    let rest = item.strip_prefix('{').unwrap_or(item);
    let comma = if rest.starts_with('}') { "" } else { "," };
    format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\"{comma}{rest}")
}

/// The part of an object that `PartialObjectMetadata` shows.
pub fn metadata_only(value: &Value) -> Value {
    json!({"metadata": value.get("metadata")})
}

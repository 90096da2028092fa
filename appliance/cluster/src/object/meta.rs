//! What all objects have.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{is_default, nullable};
use crate::change::ObjectKey;

/// Holds a copy of the whole manifest for `kubectl apply`: as large as the object, and nothing we use.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// `metadata`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    pub name: String,
    /// Empty for a Node.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub namespace: String,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub uid: String,
    /// Opaque; the API promises nothing about its order.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub resource_version: String,
    /// RFC 3339 in UTC with whole seconds, as the API writes it: sorts as text.
    #[serde(default, skip_serializing_if = "is_default")]
    pub creation_timestamp: Option<String>,
    /// Set: somebody has deleted it, and finalizers keep it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub deletion_timestamp: Option<String>,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub annotations: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub finalizers: Vec<String>,
}

impl Meta {
    pub fn key(&self) -> ObjectKey {
        ObjectKey { namespace: self.namespace.clone(), name: self.name.clone() }
    }

    pub fn is_terminating(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// The older of two sorts first. One without a time was never stored by a server: it comes last.
    pub fn age(&self) -> (bool, &str, &str) {
        let created = self.creation_timestamp.as_deref();
        (created.is_none(), created.unwrap_or_default(), &self.uid)
    }

    /// Drops what only costs memory.
    pub(super) fn tidy(&mut self) {
        self.annotations.remove(LAST_APPLIED);
    }

    /// Whether both say the same, whatever their versions are called.
    pub(crate) fn says_same(&self, other: &Self) -> bool {
        self.uid == other.uid
            && self.creation_timestamp == other.creation_timestamp
            && self.deletion_timestamp == other.deletion_timestamp
            && self.labels == other.labels
            && self.annotations == other.annotations
            && self.finalizers == other.finalizers
    }
}

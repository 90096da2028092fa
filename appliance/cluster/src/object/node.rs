//! `v1.Node`.

use serde::{Deserialize, Serialize};

use super::{Meta, is_default, nullable};

/// A node, as far as the box reads it: nothing that a heartbeat changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub spec: NodeSpec,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub status: NodeStatus,
}

/// `spec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeSpec {
    #[serde(
        default,
        rename = "podCIDRs",
        deserialize_with = "nullable",
        skip_serializing_if = "is_default"
    )]
    pub pod_cidrs: Vec<String>,
    /// The old, single one.
    #[serde(
        default,
        rename = "podCIDR",
        deserialize_with = "nullable",
        skip_serializing_if = "is_default"
    )]
    pub pod_cidr: String,
    /// Cordoned. Shown, without effect.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub unschedulable: bool,
}

/// `status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub addresses: Vec<NodeAddress>,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub conditions: Vec<NodeCondition>,
}

/// `status.addresses[]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeAddress {
    #[serde(default, rename = "type", deserialize_with = "nullable")]
    pub type_: String,
    #[serde(default, deserialize_with = "nullable")]
    pub address: String,
}

/// `status.conditions[]` without its times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeCondition {
    #[serde(default, rename = "type", deserialize_with = "nullable")]
    pub type_: String,
    #[serde(default, deserialize_with = "nullable")]
    pub status: String,
}

impl Node {
    pub(super) fn tidied(mut self) -> Self {
        // Operators put heartbeats and lease times of all kinds into a node's annotations.
        self.meta.annotations.clear();
        self.status.conditions.retain(|condition| condition.type_ == "Ready");
        self
    }

    /// `True` of the condition Ready. Shown, without effect (KEP-3458).
    pub fn is_ready(&self) -> bool {
        self.status.conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True")
    }

    /// The pods' prefixes, in the order of the API.
    pub fn pod_cidrs(&self) -> impl Iterator<Item = &str> {
        let single = self.spec.pod_cidrs.is_empty().then_some(self.spec.pod_cidr.as_str());
        self.spec.pod_cidrs.iter().map(String::as_str).chain(single).filter(|cidr| !cidr.is_empty())
    }

    pub(crate) fn says_same(&self, other: &Self) -> bool {
        self.meta.says_same(&other.meta) && self.spec == other.spec && self.status == other.status
    }
}

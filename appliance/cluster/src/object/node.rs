//! `v1.Node`.

use serde::{Deserialize, Serialize};

use super::{Meta, is_default, nullable};

/// Put on a node that the cluster autoscaler is about to delete (KEP-3836).
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

/// The zone that a node is in; hints are about it.
const ZONE: &str = "topology.kubernetes.io/zone";

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
    /// Of all taints the one that says that the node is to be deleted.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub taints: Vec<Taint>,
}

/// `spec.taints[]`, as far as it matters that it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taint {
    #[serde(default, deserialize_with = "nullable")]
    pub key: String,
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
        self.spec.taints.retain(|taint| taint.key == TO_BE_DELETED);
        self
    }

    /// `True` of the condition Ready. Shown, without effect (KEP-3458).
    pub fn is_ready(&self) -> bool {
        self.status.conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True")
    }

    /// Whether it stays, as kube-proxy's `/healthz` on it has it (KEP-3836).
    pub fn is_staying(&self) -> bool {
        !self.meta.is_terminating() && self.spec.taints.iter().all(|it| it.key != TO_BE_DELETED)
    }

    /// The zone that it is in; empty: none.
    pub fn zone(&self) -> &str {
        self.meta.labels.get(ZONE).map_or("", String::as_str)
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

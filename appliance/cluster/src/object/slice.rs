//! `discovery.k8s.io/v1.EndpointSlice`.

use serde::{Deserialize, Serialize};

use super::{Meta, is_default, nullable};
use crate::change::ObjectKey;

/// Names the Service of a slice, in the slice's own namespace.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// A slice, as far as box and nodes read it. Zones and hints are for nodes only: the box stands outside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSlice {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    /// `IPv4`, `IPv6` or `FQDN`.
    #[serde(default, deserialize_with = "nullable")]
    pub address_type: String,
    #[serde(default, deserialize_with = "nullable")]
    pub endpoints: Vec<Endpoint>,
    #[serde(default, deserialize_with = "nullable")]
    pub ports: Vec<EndpointPort>,
}

/// `endpoints[]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Interchangeable; consumers read the first, as kube-proxy does.
    #[serde(default, deserialize_with = "nullable")]
    pub addresses: Vec<String>,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub conditions: Conditions,
    #[serde(default, skip_serializing_if = "is_default")]
    pub node_name: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub zone: Option<String>,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub hints: Hints,
}

/// `endpoints[].hints`: for whom the endpoint is meant (KEP-2433, KEP-3015). Made by the controller, from
/// `trafficDistribution` or otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hints {
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub for_zones: Vec<ForName>,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub for_nodes: Vec<ForName>,
}

/// `forZones[]`, `forNodes[]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForName {
    #[serde(default, deserialize_with = "nullable")]
    pub name: String,
}

/// `endpoints[].conditions` (KEP-1669). Absent is a value of its own: see the methods.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    #[serde(default, skip_serializing_if = "is_default")]
    pub ready: Option<bool>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub serving: Option<bool>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub terminating: Option<bool>,
}

impl Conditions {
    /// Unknown is ready: discovery/v1 says so.
    pub fn is_ready(self) -> bool {
        self.ready.unwrap_or(true)
    }

    /// Unknown is what `ready` says.
    pub fn is_serving(self) -> bool {
        self.serving.unwrap_or_else(|| self.is_ready())
    }

    /// Unknown is not.
    pub fn is_terminating(self) -> bool {
        self.terminating.unwrap_or(false)
    }
}

/// `ports[]`, with the number that the pod listens on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointPort {
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub name: String,
    /// `TCP` when empty.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub protocol: String,
    /// `None`: "all ports", which no proxy implements.
    #[serde(default, skip_serializing_if = "is_default")]
    pub port: Option<i64>,
}

impl EndpointSlice {
    pub(super) fn tidied(mut self) -> Self {
        // A big cluster has hundreds of thousands of endpoints, and only one label and one name are of use.
        self.meta.labels.retain(|key, _| key == SERVICE_NAME);
        self.meta.annotations.clear();
        self
    }

    /// The Service that it is a part of.
    pub fn service(&self) -> Option<ObjectKey> {
        let name = self.meta.labels.get(SERVICE_NAME).filter(|name| !name.is_empty())?;
        Some(ObjectKey { namespace: self.meta.namespace.clone(), name: name.clone() })
    }

    pub(crate) fn says_same(&self, other: &Self) -> bool {
        self.meta.says_same(&other.meta)
            && self.address_type == other.address_type
            && self.endpoints == other.endpoints
            && self.ports == other.ports
    }
}

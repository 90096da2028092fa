//! `v1.Service`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Meta, is_default, nullable};

/// A Service, as far as the box reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub spec: ServiceSpec,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub status: ServiceStatus,
}

/// `spec`. Enumerations stay text: an unknown one refuses the Service with its name, and stops no stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSpec {
    /// `ClusterIP` when empty.
    #[serde(
        default,
        rename = "type",
        deserialize_with = "nullable",
        skip_serializing_if = "is_default"
    )]
    pub type_: String,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub ports: Vec<ServicePort>,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub selector: BTreeMap<String, String>,
    /// `None` (the text) for a headless Service.
    #[serde(
        default,
        rename = "clusterIP",
        deserialize_with = "nullable",
        skip_serializing_if = "is_default"
    )]
    pub cluster_ip: String,
    #[serde(
        default,
        rename = "clusterIPs",
        deserialize_with = "nullable",
        skip_serializing_if = "is_default"
    )]
    pub cluster_ips: Vec<String>,
    #[serde(
        default,
        rename = "externalIPs",
        deserialize_with = "nullable",
        skip_serializing_if = "is_default"
    )]
    pub external_ips: Vec<String>,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub session_affinity: String,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub session_affinity_config: SessionAffinityConfig,
    #[serde(
        default,
        rename = "loadBalancerIP",
        deserialize_with = "nullable",
        skip_serializing_if = "is_default"
    )]
    pub load_balancer_ip: String,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub load_balancer_source_ranges: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub load_balancer_class: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub allocate_load_balancer_node_ports: Option<bool>,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub external_traffic_policy: String,
    /// Read by the node companion; without effect on the box.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub internal_traffic_policy: String,
    /// 0: none.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub health_check_node_port: i64,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub publish_not_ready_addresses: bool,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub ip_families: Vec<String>,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub ip_family_policy: String,
    /// Without effect of its own: the controller makes hints of it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub traffic_distribution: Option<String>,
}

/// `spec.ports[]`. Its target port is not here: EndpointSlices bring it resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub name: String,
    /// `TCP` when empty.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub protocol: String,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub port: i64,
    /// 0: none.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub node_port: i64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub app_protocol: Option<String>,
}

/// `spec.sessionAffinityConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionAffinityConfig {
    #[serde(
        default,
        rename = "clientIP",
        deserialize_with = "nullable",
        skip_serializing_if = "is_default"
    )]
    pub client_ip: ClientIpConfig,
}

/// `spec.sessionAffinityConfig.clientIP`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientIpConfig {
    #[serde(default, skip_serializing_if = "is_default")]
    pub timeout_seconds: Option<i64>,
}

/// `status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceStatus {
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub load_balancer: LoadBalancerStatus,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub conditions: Vec<Condition>,
}

/// `status.loadBalancer`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadBalancerStatus {
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub ingress: Vec<Ingress>,
}

/// `status.loadBalancer.ingress[]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ingress {
    #[serde(default, skip_serializing_if = "is_default")]
    pub ip: Option<String>,
    /// `VIP` or `Proxy` (KEP-1860).
    #[serde(default, skip_serializing_if = "is_default")]
    pub ip_mode: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub hostname: Option<String>,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub ports: Vec<IngressPort>,
}

/// `status.loadBalancer.ingress[].ports[]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngressPort {
    #[serde(default, deserialize_with = "nullable")]
    pub port: i64,
    #[serde(default, deserialize_with = "nullable")]
    pub protocol: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub error: Option<String>,
}

/// `status.conditions[]`, a `metav1.Condition`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    #[serde(default, rename = "type", deserialize_with = "nullable")]
    pub type_: String,
    #[serde(default, deserialize_with = "nullable")]
    pub status: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub observed_generation: Option<i64>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub last_transition_time: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub reason: String,
    #[serde(default, deserialize_with = "nullable")]
    pub message: String,
}

impl Service {
    pub(super) fn tidied(mut self) -> Self {
        self.meta.tidy();
        self
    }

    /// Whether a watcher of the other would do nothing on seeing this one.
    pub(crate) fn says_same(&self, other: &Self) -> bool {
        self.meta.says_same(&other.meta) && self.spec == other.spec && self.status == other.status
    }
}

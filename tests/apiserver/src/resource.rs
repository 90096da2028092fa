//! What this server has: each resource with its names, scope and verbs, as discovery tells it.

use serde_json::{Map, Value, json};

/// The kinds that are stored. Both event APIs are views of the one kind `Event`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    ConfigMap,
    Endpoints,
    EndpointSlice,
    Event,
    Lease,
    Namespace,
    Node,
    Pod,
    Secret,
    Service,
    ServiceAccount,
}

/// One resource of one API group.
#[derive(Debug, PartialEq, Eq)]
pub struct Resource {
    pub kind: Kind,
    /// The kind's name on the wire.
    pub kind_name: &'static str,
    /// Empty: the core group.
    pub group: &'static str,
    pub plural: &'static str,
    pub singular: &'static str,
    pub short_names: &'static [&'static str],
    pub is_namespaced: bool,
    pub has_status: bool,
}

const fn core(kind: Kind, kind_name: &'static str, plural: &'static str) -> Resource {
    Resource {
        kind,
        kind_name,
        group: "",
        plural,
        singular: "",
        short_names: &[],
        is_namespaced: true,
        has_status: false,
    }
}

/// Everything that can be asked for. All are of version v1.
pub static RESOURCES: [Resource; 12] = [
    Resource {
        singular: "configmap",
        short_names: &["cm"],
        ..core(Kind::ConfigMap, "ConfigMap", "configmaps")
    },
    Resource {
        singular: "endpoints",
        short_names: &["ep"],
        ..core(Kind::Endpoints, "Endpoints", "endpoints")
    },
    Resource { singular: "event", short_names: &["ev"], ..core(Kind::Event, "Event", "events") },
    Resource {
        singular: "namespace",
        short_names: &["ns"],
        is_namespaced: false,
        has_status: true,
        ..core(Kind::Namespace, "Namespace", "namespaces")
    },
    Resource {
        singular: "node",
        short_names: &["no"],
        is_namespaced: false,
        has_status: true,
        ..core(Kind::Node, "Node", "nodes")
    },
    Resource {
        singular: "pod",
        short_names: &["po"],
        has_status: true,
        ..core(Kind::Pod, "Pod", "pods")
    },
    Resource { singular: "secret", ..core(Kind::Secret, "Secret", "secrets") },
    Resource {
        singular: "serviceaccount",
        short_names: &["sa"],
        ..core(Kind::ServiceAccount, "ServiceAccount", "serviceaccounts")
    },
    Resource {
        singular: "service",
        short_names: &["svc"],
        has_status: true,
        ..core(Kind::Service, "Service", "services")
    },
    Resource {
        group: "discovery.k8s.io",
        singular: "endpointslice",
        ..core(Kind::EndpointSlice, "EndpointSlice", "endpointslices")
    },
    Resource {
        group: "coordination.k8s.io",
        singular: "lease",
        ..core(Kind::Lease, "Lease", "leases")
    },
    Resource {
        group: "events.k8s.io",
        singular: "event",
        short_names: &["ev"],
        ..core(Kind::Event, "Event", "events")
    },
];

impl Resource {
    /// The resource under that group and plural.
    pub fn find(group: &str, plural: &str) -> Option<&'static Self> {
        RESOURCES.iter().find(|resource| resource.group == group && resource.plural == plural)
    }

    /// The first resource of that kind: of events the core one.
    pub fn of_kind(kind: Kind) -> Option<&'static Self> {
        RESOURCES.iter().find(|resource| resource.kind == kind)
    }

    /// The resource of an object's own `apiVersion` and `kind`.
    pub fn of_object(object: &Value) -> Option<&'static Self> {
        let api_version = object.get("apiVersion")?.as_str()?;
        let kind = object.get("kind")?.as_str()?;
        RESOURCES
            .iter()
            .find(|resource| resource.api_version() == api_version && resource.kind_name == kind)
    }

    /// `v1`, or `group/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { "v1".into() } else { format!("{}/v1", self.group) }
    }

    /// As messages name it: `services`, `leases.coordination.k8s.io`.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.into()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// `metadata.generation` counts changes of what is not status, for those kinds that have it.
    pub fn has_generation(&self) -> bool {
        matches!(self.kind, Kind::EndpointSlice)
    }

    /// A PUT of an object that is not there creates it (`AllowCreateOnUpdate`).
    pub fn put_creates(&self) -> bool {
        matches!(self.kind, Kind::Service | Kind::Lease | Kind::Endpoints | Kind::Event)
    }

    /// A PUT must say which version it replaces (not `AllowUnconditionalUpdate`).
    pub fn put_needs_version(&self) -> bool {
        matches!(self.kind, Kind::Lease)
    }

    /// DELETE answers with the object that went, not with a Status.
    pub fn delete_returns_object(&self) -> bool {
        matches!(self.kind, Kind::Service | Kind::Pod)
    }

    /// Its entries in the group's `APIResourceList`.
    pub fn discovery(&self) -> Vec<Value> {
        let verbs =
            ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
        let mut entry = json!({
            "name": self.plural,
            "singularName": self.singular,
            "namespaced": self.is_namespaced,
            "kind": self.kind_name,
            "verbs": verbs,
        });
        if !self.short_names.is_empty() {
            crate::json::set(&mut entry, &["shortNames"], json!(self.short_names));
        }
        let mut entries = vec![entry];
        if self.has_status {
            entries.push(json!({
                "name": format!("{}/status", self.plural),
                "singularName": "",
                "namespaced": self.is_namespaced,
                "kind": self.kind_name,
                "verbs": ["get", "patch", "update"],
            }));
        }
        entries
    }

    /// The empty object of a bookmark: what Go's encoder leaves of a zero struct.
    pub fn zero(&self) -> Map<String, Value> {
        let zero = match self.kind {
            Kind::Service => json!({"spec": {}, "status": {"loadBalancer": {}}}),
            Kind::Node => json!({"spec": {}, "status": {
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
                "nodeInfo": {"machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "",
                    "osImage": "", "containerRuntimeVersion": "", "kubeletVersion": "",
                    "kubeProxyVersion": "", "operatingSystem": "", "architecture": ""}}}),
            Kind::EndpointSlice => json!({"addressType": "", "endpoints": null, "ports": null}),
            Kind::Namespace | Kind::Lease => json!({"spec": {}}),
            Kind::Pod => json!({"spec": {"containers": null}, "status": {}}),
            Kind::Event if self.group.is_empty() => json!({
                "involvedObject": {}, "source": {}, "firstTimestamp": null,
                "lastTimestamp": null, "eventTime": null, "reportingComponent": "",
                "reportingInstance": ""}),
            Kind::Event => json!({"eventTime": null, "regarding": {}}),
            Kind::ConfigMap | Kind::Endpoints | Kind::Secret | Kind::ServiceAccount => json!({}),
        };
        match zero {
            Value::Object(map) => map,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => Map::new(),
        }
    }
}

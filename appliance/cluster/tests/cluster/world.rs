//! A small cluster to try rules in: three nodes with a podCIDR each, and a pool.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};
use spillway_cluster::{Change, Cluster, Kind, Object, Policy, Pool, Refused, Span, View};
use spillway_lb::model::{Service, ServiceKind};

/// What the box answers NodePorts on, in all tests.
pub(crate) const NODE_PORT_ADDRESS: &str = "198.51.100.1";

/// Our class.
pub(crate) const CLASS: &str = "spillway.io/box";

pub(crate) fn pool(name: &str, prefix: &str) -> Pool {
    Pool {
        name: name.to_owned(),
        spans: vec![Span::Prefix(prefix.parse().unwrap())],
        namespaces: Vec::new(),
        labels: Vec::new(),
        auto_assign: true,
        priority: 0,
        avoid_buggy_ips: false,
    }
}

pub(crate) fn policy() -> Policy {
    Policy {
        classless: true,
        node_port_addresses: vec![NODE_PORT_ADDRESS.parse().unwrap()],
        external_ips: vec!["203.0.113.128/25".parse().unwrap()],
        ..Policy::default()
    }
}

pub(crate) fn node(name: &str, number: u8) -> Value {
    json!({
        "metadata": {
            "name": name,
            "uid": format!("uid-{name}"),
            "creationTimestamp": format!("2026-01-01T00:00:{number:02}Z"),
        },
        "spec": { "podCIDRs": [format!("10.244.{number}.0/24"), format!("fd00:10:244:{number}::/64")] },
        "status": { "addresses": [
            { "type": "Hostname", "address": name },
            { "type": "InternalIP", "address": format!("10.0.0.{}", 10 + number) },
            { "type": "InternalIP", "address": format!("fd00::{}", 10 + number) },
        ] },
    })
}

/// `spec` is merged over a Service of type LoadBalancer with one TCP port.
pub(crate) fn service(name: &str, spec: Value) -> Value {
    let mut object = json!({
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": format!("uid-{name}"),
            "creationTimestamp": "2026-01-02T00:00:00Z",
        },
        "spec": {
            "type": "LoadBalancer",
            "clusterIP": "10.96.0.10",
            "ipFamilies": ["IPv4"],
            "ports": [{ "name": "http", "port": 80, "nodePort": 30080 }],
        },
    });
    merge(&mut object["spec"], spec);
    object
}

/// `endpoints`: address, node, conditions.
pub(crate) fn slice(name: &str, of: &str, endpoints: &[(&str, &str, Value)]) -> Value {
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|(address, node, conditions)| {
            json!({ "addresses": [address], "nodeName": node, "conditions": conditions })
        })
        .collect();
    json!({
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": { "kubernetes.io/service-name": of },
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{ "name": "http", "protocol": "TCP", "port": 8080 }],
    })
}

pub(crate) fn ready() -> Value {
    json!({ "ready": true, "serving": true, "terminating": false })
}

pub(crate) fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// A cluster and its three nodes.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
}

impl World {
    pub(crate) fn new(policy: Policy) -> Self {
        Self::with_pools(
            policy,
            vec![pool("public", "203.0.113.0/28"), pool("public6", "2001:db8:1::/120")],
        )
    }

    pub(crate) fn with_pools(policy: Policy, pools: Vec<Pool>) -> Self {
        let mut world = Self { cluster: Cluster::new(policy, pools) };
        for (name, number) in [("node-a", 1), ("node-b", 2), ("node-c", 3)] {
            world.put(Kind::Node, &node(name, number));
        }
        world
    }

    pub(crate) fn put(&mut self, kind: Kind, json: &Value) {
        self.cluster.apply(Change::Upsert(Object::parse(kind, json).unwrap()));
    }

    pub(crate) fn service(&mut self, json: &Value) -> &mut Self {
        self.put(Kind::Service, json);
        self
    }

    pub(crate) fn slice(&mut self, json: &Value) -> &mut Self {
        self.put(Kind::EndpointSlice, json);
        self
    }

    pub(crate) fn node(&mut self, json: &Value) -> &mut Self {
        self.put(Kind::Node, json);
        self
    }

    pub(crate) fn view(&mut self) -> Arc<View> {
        self.cluster.view()
    }

    /// The whole Model, a line per Service: see [`line`].
    pub(crate) fn lines(&mut self) -> Vec<String> {
        self.view().model.services.iter().map(|service| line(service)).collect()
    }

    /// Reasons with the port and kind that they are about.
    pub(crate) fn refusals(&mut self) -> Vec<String> {
        self.view().refused.iter().map(|row| refusal(row)).collect()
    }

    /// The one Service of this name and kind.
    pub(crate) fn find(&mut self, name: &str, kind: ServiceKind) -> Arc<Service> {
        let view = self.view();
        let mut found = view.model.services.iter().filter(|it| it.name == name && it.kind == kind);
        let service = found.next().unwrap_or_else(|| panic!("{name} {kind}: {view:#?}"));
        assert!(found.next().is_none(), "{name} {kind} is there twice");
        Arc::clone(service)
    }
}

/// `name kind frontend,... => backend,...`; a weight other than 1 follows as `*weight`.
pub(crate) fn line(service: &Service) -> String {
    let mut line = format!("{} {} ", service.name, service.kind);
    for (at, front) in service.frontends.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let socket = std::net::SocketAddr::new(front.address, front.port);
        write!(line, "{comma}{socket}/{}", front.protocol).unwrap();
    }
    line.push_str(" => ");
    let backends: Vec<String> = service
        .backends
        .iter()
        .map(|backend| {
            let socket = std::net::SocketAddr::new(backend.address, backend.port);
            if backend.weight == 1 {
                socket.to_string()
            } else {
                format!("{socket}*{}", backend.weight)
            }
        })
        .collect();
    line.push_str(&if backends.is_empty() { "-".to_owned() } else { backends.join(",") });
    line
}

/// `object port kind reason`, a dash for what is not said.
pub(crate) fn refusal(row: &Refused) -> String {
    let kind = row.kind.map_or_else(|| "-".to_owned(), |kind| kind.to_string());
    format!("{} {} {kind} {}", row.service, row.port.as_deref().unwrap_or("-"), row.reason)
}

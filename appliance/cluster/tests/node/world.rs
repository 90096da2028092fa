//! A small cluster to try rules in, seen from `node-a` in `zone-1`.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use spillway_cluster::node::{NodeCluster, NodePolicy, NodeService, NodeView, Place};
use spillway_cluster::{Change, Kind, Object};

/// Whose view it is.
pub(crate) const NODE: &str = "node-a";

pub(crate) fn policy() -> NodePolicy {
    NodePolicy {
        node: NODE.to_owned(),
        external_ips: vec!["203.0.113.128/25".parse().unwrap(), "2001:db8::/64".parse().unwrap()],
        ..NodePolicy::default()
    }
}

pub(crate) fn node(name: &str, zone: &str, address: &str) -> Value {
    json!({
        "metadata": {
            "name": name,
            "uid": format!("uid-{name}"),
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": { "topology.kubernetes.io/zone": zone },
        },
        "status": { "addresses": [
            { "type": "Hostname", "address": name },
            { "type": "InternalIP", "address": address },
        ] },
    })
}

/// `spec` is merged over a Service of type ClusterIP with one TCP port.
pub(crate) fn service(name: &str, spec: Value) -> Value {
    let mut object = json!({
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": format!("uid-{name}"),
            "creationTimestamp": "2026-01-02T00:00:00Z",
        },
        "spec": {
            "clusterIP": "10.96.0.10",
            "clusterIPs": ["10.96.0.10"],
            "ipFamilies": ["IPv4"],
            "ports": [{ "name": "http", "port": 80 }],
        },
    });
    merge(&mut object["spec"], spec);
    object
}

/// The same of type LoadBalancer, with an address of somebody's pool.
pub(crate) fn balanced(name: &str, spec: Value) -> Value {
    let base = json!({
        "type": "LoadBalancer",
        "ports": [{ "name": "http", "port": 80, "nodePort": 30080 }],
    });
    let mut object = service(name, base);
    merge(&mut object["spec"], spec);
    object["status"] = json!({ "loadBalancer": { "ingress": [{ "ip": "203.0.113.5" }] } });
    object
}

/// An endpoint that is ready.
pub(crate) fn ready(address: &str, node: &str) -> Value {
    endpoint(address, node, "ready")
}

/// `state`: `ready`, `terminating` (and serving), `gone` (terminating and not serving), `starting`.
pub(crate) fn endpoint(address: &str, node: &str, state: &str) -> Value {
    let conditions = json!({
        "ready": state == "ready",
        "serving": matches!(state, "ready" | "terminating"),
        "terminating": matches!(state, "terminating" | "gone"),
    });
    json!({ "addresses": [address], "nodeName": node, "conditions": conditions })
}

/// Adds hints: zones or nodes.
pub(crate) fn hinted(mut endpoint: Value, key: &str, names: &[&str]) -> Value {
    let names: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
    endpoint["hints"][key] = json!(names);
    endpoint
}

pub(crate) fn slice(name: &str, of: &str, endpoints: &[Value]) -> Value {
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
    pub(crate) cluster: NodeCluster,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(policy())
    }

    pub(crate) fn with(policy: NodePolicy) -> Self {
        let mut world = Self { cluster: NodeCluster::new(policy) };
        for (name, zone, address) in [
            ("node-a", "zone-1", "10.0.0.11"),
            ("node-b", "zone-1", "10.0.0.12"),
            ("node-c", "zone-2", "10.0.0.13"),
        ] {
            world.node(&node(name, zone, address));
        }
        world
    }

    fn put(&mut self, kind: Kind, json: &Value) -> &mut Self {
        self.cluster.apply(Change::Upsert(Object::parse(kind, json).unwrap()));
        self
    }

    pub(crate) fn service(&mut self, json: &Value) -> &mut Self {
        self.put(Kind::Service, json)
    }

    pub(crate) fn slice(&mut self, json: &Value) -> &mut Self {
        self.put(Kind::EndpointSlice, json)
    }

    pub(crate) fn node(&mut self, json: &Value) -> &mut Self {
        self.put(Kind::Node, json)
    }

    pub(crate) fn view(&mut self) -> Arc<NodeView> {
        self.cluster.view()
    }

    /// The whole view, a line per frontend: see [`lines`].
    pub(crate) fn lines(&mut self) -> Vec<String> {
        self.view().services.iter().flat_map(|service| lines(service)).collect()
    }

    pub(crate) fn refused(&mut self) -> Vec<String> {
        self.view().refused.clone()
    }

    /// The backends of the only frontend: for who is inside, and for who is outside.
    pub(crate) fn reached(&mut self) -> (String, String) {
        let lines = self.lines();
        let [line] = lines.as_slice() else { panic!("{lines:#?}") };
        let (_, reached) = line.split_once(" in ").unwrap();
        let (internal, external) = reached.split_once(" out ").unwrap_or((reached, "-"));
        (internal.to_owned(), external.to_owned())
    }
}

/// `name kind place:port/protocol in backend,... out backend,...`, without `out` where nobody outside is answered; `~`
/// before those that terminate; `guarded` at the end.
pub(crate) fn lines(service: &NodeService) -> Vec<String> {
    let pool = |at: u8| {
        let pool = &service.pools[usize::from(at)];
        let mark = if pool.is_terminating { "~" } else { "" };
        let sockets = pool.members.iter().map(|member| {
            let backend = service.backends[usize::from(*member)];
            assert_eq!(backend.is_terminating, pool.is_terminating, "{service:#?}");
            assert!(backend.is_local || !pool.is_local, "{service:#?}");
            format!("{mark}{}", SocketAddr::new(backend.address, backend.port))
        });
        let sockets: Vec<String> = sockets.collect();
        if sockets.is_empty() { "nobody".to_owned() } else { sockets.join(",") }
    };
    let line = |front: &spillway_cluster::node::NodeFrontend| {
        let place = match front.place {
            Place::Address(address) => SocketAddr::new(address, front.port).to_string(),
            Place::Node => format!("{:?}:{}", service.family, front.port),
        };
        let mut line = format!("{} {} {place}/{}", service.name, front.kind, service.protocol);
        write!(line, " in {}", pool(front.internal)).unwrap();
        if let Some(external) = front.external {
            write!(line, " out {}", pool(external)).unwrap();
        }
        if front.is_guarded {
            line += " guarded";
        }
        line
    };
    service.frontends.iter().map(line).collect()
}

//! The API's objects, as far as the box reads them.
//!
//! Lean copies of `v1.Service`, `discovery.k8s.io/v1.EndpointSlice` and `v1.Node` in the API's own JSON shape: what
//! the server said can be read, and what was read can be written to disk and read again. Fields that the box does
//! not use are dropped, `null` is as good as absent (the Go server writes empty lists as `null`), and numbers and
//! addresses are checked where they are used, so that one bad port refuses that port and nothing else.
//!
//! Nothing that a server can send makes [`Object::parse`] fail, except an object without a name.

mod meta;
mod node;
mod service;
mod shown;
mod slice;

use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

pub use meta::Meta;
pub use node::{Node, NodeAddress, NodeCondition, NodeSpec, NodeStatus, Taint};
pub use service::{
    ClientIpConfig, Condition, Ingress, IngressPort, LoadBalancerStatus, Service, ServicePort,
    ServiceSpec, ServiceStatus, SessionAffinityConfig,
};
pub use shown::Shown;
pub use slice::{Conditions, Endpoint, EndpointPort, EndpointSlice, ForName, Hints};

use crate::change::{Kind, ObjectKey};

/// RFC 1123 subdomain, the longest name that Kubernetes gives to anything.
const NAME_LEN_MAX: usize = 253;

/// Key under which a cached [`Object::Unreadable`] keeps its sentence.
const UNREADABLE: &str = "spillway.io/unreadable";

/// One object of the watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    Service(Arc<Service>),
    EndpointSlice(Arc<EndpointSlice>),
    Node(Arc<Node>),
    /// It is there, and it cannot be served. Takes the place of an earlier, readable version.
    Unreadable {
        kind: Kind,
        key: ObjectKey,
        /// A sentence for the operator.
        reason: String,
    },
}

/// An object that cannot even be told from others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a {kind} without metadata.name was sent: ask the server's operator what answers on that address"
)]
pub struct Nameless {
    pub kind: Kind,
}

impl Object {
    /// Reads what the server sent as an object of `kind`.
    ///
    /// # Errors
    /// [`Nameless`] when there is no `metadata.name`. Everything else that is wrong gives
    /// [`Object::Unreadable`].
    pub fn parse(kind: Kind, json: &Value) -> Result<Self, Nameless> {
        let key = key_of(json).ok_or(Nameless { kind })?;
        if let Some(reason) = flaw(kind, &key, json) {
            return Ok(Self::Unreadable { kind, key, reason });
        }
        let object = match kind {
            Kind::Service => {
                Service::deserialize(json).map(|it| Self::Service(Arc::new(it.tidied())))
            }
            Kind::EndpointSlice => EndpointSlice::deserialize(json)
                .map(|it| Self::EndpointSlice(Arc::new(it.tidied()))),
            Kind::Node => Node::deserialize(json).map(|it| Self::Node(Arc::new(it.tidied()))),
        };
        Ok(object.unwrap_or_else(|error| {
            let reason = format!(
                "{kind} {} cannot be read: {}",
                Shown(&key.to_string()),
                Shown(&error.to_string())
            );
            Self::Unreadable { kind, key, reason }
        }))
    }

    pub fn kind(&self) -> Kind {
        match self {
            Self::Service(_) => Kind::Service,
            Self::EndpointSlice(_) => Kind::EndpointSlice,
            Self::Node(_) => Kind::Node,
            Self::Unreadable { kind, .. } => *kind,
        }
    }

    pub fn key(&self) -> ObjectKey {
        match self {
            Self::Service(service) => service.meta.key(),
            Self::EndpointSlice(slice) => slice.meta.key(),
            Self::Node(node) => node.meta.key(),
            Self::Unreadable { key, .. } => key.clone(),
        }
    }

    /// What [`Object::parse`] reads back as an equal object.
    pub fn to_json(&self) -> Value {
        let written = match self {
            Self::Service(service) => serde_json::to_value(service.as_ref()),
            Self::EndpointSlice(slice) => serde_json::to_value(slice.as_ref()),
            Self::Node(node) => serde_json::to_value(node.as_ref()),
            Self::Unreadable { key, reason, .. } => Ok(json!({
                "metadata": { "name": key.name, "namespace": key.namespace },
                UNREADABLE: reason,
            })),
        };
        // Maps with text keys and plain values cannot fail to be written; null would be read as `Nameless`.
        written.unwrap_or_default()
    }
}

fn key_of(json: &Value) -> Option<ObjectKey> {
    let meta = json.get("metadata")?;
    let name = meta.get("name")?.as_str()?;
    if name.is_empty() {
        return None;
    }
    let namespace = meta.get("namespace").and_then(Value::as_str).unwrap_or_default();
    Some(ObjectKey { namespace: namespace.to_owned(), name: name.to_owned() })
}

/// What makes it hopeless to read the rest.
fn flaw(kind: Kind, key: &ObjectKey, json: &Value) -> Option<String> {
    if let Some(reason) = json.get(UNREADABLE).and_then(Value::as_str) {
        return Some(reason.to_owned());
    }
    let shown = key.to_string();
    let shown = Shown(&shown);
    // Keys and model names are made of these two, so neither may hold a separator.
    if !is_name(&key.name) || !(key.namespace.is_empty() || is_name(&key.namespace)) {
        return Some(format!("{kind} {shown} has a name that Kubernetes does not allow"));
    }
    if key.namespace.is_empty() != (kind == Kind::Node) {
        let what = if kind == Kind::Node { "has a namespace" } else { "has no namespace" };
        return Some(format!("{kind} {shown} {what}"));
    }
    // Items of a LIST have no kind; those of a WATCH do.
    let said = json.get("kind").and_then(Value::as_str)?;
    (said != kind.to_string()).then(|| format!("{kind} {shown} says that it is a {}", Shown(said)))
}

fn is_name(name: &str) -> bool {
    let good = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
    };
    !name.is_empty() && name.len() <= NAME_LEN_MAX && name.bytes().all(good)
}

/// `null` is the default value.
fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

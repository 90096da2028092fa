//! What the watch says.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kinds of object that the box watches.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    Service,
    EndpointSlice,
    Node,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Service, Self::EndpointSlice, Self::Node];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Node => "Node",
        })
    }
}

/// Names one object of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectKey {
    /// Empty for what has none, such as a Node.
    pub namespace: String,
    pub name: String,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            return f.pad(&self.name);
        }
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One step of the watch of one kind. Generic over the object, so that the watch needs not know it.
#[derive(Clone, Debug, PartialEq)]
pub enum Change<O> {
    /// All objects of the kind: what is not in here is gone.
    Replace {
        kind: Kind,
        objects: Vec<O>,
    },
    Upsert(O),
    Delete {
        kind: Kind,
        key: ObjectKey,
    },
}

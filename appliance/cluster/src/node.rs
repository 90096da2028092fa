//! What one node of the cluster serves: every Service, for the pods and the host of this node, and for what comes to
//! it from outside.
//!
//! Other than the box in front of the cluster a node has no addresses to give, and its backends are always the pods
//! themselves. Which of them a frontend leads to depends on the node: its name (traffic policies), its zone
//! (topology), its addresses (NodePorts).

pub mod model;
pub mod policy;

pub use model::{HealthPort, NodeBackend, NodeFrontend, NodeService, NodeView, Place, Pool};
pub use policy::NodePolicy;

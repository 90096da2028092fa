//! What one node of the cluster serves: every Service, for the pods and the host of this node, and for what comes to
//! it from outside.
//!
//! ```text
//! watch ─Change→ Index ─┬ Service ─read→ Spec ─wishes→ settle ─┐
//!                       └ EndpointSlices ─────────────── join ─┴ build → NodeService ─→ NodeView
//! ```
//! Other than the box in front of the cluster a node has no addresses to give, and its backends are always the pods
//! themselves. Which of them a frontend leads to depends on the node: its name (traffic policies), its zone
//! (topology), its addresses (NodePorts). Every Service is served, whatever its class, as kube-proxy serves it; where
//! kube-proxy is not followed, [`spec`] and [`join`] say why.

pub(crate) mod build;
pub mod cluster;
pub(crate) mod facts;
pub(crate) mod join;
pub mod model;
pub mod policy;
pub(crate) mod settle;
pub(crate) mod spec;

pub use cluster::NodeCluster;
pub use model::{HealthPort, NodeBackend, NodeFrontend, NodeService, NodeView, Place, Pool};
pub use policy::NodePolicy;

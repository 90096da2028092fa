//! What a Kubernetes cluster wants served.
//!
//! ```text
//! watch ─Change→ Index ─┐
//! pools ───→ AddressBook ┴→ translate → Model, refusals, intents ─→ plan → writes
//! ```
//!
//! Invariants: no I/O, no clock, no randomness, no async: changes, time and seeds are arguments. One hostile
//! object harms nobody else. Nothing is served on an address that the operator did not give.
//! Must never depend on `kube`, on DPDK or on the appliance.

pub mod access;
pub mod addresses;
pub mod annotations;
pub mod change;
pub mod cluster;
pub mod election;
pub mod eligibility;
pub mod events;
pub mod index;
pub mod node;
pub mod object;
pub mod policy;
pub mod pool;
pub mod status;
pub mod translate;

pub use access::Access;
pub use change::{Change, Kind, ObjectKey};
pub use cluster::{Cluster, View};
pub use eligibility::NodeRow;
pub use index::Index;
pub use object::Object;
pub use policy::{BackendMode, Policy};
pub use pool::{LabelRule, Pool, Span};
pub use translate::{Promise, Promised, RefusalReason, Refused};

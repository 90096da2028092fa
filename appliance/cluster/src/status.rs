//! What the box says of a Service in the API, and how it brings the object there.
//!
//! [`plan`] compares an [`Intent`] with the object as the API server has it, and gives the one write that comes
//! next, or none. It is level-triggered: whoever carries a write out plans again with the object that the
//! answer holds, until nothing is left to do.
//!
//! ```text
//! Serve    mark (finalizer) ─ workers serve it ─→ ingress + condition True
//! Pending  ingress withdrawn + condition False with the reason
//! CleanUp  workers forgot it ─→ ingress and condition withdrawn ─→ mark and finalizer removed
//! ```
//!
//! A write is a merge patch that carries `resourceVersion` and `uid`. Lists are replaced whole by a merge patch
//! (RFC 7396), so one that was computed from an older object must fail (409), and it does.
//!
//! The finalizer has a generic name that any load-balancer controller uses. An annotation beside it, the mark,
//! says that this box put it there, for this very object: without it nobody could tell after a restart
//! whether the finalizer of a Service that is no longer ours is ours to remove.

mod condition;
mod ingress;
mod intent;
mod plan;
#[cfg(test)]
mod tests;

pub(crate) use condition::shortened;
pub use intent::{
    Ingress, IngressPort, Intent, IntentState, IpMode, PendingReason, PortError, Transport,
};
pub use plan::{Circumstances, Write, plan};

/// Keeps a deleted Service until its load balancer is gone (KEP-980).
pub const FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";

/// Beside the finalizer; its value is `class/uid`, see [`mark`].
pub const MARK: &str = "spillway.io/cleanup";

/// The condition that tells whether the box serves the Service.
pub const CONDITION: &str = "spillway.io/LoadBalancerServing";

/// Value of the [`MARK`]. The uid, so that a copied manifest marks nothing; the class, so that two boxes with
/// classes of their own do not clean up after each other.
pub fn mark(class: &str, uid: &str) -> String {
    format!("{class}/{uid}")
}

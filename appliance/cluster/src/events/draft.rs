//! What an event says, before it is counted and limited.

use crate::change::ObjectKey;

/// `reason` of an event.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    EnsuringLoadBalancer,
    EnsuredLoadBalancer,
    UpdatedLoadBalancer,
    SyncLoadBalancerFailed,
    UpdateLoadBalancerFailed,
    UnAvailableLoadBalancer,
    DeletingLoadBalancer,
    DeletedLoadBalancer,
    DeleteLoadBalancerFailed,
    /// Ours: another Service has the address.
    AddressConflict,
    /// Ours: mode `node` needs node ports and the Service has none.
    NodePortRequired,
    /// Ours: the specification cannot be served.
    ServiceRefused,
}

/// `type` of an event.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    Normal,
    Warning,
}

impl Severity {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

impl Reason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EnsuringLoadBalancer => "EnsuringLoadBalancer",
            Self::EnsuredLoadBalancer => "EnsuredLoadBalancer",
            Self::UpdatedLoadBalancer => "UpdatedLoadBalancer",
            Self::SyncLoadBalancerFailed => "SyncLoadBalancerFailed",
            Self::UpdateLoadBalancerFailed => "UpdateLoadBalancerFailed",
            Self::UnAvailableLoadBalancer => "UnAvailableLoadBalancer",
            Self::DeletingLoadBalancer => "DeletingLoadBalancer",
            Self::DeletedLoadBalancer => "DeletedLoadBalancer",
            Self::DeleteLoadBalancerFailed => "DeleteLoadBalancerFailed",
            Self::AddressConflict => "AddressConflict",
            Self::NodePortRequired => "NodePortRequired",
            Self::ServiceRefused => "ServiceRefused",
        }
    }

    pub const fn severity(self) -> Severity {
        match self {
            Self::EnsuringLoadBalancer
            | Self::EnsuredLoadBalancer
            | Self::UpdatedLoadBalancer
            | Self::DeletingLoadBalancer
            | Self::DeletedLoadBalancer => Severity::Normal,
            Self::SyncLoadBalancerFailed
            | Self::UpdateLoadBalancerFailed
            | Self::UnAvailableLoadBalancer
            | Self::DeleteLoadBalancerFailed
            | Self::AddressConflict
            | Self::NodePortRequired
            | Self::ServiceRefused => Severity::Warning,
        }
    }

    /// The controller's own sentence, for the reasons that have one.
    pub const fn message(self) -> Option<&'static str> {
        match self {
            Self::EnsuringLoadBalancer => Some("Ensuring load balancer"),
            Self::EnsuredLoadBalancer => Some("Ensured load balancer"),
            Self::UpdatedLoadBalancer => Some("Updated load balancer with new hosts"),
            Self::UnAvailableLoadBalancer => Some("There are no available nodes for LoadBalancer"),
            Self::DeletingLoadBalancer => Some("Deleting load balancer"),
            Self::DeletedLoadBalancer => Some("Deleted load balancer"),
            Self::SyncLoadBalancerFailed
            | Self::UpdateLoadBalancerFailed
            | Self::DeleteLoadBalancerFailed
            | Self::AddressConflict
            | Self::NodePortRequired
            | Self::ServiceRefused => None,
        }
    }
}

/// An event that is worth telling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Draft {
    pub service: ObjectKey,
    pub uid: String,
    pub reason: Reason,
    pub message: String,
}

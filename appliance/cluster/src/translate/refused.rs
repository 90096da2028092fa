//! Why something is not served: a word for machines, a sentence for people.

use std::fmt;

use spillway_lb::model::ServiceKind;

use crate::addresses::AddressError;
use crate::change::ObjectKey;

/// One thing that is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The Service, or the object that cannot be read.
    pub service: ObjectKey,
    /// Name, or `number/protocol` of an unnamed one; `None`: all of them.
    pub port: Option<String>,
    /// `None`: whatever kind of frontend.
    pub kind: Option<ServiceKind>,
    pub reason: RefusalReason,
    /// A sentence: what, why, and how to have it served. Foreign text in it is escaped and cut.
    pub message: String,
}

/// Declares the reasons with their stable names.
macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)+) => {
        /// Why. The names are stable: metrics, events and scripts use them.
        #[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum RefusalReason {
            $($(#[$doc])* $variant,)+
        }

        impl RefusalReason {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Kebab case, never changed once it was released.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

reasons! {
    /// Type ClusterIP and no externalIPs: it asks nothing of a box outside the cluster.
    ClusterIp => "cluster-ip",
    /// No cluster address: clients are to use the pods' names.
    Headless => "headless",
    /// A name in DNS.
    ExternalName => "external-name",
    /// The label `service.kubernetes.io/service-proxy-name` gives it to another proxy.
    ForeignProxy => "foreign-proxy",
    /// `loadBalancerClass` is another's, or there is none and class-less Services are not ours.
    NotOurClass => "not-our-class",
    /// Somebody has deleted it; finalizers keep the object.
    Terminating => "terminating",
    /// The object cannot be read at all.
    Unreadable => "unreadable",
    /// A field holds what the API does not allow.
    Invalid => "invalid",
    /// An annotation of ours holds what it may not.
    BadAnnotation => "bad-annotation",
    /// A source range cannot be read; the Service is not opened to everybody instead.
    BadSourceRange => "bad-source-range",
    /// The data plane does not forward SCTP.
    Sctp => "sctp",
    /// The data plane does not forward IPv6.
    Ipv6 => "ipv6",
    /// An address of a family that the Service does not have.
    WrongFamily => "wrong-family",
    /// More ports than the box takes of one Service.
    TooManyPorts => "too-many-ports",
    /// More endpoints than the box takes of one port.
    TooManyBackends => "too-many-backends",
    /// The box has no address of its own for NodePorts.
    NoNodePortAddress => "no-node-port-address",
    /// The nodePort is not within the cluster's range, so it could be any port of a node.
    NodePortRange => "node-port-range",
    /// Mode `node` and no nodePort to send to.
    NodePortRequired => "node-port-required",
    /// `externalIPs` outside of the operator's ranges.
    ExternalIpNotAllowed => "external-ip-not-allowed",
    /// No pool has an address for it.
    NoAddress => "no-address",
    /// The pool that it names does not exist.
    PoolUnknown => "pool-unknown",
    /// The pool that it names is not for it.
    PoolForbidden => "pool-forbidden",
    /// The address that it asks for is in no pool.
    AddressForeign => "address-foreign",
    /// The address that it asks for belongs to another.
    AddressTaken => "address-taken",
    /// An older Service has the same address, port and protocol.
    FrontendTaken => "frontend-taken",
    /// An endpoint that is neither a pod nor a node (CVE-2021-25737, CVE-2021-25740).
    HostileEndpoint => "hostile-endpoint",
    /// An EndpointSlice of names; only addresses can be forwarded to.
    FqdnEndpoints => "fqdn-endpoints",
    /// An EndpointSlice's port without a number, or with an impossible one.
    EndpointPort => "endpoint-port",
}

impl RefusalReason {
    /// Whether this is how it should be: nothing for an operator to mend.
    pub const fn is_by_design(self) -> bool {
        matches!(
            self,
            Self::ClusterIp
                | Self::Headless
                | Self::ExternalName
                | Self::ForeignProxy
                | Self::NotOurClass
                | Self::Terminating
        )
    }
}

impl From<&AddressError> for RefusalReason {
    fn from(error: &AddressError) -> Self {
        match error {
            AddressError::PoolUnknown { .. } => Self::PoolUnknown,
            AddressError::PoolForbidden { .. } => Self::PoolForbidden,
            AddressError::AddressInNoPool { .. }
            | AddressError::AddressNotInPool { .. }
            | AddressError::AddressAvoided { .. } => Self::AddressForeign,
            AddressError::AddressTaken { .. } => Self::AddressTaken,
            AddressError::FamilyNotWanted { .. } | AddressError::NoFamily { .. } => {
                Self::WrongFamily
            }
            AddressError::TwoOfOneFamily { .. } => Self::Invalid,
            AddressError::Exhausted { .. }
            | AddressError::NoPool { .. }
            | AddressError::OneFamilyOnly { .. } => Self::NoAddress,
            AddressError::HalfOnly { cause, .. } => Self::from(cause.as_ref()),
        }
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_reason_has_a_kebab_case_name_of_its_own() {
        let names: BTreeSet<&str> = RefusalReason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), RefusalReason::ALL.len());
        for name in names {
            assert!(
                name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-'),
                "{name}"
            );
        }
    }
}

//! What a Service's status is to say, as soon as the workers make it true.

use std::net::IpAddr;

use spillway_lb::ids::Generation;
use spillway_lb::model::{Frontend, Protocol, ServiceKind};

use super::fronts::Won;
use super::refused::RefusalReason as Why;
use super::spec::Spec;
use crate::addresses::{AddressError, Assignment};
use crate::change::ObjectKey;
use crate::object::Service;
use crate::policy::BackendMode;
use crate::status::{
    FINALIZER, Ingress, IngressPort, Intent, IntentState, IpMode, MARK, PendingReason, PortError,
    Transport,
};

/// An [`Intent`] that does not know yet which Generation will make it true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    pub service: ObjectKey,
    pub uid: String,
    pub state: Promised,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Promised {
    /// The Model has it on these addresses.
    Serve { ingress: Vec<Ingress> },
    /// Ours, and not in the Model.
    Pending { reason: PendingReason, message: String },
    /// Not in the Model, and perhaps marked as ours; `is_deleted` as in [`IntentState::CleanUp`].
    CleanUp { is_deleted: bool },
}

impl Promise {
    /// The Intent. `generation`: the first that was made of a Model with which this was promised.
    pub fn at(&self, generation: Generation) -> Intent {
        let state = match &self.state {
            Promised::Serve { ingress } => {
                IntentState::Serve { ingress: ingress.clone(), generation }
            }
            Promised::Pending { reason, message } => {
                IntentState::Pending { reason: *reason, message: message.clone() }
            }
            Promised::CleanUp { is_deleted } => {
                IntentState::CleanUp { is_deleted: *is_deleted, generation }
            }
        };
        Intent { service: self.service.clone(), uid: self.uid.clone(), state }
    }

    /// What is to be said of a Service; `None`: it is none of our business. `owns`: whether an address is of our pools.
    pub(crate) fn of(
        service: &Service,
        spec: &Spec,
        assigned: Option<&Result<Assignment, AddressError>>,
        won: &Won,
        owns: impl Fn(IpAddr) -> bool,
    ) -> Option<Self> {
        let state = if spec.is_ours && !spec.is_terminating {
            serve_or_say_why(spec, assigned, won)
        } else if is_marked(service, owns) {
            Promised::CleanUp { is_deleted: spec.is_ours }
        } else {
            return None;
        };
        Some(Self { service: spec.key.clone(), uid: service.meta.uid.clone(), state })
    }
}

/// Whether anything on it may be ours to take away. The writer looks for the proof.
fn is_marked(service: &Service, owns: impl Fn(IpAddr) -> bool) -> bool {
    let mut ingress = service.status.load_balancer.ingress.iter();
    service.meta.finalizers.iter().any(|it| it == FINALIZER)
        || service.meta.annotations.contains_key(MARK)
        || ingress.any(|it| it.ip.as_deref().and_then(|ip| ip.parse().ok()).is_some_and(&owns))
}

fn serve_or_say_why(
    spec: &Spec,
    assigned: Option<&Result<Assignment, AddressError>>,
    won: &Won,
) -> Promised {
    let assignment = match assigned {
        Some(Ok(assignment)) => assignment,
        Some(Err(error)) => {
            return Promised::Pending {
                reason: PendingReason::from(error),
                message: error.to_string(),
            };
        }
        None => return refused(spec),
    };
    let fronts = won.fronts.iter().filter(|front| front.kind == ServiceKind::LoadBalancer);
    let served: Vec<Frontend> = fronts.flat_map(|front| &front.frontends).copied().collect();
    let addresses =
        assignment.addresses.iter().filter(|ip| served.iter().any(|it| it.address == **ip));
    let ingress: Vec<Ingress> = addresses
        .map(|ip| Ingress { ip: *ip, ip_mode: IpMode::Proxy, ports: ports_at(spec, *ip, &served) })
        .collect();
    if ingress.is_empty() {
        let taken = won.refused.iter().find(|row| row.kind == Some(ServiceKind::LoadBalancer));
        let message = taken.map_or_else(
            || format!("Service {}: no port is served", spec.key),
            |row| row.message.clone(),
        );
        return Promised::Pending { reason: PendingReason::AddressConflict, message };
    }
    Promised::Serve { ingress }
}

fn ports_at(spec: &Spec, ip: IpAddr, served: &[Frontend]) -> Vec<IngressPort> {
    let said = spec.said_ports.iter().map(|said| {
        let protocol = match said.protocol {
            Transport::Tcp => Protocol::Tcp,
            Transport::Udp => Protocol::Udp,
            Transport::Sctp => return *said,
        };
        let is_served = served.contains(&Frontend { address: ip, port: said.port, protocol });
        let port =
            spec.ports.iter().find(|port| port.number == said.port && port.protocol == protocol);
        let has_no_node_port = spec.terms.mode == BackendMode::Node
            && port.is_some_and(|port| port.node_port.is_none());
        let error = match (is_served, has_no_node_port) {
            (true, _) => said.error,
            (false, true) => Some(PortError::NodePortRequired),
            (false, false) => Some(PortError::NotServed),
        };
        IngressPort { error, ..*said }
    });
    said.collect()
}

/// Why no address was asked for.
fn refused(spec: &Spec) -> Promised {
    let is_about_it =
        |kind: Option<ServiceKind>| kind.is_none_or(|kind| kind == ServiceKind::LoadBalancer);
    let row = spec.refused.iter().find(|row| is_about_it(row.kind) && row.port.is_none());
    let row = row.or_else(|| spec.refused.iter().find(|row| is_about_it(row.kind)));
    let Some(row) = row else {
        let message = format!("Service {}: has no port that can be served", spec.key);
        return Promised::Pending { reason: PendingReason::Refused, message };
    };
    let reason = if row.reason == Why::NodePortRequired {
        PendingReason::NodePortRequired
    } else if row.reason == Why::Ipv6 {
        PendingReason::FamilyUnavailable
    } else {
        PendingReason::Refused
    };
    Promised::Pending { reason, message: row.message.clone() }
}

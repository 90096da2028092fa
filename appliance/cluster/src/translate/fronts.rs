//! Where each Service is answered, and who wins when two want the same place.
//!
//! A frontend has one owner. What the operator or the API server gives out (addresses of the pools, nodePorts)
//! comes before what a Service's author writes down himself (externalIPs, CVE-2020-8554); after that the older
//! Service wins, by `creationTimestamp` and then uid, and keeps what it has.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use spillway_lb::model::{Frontend, ServiceKind};

use super::ports::Port;
use super::refused::{RefusalReason, Refused};
use super::spec::Spec;
use crate::addresses::{Assignment, Family};
use crate::change::ObjectKey;
use crate::policy::Policy;

/// One `lb` Service to be: a port, a kind and a family, which backends are of, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Front {
    /// Which of [`Spec::ports`].
    pub port: usize,
    pub kind: ServiceKind,
    pub family: Family,
    pub frontends: Vec<Frontend>,
}

/// A Service and the addresses that it got.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Claimant<'a> {
    pub spec: &'a Spec,
    pub assigned: Option<&'a Assignment>,
}

/// What a Service got of what it wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Won {
    /// In the order of port and kind; those without a frontend are left out.
    pub fronts: Vec<Front>,
    pub refused: Vec<Refused>,
}

/// Settles all claims at once.
pub(crate) fn settle(claimants: &[Claimant<'_>], policy: &Policy) -> BTreeMap<ObjectKey, Won> {
    let mut by_age: Vec<&Claimant<'_>> = claimants.iter().collect();
    by_age.sort_by(|a, b| (&a.spec.age, &a.spec.key).cmp(&(&b.spec.age, &b.spec.key)));
    let wanted: Vec<(&Spec, Vec<Front>)> =
        by_age.into_iter().map(|claimant| (claimant.spec, wanted(*claimant, policy))).collect();

    let mut owners: HashMap<Frontend, &Spec> = HashMap::new();
    for is_given in [true, false] {
        for (spec, fronts) in &wanted {
            let fronts =
                fronts.iter().filter(|front| (front.kind != ServiceKind::ExternalIp) == is_given);
            for frontend in fronts.flat_map(|front| &front.frontends) {
                owners.entry(*frontend).or_insert(*spec);
            }
        }
    }
    wanted
        .into_iter()
        .map(|(spec, fronts)| (spec.key.clone(), won(spec, fronts, &owners)))
        .collect()
}

/// Everything that a Service would be answered on if it were alone.
fn wanted(claimant: Claimant<'_>, policy: &Policy) -> Vec<Front> {
    let Claimant { spec, assigned } = claimant;
    let addresses = assigned.map(|it| it.addresses.as_slice()).unwrap_or_default();
    let mut fronts = Vec::new();
    for (at, port) in spec.ports.iter().enumerate() {
        if !spec.is_forwardable(port) {
            continue;
        }
        let mut places: Vec<(ServiceKind, &[IpAddr], u16)> =
            vec![(ServiceKind::LoadBalancer, addresses, port.number)];
        if let Some(node_port) = port.node_port.filter(|_| spec.has_node_ports) {
            places.push((ServiceKind::NodePort, &policy.node_port_addresses, node_port));
        }
        places.push((ServiceKind::ExternalIp, &spec.external_ips, port.number));
        for (kind, addresses, number) in places {
            for family in [Family::V4, Family::V6] {
                let frontends = frontends(spec, port, family, addresses, number);
                if !frontends.is_empty() {
                    fronts.push(Front { port: at, kind, family, frontends });
                }
            }
        }
    }
    fronts
}

fn frontends(
    spec: &Spec,
    port: &Port,
    family: Family,
    addresses: &[IpAddr],
    number: u16,
) -> Vec<Frontend> {
    if !spec.families.contains(&family) {
        return Vec::new();
    }
    let own = addresses.iter().filter(|address| Family::of(**address) == family);
    let mut frontends: Vec<Frontend> = own
        .map(|address| Frontend { address: *address, port: number, protocol: port.protocol })
        .collect();
    frontends.sort();
    frontends.dedup();
    frontends
}

/// Leaves a Service what it owns.
fn won(spec: &Spec, fronts: Vec<Front>, owners: &HashMap<Frontend, &Spec>) -> Won {
    let mut won = Won::default();
    // The same place by two ways, such as an externalIP that repeats the assigned address, is served once.
    let mut served = Vec::new();
    for mut front in fronts {
        let kind = front.kind;
        let label = spec.ports.get(front.port).map(|port| port.label.clone());
        front.frontends.retain(|frontend| match owners.get(frontend) {
            Some(owner) if owner.key == spec.key => {
                let is_new = !served.contains(frontend);
                served.push(*frontend);
                is_new
            }
            Some(owner) => {
                let message = format!(
                    "Service {}: {}:{}/{} belongs to Service {}, which is older or was given it; change one of them",
                    spec.key, frontend.address, frontend.port, frontend.protocol, owner.key
                );
                won.refused.push(Refused {
                    service: spec.key.clone(),
                    port: label.clone(),
                    kind: Some(kind),
                    reason: RefusalReason::FrontendTaken,
                    message,
                });
                false
            }
            None => false,
        });
        if !front.frontends.is_empty() {
            won.fronts.push(front);
        }
    }
    won
}

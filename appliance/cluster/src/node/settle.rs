//! Who is answered where, when two want the same place.
//!
//! A place has one owner. The operator's static services come first; then what the API server and controllers give
//! out (ClusterIPs, nodePorts, addresses of load balancers), then what a Service's author writes down himself
//! (externalIPs). After that the older Service wins and keeps what it has. On the node's own addresses a nodePort comes
//! before whoever names the address itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use spillway_lb::model::{Protocol, ServiceKind};

use super::model::{NodeService, Place};
use super::spec::{Spec, Wish};
use crate::addresses::Family;
use crate::change::ObjectKey;

/// What a Service got of what it wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Won {
    /// In the order of the Service's wishes.
    pub wishes: Vec<Wish>,
    pub health_port: Option<u16>,
    /// Sentences.
    pub refused: Vec<String>,
}

/// Places, with what tells them apart.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
struct Claim {
    family: Family,
    protocol: Protocol,
    place: Place,
    number: u16,
}

/// Who has a place.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Owner<'a> {
    Service(&'a ObjectKey),
    Static(&'a str),
}

#[derive(Debug, Default)]
struct Owners<'a> {
    places: HashMap<Claim, Owner<'a>>,
    health: BTreeMap<u16, &'a ObjectKey>,
}

/// Settles all claims at once. `own`: the node's addresses.
pub(crate) fn settle<'a>(
    specs: impl Iterator<Item = &'a Spec>,
    statics: impl Iterator<Item = &'a NodeService>,
    own: &BTreeSet<IpAddr>,
) -> BTreeMap<ObjectKey, Won> {
    let mut by_age: Vec<&Spec> = specs.collect();
    by_age.sort_by(|a, b| (&a.age, &a.key).cmp(&(&b.age, &b.key)));
    let mut owners = Owners::default();
    for service in statics {
        for front in &service.frontends {
            let (family, protocol) = (service.family, service.protocol);
            let claim = Claim { family, protocol, place: front.place, number: front.port };
            owners.places.insert(claim, Owner::Static(&service.name));
        }
    }
    for rank in 0..=RANK_MAX {
        for spec in &by_age {
            for wish in spec.wishes.iter().filter(|wish| rank_of(wish.kind) == rank) {
                let Some(claim) = claim(spec, wish) else { continue };
                owners.places.entry(claim).or_insert(Owner::Service(&spec.key));
            }
        }
    }
    for spec in &by_age {
        if let Some(port) = spec.health_port {
            owners.health.entry(port).or_insert(&spec.key);
        }
    }
    by_age.iter().map(|spec| (spec.key.clone(), won(spec, &owners, own))).collect()
}

const RANK_MAX: u8 = 3;

const fn rank_of(kind: ServiceKind) -> u8 {
    match kind {
        ServiceKind::ClusterIp => 0,
        ServiceKind::NodePort => 1,
        ServiceKind::LoadBalancer => 2,
        ServiceKind::ExternalIp => RANK_MAX,
    }
}

fn claim(spec: &Spec, wish: &Wish) -> Option<Claim> {
    let protocol = spec.ports.get(wish.port)?.protocol;
    Some(Claim { family: wish.family, protocol, place: wish.place, number: wish.number })
}

impl<'a> Owners<'a> {
    /// Who has a place, as far as it is not the node's own port.
    fn of(&self, claim: Claim, own: &BTreeSet<IpAddr>) -> Option<Owner<'a>> {
        let on_node = match claim.place {
            Place::Address(address) if own.contains(&address) => {
                self.places.get(&Claim { place: Place::Node, ..claim })
            }
            Place::Address(_) | Place::Node => None,
        };
        on_node.or_else(|| self.places.get(&claim)).copied()
    }
}

/// Leaves a Service what it owns.
fn won(spec: &Spec, owners: &Owners<'_>, own: &BTreeSet<IpAddr>) -> Won {
    let mut won = Won::default();
    // The same place by two ways, such as an externalIP that repeats the load balancer's address, is served once: as
    // what it is given as, which comes first.
    let mut served = BTreeSet::new();
    let mut wishes: Vec<&Wish> = spec.wishes.iter().collect();
    wishes.sort_by_key(|wish| rank_of(wish.kind));
    for wish in wishes {
        let Some(claim) = claim(spec, wish) else { continue };
        match owners.of(claim, own) {
            Some(Owner::Service(owner)) if *owner == spec.key => {
                let number = (claim.protocol.number(), wish.family, wish.place, wish.number);
                if served.insert(number) {
                    won.wishes.push(wish.clone());
                }
            }
            Some(owner) => won.refused.push(taken(spec, claim, owner)),
            None => {}
        }
    }
    if let Some(port) = spec.health_port {
        match owners.health.get(&port) {
            Some(owner) if **owner != spec.key => won.refused.push(format!(
                "Service {}: healthCheckNodePort {port} belongs to Service {owner}, which is older; change one of them",
                spec.key
            )),
            Some(_) | None => won.health_port = Some(port),
        }
    }
    won
}

fn taken(spec: &Spec, claim: Claim, owner: Owner<'_>) -> String {
    let place = match claim.place {
        Place::Address(address) => SocketAddr::new(address, claim.number).to_string(),
        Place::Node => format!("nodePort {}", claim.number),
    };
    let whose = match owner {
        Owner::Service(owner) => format!("Service {owner}, which is older or was given it"),
        Owner::Static(owner) => format!("service \"{owner}\" of the configuration"),
    };
    format!(
        "Service {}: {place}/{} belongs to {whose}; change one of them",
        spec.key, claim.protocol
    )
}

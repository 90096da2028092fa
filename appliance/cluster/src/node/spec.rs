//! What one Service asks of a node, checked: depends on that object and on the operator's rules, and on nothing else.
//!
//! As kube-proxy, whatever the class: a ClusterIP of each family, a NodePort, externalIPs, and what a load balancer
//! has written into the status, unless it says `ipMode: Proxy`: then flows have to go through it (KEP-1860). Other
//! than kube-proxy:
//!
//! * externalIPs are served only within the operator's ranges, and by default nowhere: whoever can write a Service
//!   could otherwise take over any address for the whole cluster (CVE-2020-8554). Kubernetes 1.36 deprecates the field
//!   for that reason.
//! * A source range that cannot be read closes the load balancer's addresses instead of opening them, and so do
//!   ranges of the other family only: who lists some clients does not mean everybody else.
//! * Loopback, link-local and multicast addresses are no frontends.
//! * SCTP is not forwarded.
//!
//! A Service that is being deleted is served until it is gone, as long as finalizers hold it.

use std::net::IpAddr;

use ipnet::IpNet;
use spillway_lb::model::{Affinity, Scheduler, ServiceKind};

use super::model::Place;
use super::policy::NodePolicy;
use crate::addresses::Family;
use crate::annotations::scheduler_wish;
use crate::change::ObjectKey;
use crate::eligibility::flaw_of_address;
use crate::object::{Ingress, Service, Shown};
use crate::translate::ports::{Port, port_number, read_ports};
use crate::translate::spec::{
    EXTERNAL_IPS_MAX, PROXY_NAME, Type, affinity_of, families_of, source_ranges, type_of, unknown,
};

/// Ingress points of one Service that are looked at.
const INGRESS_MAX: usize = 256;

/// Somewhere that a Service wants to be answered on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Which of [`Spec::ports`].
    pub port: usize,
    pub family: Family,
    pub kind: ServiceKind,
    pub place: Place,
    pub number: u16,
}

/// A Service as it is to be served, backends aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    pub key: ObjectKey,
    /// Sorts the older first: see [`crate::object::Meta::age`].
    pub age: (bool, String, String),
    pub ports: Vec<Port>,
    pub wishes: Vec<Wish>,
    pub scheduler: Scheduler,
    pub affinity: Affinity,
    /// Of the load balancer's addresses; empty: all.
    pub source_ranges: Vec<IpNet>,
    pub internal_is_local: bool,
    pub external_is_local: bool,
    pub publish_not_ready: bool,
    /// `healthCheckNodePort`, where it means something.
    pub health_port: Option<u16>,
    /// Sentences.
    pub refused: Vec<String>,
}

/// A sentence that goes on after the Service's name.
type Verdict<T> = Result<T, String>;

impl Spec {
    pub(crate) fn read(service: &Service, policy: &NodePolicy) -> Self {
        let (created_unknown, created, uid) = service.meta.age();
        let mut spec = Self {
            key: service.meta.key(),
            age: (created_unknown, created.to_owned(), uid.to_owned()),
            ports: Vec::new(),
            wishes: Vec::new(),
            scheduler: policy.scheduler,
            affinity: Affinity::None,
            source_ranges: Vec::new(),
            internal_is_local: false,
            external_is_local: false,
            publish_not_ready: service.spec.publish_not_ready_addresses,
            health_port: None,
            refused: Vec::new(),
        };
        if is_for_others(service) {
            return spec;
        }
        if let Err(why) = spec.fill(service, policy) {
            // Half of a Service is no Service.
            spec.ports.clear();
            spec.wishes.clear();
            spec.health_port = None;
            spec.refused.clear();
            spec.refuse(&why);
        }
        spec
    }

    fn refuse(&mut self, what: &str) {
        self.refused.push(format!("Service {}: {what}", self.key));
    }

    fn fill(&mut self, service: &Service, policy: &NodePolicy) -> Verdict<()> {
        let type_ = type_of(service).map_err(|(_, why)| why)?;
        self.internal_is_local =
            is_local("internalTrafficPolicy", &service.spec.internal_traffic_policy)?;
        self.external_is_local =
            is_local("externalTrafficPolicy", &service.spec.external_traffic_policy)?;
        self.affinity = affinity_of(service).map_err(|(_, why)| why)?;
        let (families, _) = families_of(service).map_err(|(_, why)| why)?;
        match scheduler_wish(&service.meta) {
            Ok(wish) => self.scheduler = wish.unwrap_or(policy.scheduler),
            // Annotations are ours and not the API's: nobody loses a ClusterIP for one.
            Err(error) => self.refuse(&format!("{error}; the operator's scheduler is used")),
        }
        // Whatever the nodePort, the ClusterIP is served.
        let ports = read_ports(service, &(1..=u16::MAX)).map_err(|(_, why)| why)?;
        for flaw in ports.flaws {
            self.refuse(&flaw.message);
        }
        self.ports = ports.good;
        for address in self.cluster_ips(service, &families) {
            self.wish(ServiceKind::ClusterIp, address);
        }
        if matches!(type_, Type::NodePort | Type::LoadBalancer) {
            self.wish_node_ports(&families, policy);
        }
        if type_ == Type::LoadBalancer {
            self.wish_ingress(service, &families);
            self.health_port = self.health_port_of(service, policy);
        }
        self.wish_external_ips(service, &families, policy)
    }

    /// Every port on an address.
    fn wish(&mut self, kind: ServiceKind, address: IpAddr) {
        let family = Family::of(address);
        let wish = |(port, it): (usize, &Port)| Wish {
            port,
            family,
            kind,
            place: Place::Address(address),
            number: it.number,
        };
        self.wishes.extend(self.ports.iter().enumerate().map(wish));
    }

    fn cluster_ips(&mut self, service: &Service, families: &[Family]) -> Vec<IpAddr> {
        let spec = &service.spec;
        let single = spec.cluster_ips.is_empty().then_some(&spec.cluster_ip);
        let mut good = Vec::new();
        for text in spec.cluster_ips.iter().chain(single) {
            match judge(text, families) {
                Ok(address) if good.contains(&address) => {}
                Ok(address) => good.push(address),
                Err(why) => self.refuse(&format!("ClusterIP {} {why}", Shown(text))),
            }
        }
        good
    }

    fn wish_node_ports(&mut self, families: &[Family], policy: &NodePolicy) {
        let range = &policy.node_port_range;
        for (port, it) in self.ports.clone().iter().enumerate() {
            let Some(number) = it.node_port else { continue };
            if !range.contains(&number) {
                // Within the range nothing but us listens; outside of it kubelet, sshd and all the others do.
                let (low, high) = (range.start(), range.end());
                self.refuse(&format!(
                    "port {} has nodePort {number}, outside of {low}-{high}; see range in [node_ports]",
                    it.label
                ));
                continue;
            }
            let wish = |family: &Family| Wish {
                port,
                family: *family,
                kind: ServiceKind::NodePort,
                place: Place::Node,
                number,
            };
            self.wishes.extend(families.iter().map(wish));
        }
    }

    fn wish_ingress(&mut self, service: &Service, families: &[Family]) {
        match source_ranges(service) {
            Ok(ranges) => self.source_ranges = ranges,
            Err((_, why)) => {
                self.refuse(&format!("{why}; its load balancer's addresses are not served"));
                return;
            }
        }
        for ingress in service.status.load_balancer.ingress.iter().take(INGRESS_MAX) {
            match judge_ingress(ingress, families) {
                None => {}
                Some(Ok(address)) => self.wish(ServiceKind::LoadBalancer, address),
                Some(Err(why)) => self.refuse(&why),
            }
        }
    }

    /// kube-proxy's `NeedsHealthCheck`: type LoadBalancer with externalTrafficPolicy Local.
    fn health_port_of(&mut self, service: &Service, policy: &NodePolicy) -> Option<u16> {
        let said = service.spec.health_check_node_port;
        if said == 0 || !self.external_is_local {
            return None;
        }
        let range = &policy.node_port_range;
        let port = port_number(said).filter(|port| range.contains(port));
        if port.is_none() {
            let (low, high) = (range.start(), range.end());
            self.refuse(&format!(
                "healthCheckNodePort {said} is outside of {low}-{high}; see range in [node_ports]"
            ));
        }
        port
    }

    fn wish_external_ips(
        &mut self,
        service: &Service,
        families: &[Family],
        policy: &NodePolicy,
    ) -> Verdict<()> {
        let said = &service.spec.external_ips;
        if said.len() > EXTERNAL_IPS_MAX {
            return Err(format!("has more than {EXTERNAL_IPS_MAX} externalIPs"));
        }
        for text in said {
            let allowed = judge(text.trim(), families).and_then(|address| {
                let is_allowed = policy.external_ips.iter().any(|net| net.contains(&address));
                let why = "is in none of the ranges that external_ips allows";
                is_allowed.then_some(address).ok_or_else(|| why.to_owned())
            });
            match allowed {
                Ok(address) => self.wish(ServiceKind::ExternalIp, address),
                Err(why) => self.refuse(&format!("externalIP {} {why}", Shown(text))),
            }
        }
        Ok(())
    }
}

/// What kube-proxy passes over without a word: names in DNS, headless ones, those that have no ClusterIP yet, and
/// those that the label gives to another proxy.
fn is_for_others(service: &Service) -> bool {
    let spec = &service.spec;
    let first = spec.cluster_ips.first().unwrap_or(&spec.cluster_ip);
    spec.type_ == "ExternalName"
        || matches!(first.as_str(), "" | "None")
        || service.meta.labels.contains_key(PROXY_NAME)
}

fn is_local(field: &str, said: &str) -> Verdict<bool> {
    match said {
        "" | "Cluster" => Ok(false),
        "Local" => Ok(true),
        other => Err(unknown(field, other).1),
    }
}

/// The address, if a frontend of the Service can have it.
fn judge(text: &str, families: &[Family]) -> Verdict<IpAddr> {
    let address: IpAddr = text.parse().map_err(|_| "is no address".to_owned())?;
    if let Some(flaw) = flaw_of_address(address) {
        return Err(flaw.to_owned());
    }
    if !families.contains(&Family::of(address)) {
        return Err("is of a family that is not in ipFamilies".to_owned());
    }
    Ok(address)
}

/// `None`: a name, or an address whose flows have to go through the load balancer (KEP-1860).
fn judge_ingress(ingress: &Ingress, families: &[Family]) -> Option<Verdict<IpAddr>> {
    let text = ingress.ip.as_deref().filter(|ip| !ip.is_empty())?;
    let judged = match ingress.ip_mode.as_deref() {
        None | Some("" | "VIP") => judge(text, families),
        Some("Proxy") => return None,
        Some(other) => Err(format!("has the unknown ipMode {}", Shown(other))),
    };
    Some(judged.map_err(|why| format!("the load balancer's address {} {why}", Shown(text))))
}

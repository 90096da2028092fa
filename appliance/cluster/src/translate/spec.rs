//! What one Service says, checked: depends on that object and on the operator's rules, and on nothing else.
//!
//! A mistake in one port refuses that port, one that could serve the wrong people or the wrong place refuses the
//! whole Service. What is left is good: addresses, ports and ranges are values of their types.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use spillway_lb::model::{Affinity, Ejection, Scheduler, ServiceKind};

use super::ports::{Port, port_number, read_ports, said_ports};
use super::refused::{RefusalReason as Why, Refused};
use crate::addresses::{Family, FamilyPolicy, Request};
use crate::annotations::{self, CheckWish, Wishes};
use crate::change::ObjectKey;
use crate::eligibility::flaw_of_address;
use crate::object::{Service, Shown};
use crate::policy::{BackendMode, Policy};
use crate::status::IngressPort;

/// Gives a Service to another proxy.
pub(crate) const PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";

/// The API's default and bounds of `sessionAffinityConfig.clientIP.timeoutSeconds`.
const AFFINITY_SECONDS: i64 = 10_800;
const AFFINITY_SECONDS_MAX: i64 = 86_400;

/// Source ranges and externalIPs of one Service that are looked at.
const RANGES_MAX: usize = 4096;
pub(crate) const EXTERNAL_IPS_MAX: usize = 256;

/// `spec.type`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    ClusterIp,
    NodePort,
    LoadBalancer,
    ExternalName,
}

/// How the flows of a Service are treated, whatever port and frontend they come by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub mode: BackendMode,
    pub scheduler: Scheduler,
    pub affinity: Affinity,
    pub source_ranges: Vec<IpNet>,
    pub check: Option<CheckWish>,
    pub ejection: Ejection,
    /// `externalTrafficPolicy: Local`.
    pub is_local: bool,
    pub health_check_node_port: Option<u16>,
    pub publish_not_ready: bool,
}

/// A Service as it is to be served, addresses and backends aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    pub key: ObjectKey,
    /// Sorts the older first: see [`crate::object::Meta::age`].
    pub age: (bool, String, String),
    /// Whether type and class say that its status is ours to write.
    pub is_ours: bool,
    pub is_terminating: bool,
    /// Families to serve.
    pub families: Vec<Family>,
    pub ports: Vec<Port>,
    /// Every port that the object has, for its status; empty if one is no port at all.
    pub said_ports: Vec<IngressPort>,
    pub terms: Terms,
    /// What it asks of the pools.
    pub request: Option<Request>,
    pub has_node_ports: bool,
    pub external_ips: Vec<IpAddr>,
    pub refused: Vec<Refused>,
}

/// Why a whole Service is not served.
pub(crate) type Verdict<T> = Result<T, (Why, String)>;

impl Spec {
    pub(crate) fn read(service: &Service, policy: &Policy) -> Self {
        let (created_unknown, created, uid) = service.meta.age();
        let type_ = type_of(service);
        let mut spec = Self {
            key: service.meta.key(),
            age: (created_unknown, created.to_owned(), uid.to_owned()),
            is_ours: type_ == Ok(Type::LoadBalancer) && is_our_class(service, policy),
            is_terminating: service.meta.is_terminating(),
            families: Vec::new(),
            ports: Vec::new(),
            said_ports: said_ports(service),
            terms: Terms::of(policy),
            request: None,
            has_node_ports: false,
            external_ips: Vec::new(),
            refused: Vec::new(),
        };
        if let Err((reason, message)) = type_.and_then(|type_| spec.fill(service, type_, policy)) {
            // Half of a Service is no Service.
            spec.families.clear();
            spec.ports.clear();
            spec.external_ips.clear();
            spec.request = None;
            spec.refused.clear();
            spec.refuse(None, None, reason, message);
        }
        spec
    }

    /// Notes what is not served. `message` goes on after the Service's name.
    pub(crate) fn refuse(
        &mut self,
        port: Option<String>,
        kind: Option<ServiceKind>,
        reason: Why,
        message: impl AsRef<str>,
    ) {
        let message = format!("Service {}: {}", self.key, message.as_ref());
        self.refused.push(Refused { service: self.key.clone(), port, kind, reason, message });
    }

    fn fill(&mut self, service: &Service, type_: Type, policy: &Policy) -> Verdict<()> {
        gate(service, type_)?;
        let wishes =
            annotations::read(&service.meta).map_err(|it| (Why::BadAnnotation, it.to_string()))?;
        self.terms.read(service, &wishes)?;
        self.terms.health_check_node_port = self.terms.health_port(service, type_, policy)?;
        let (families, family_policy) = families_of(service)?;
        self.families = self.forwarded(&families, policy);
        let ports = read_ports(service, &policy.node_port_range)?;
        for flaw in ports.flaws {
            self.refuse(Some(flaw.port), None, flaw.reason, flaw.message);
        }
        self.ports = ports.good;
        self.has_node_ports = matches!(type_, Type::NodePort | Type::LoadBalancer);
        self.external_ips = self.read_external_ips(service, policy)?;
        self.need_backends(type_);
        match type_ {
            Type::LoadBalancer => self.ask(service, family_policy, &wishes, policy)?,
            Type::NodePort if policy.node_port_addresses.is_empty() => {
                let message = "the box answers NodePorts on no address; set node_port_addresses";
                self.refuse(None, Some(ServiceKind::NodePort), Why::NoNodePortAddress, message);
            }
            Type::ClusterIp if service.spec.external_ips.is_empty() => {
                let message = "type ClusterIP is reached inside the cluster only";
                return Err((Why::ClusterIp, message.to_owned()));
            }
            Type::NodePort | Type::ClusterIp | Type::ExternalName => {}
        }
        Ok(())
    }

    /// Of the Service's families those that the box forwards.
    fn forwarded(&mut self, families: &[Family], policy: &Policy) -> Vec<Family> {
        if policy.ipv6 || !families.contains(&Family::V6) {
            return families.to_vec();
        }
        let rest = if families.len() > 1 {
            "only its IPv4 half is served"
        } else {
            "set ipFamilies to IPv4"
        };
        self.refuse(None, None, Why::Ipv6, format!("the box does not forward IPv6: {rest}"));
        families.iter().copied().filter(|family| *family == Family::V4).collect()
    }

    fn read_external_ips(&mut self, service: &Service, policy: &Policy) -> Verdict<Vec<IpAddr>> {
        let said = &service.spec.external_ips;
        if said.len() > EXTERNAL_IPS_MAX {
            return Err((Why::Invalid, format!("has more than {EXTERNAL_IPS_MAX} externalIPs")));
        }
        let mut good: Vec<IpAddr> = Vec::new();
        for text in said {
            match self.judge_external_ip(text.trim(), policy) {
                Ok(address) if good.contains(&address) => {}
                Ok(address) => good.push(address),
                Err((reason, message)) => {
                    let message = format!("externalIP {} {message}", Shown(text));
                    self.refuse(None, Some(ServiceKind::ExternalIp), reason, message);
                }
            }
        }
        Ok(good)
    }

    fn judge_external_ip(&self, text: &str, policy: &Policy) -> Verdict<IpAddr> {
        let address: IpAddr =
            text.parse().map_err(|_| (Why::Invalid, "is no address".to_owned()))?;
        if let Some(flaw) = flaw_of_address(address) {
            return Err((Why::Invalid, flaw.to_owned()));
        }
        if address.is_ipv6() && !policy.ipv6 {
            return Err((Why::Ipv6, "is IPv6, which the box does not forward".to_owned()));
        }
        if !policy.external_ips.iter().any(|net| net.contains(&address)) {
            let message = "is in none of the ranges that external_ips allows";
            return Err((Why::ExternalIpNotAllowed, message.to_owned()));
        }
        if !self.families.contains(&Family::of(address)) {
            return Err((Why::WrongFamily, "is of a family that is not in ipFamilies".to_owned()));
        }
        Ok(address)
    }

    /// Says which ports have nowhere to send their flows.
    fn need_backends(&mut self, type_: Type) {
        if self.terms.mode == BackendMode::Pod {
            return;
        }
        let mut kinds = Vec::new();
        if type_ == Type::LoadBalancer && self.is_ours {
            kinds.push(ServiceKind::LoadBalancer);
        }
        if !self.external_ips.is_empty() {
            kinds.push(ServiceKind::ExternalIp);
        }
        let without: Vec<String> = self
            .ports
            .iter()
            .filter(|port| port.node_port.is_none())
            .map(|port| port.label.clone())
            .collect();
        for port in without {
            for kind in &kinds {
                let message = format!(
                    "port {port} has no nodePort to forward to; set allocateLoadBalancerNodePorts, or the annotation \
                     spillway.io/forward: pod"
                );
                self.refuse(Some(port.clone()), Some(*kind), Why::NodePortRequired, message);
            }
        }
    }

    /// Ports that have backends outside of a node.
    pub(crate) fn is_forwardable(&self, port: &Port) -> bool {
        self.terms.mode == BackendMode::Pod || port.node_port.is_some()
    }

    fn ask(
        &mut self,
        service: &Service,
        family_policy: FamilyPolicy,
        wishes: &Wishes,
        policy: &Policy,
    ) -> Verdict<()> {
        let addresses = requested(service, wishes)?;
        if !self.is_ours {
            let message = foreign_class(service, policy);
            self.refuse(None, Some(ServiceKind::LoadBalancer), Why::NotOurClass, message);
            return Ok(());
        }
        if family_policy == FamilyPolicy::RequireDualStack && !policy.ipv6 {
            let message =
                "RequireDualStack needs IPv6, which the box does not forward; use PreferDualStack";
            self.refuse(None, Some(ServiceKind::LoadBalancer), Why::Ipv6, message);
            return Ok(());
        }
        let ports: Vec<_> = self
            .ports
            .iter()
            .filter(|port| self.is_forwardable(port))
            .map(|it| (it.protocol, it.number))
            .collect();
        if ports.is_empty() || self.families.is_empty() {
            return Ok(());
        }
        let selector: Vec<String> =
            service.spec.selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
        self.request = Some(Request {
            service: self.key.clone(),
            uid: service.meta.uid.clone(),
            created: service.meta.creation_timestamp.clone().unwrap_or_default(),
            labels: service.meta.labels.clone(),
            families: self.families.clone(),
            family_policy,
            pool: wishes.pool.clone(),
            addresses,
            sharing_key: wishes.sharing_key.clone(),
            ports,
            is_local: self.terms.is_local,
            selector: selector.join(","),
            // Not of the Spec: what the status says is asked for when the pools are.
            current: Vec::new(),
        });
        Ok(())
    }
}

impl Terms {
    fn of(policy: &Policy) -> Self {
        Self {
            mode: policy.mode,
            scheduler: policy.scheduler,
            affinity: Affinity::None,
            source_ranges: Vec::new(),
            check: None,
            ejection: policy.ejection,
            is_local: false,
            health_check_node_port: None,
            publish_not_ready: false,
        }
    }

    fn read(&mut self, service: &Service, wishes: &Wishes) -> Verdict<()> {
        let spec = &service.spec;
        self.mode = wishes.forward.unwrap_or(self.mode);
        self.scheduler = wishes.scheduler.unwrap_or(self.scheduler);
        self.check.clone_from(&wishes.check);
        self.ejection.fail_open = wishes.fail_open.unwrap_or(self.ejection.fail_open);
        self.publish_not_ready = spec.publish_not_ready_addresses;
        self.affinity = affinity_of(service)?;
        self.source_ranges = source_ranges(service)?;
        self.is_local = match spec.external_traffic_policy.as_str() {
            "" | "Cluster" => false,
            "Local" => true,
            other => return Err(unknown("externalTrafficPolicy", other)),
        };
        Ok(())
    }

    /// `healthCheckNodePort`, where it means something.
    fn health_port(&self, service: &Service, type_: Type, policy: &Policy) -> Verdict<Option<u16>> {
        let said = service.spec.health_check_node_port;
        if said == 0 || !self.is_local || type_ != Type::LoadBalancer {
            return Ok(None);
        }
        let range = &policy.node_port_range;
        let flaw = || {
            format!("healthCheckNodePort {said} is outside of {}-{}", range.start(), range.end())
        };
        let port = port_number(said).filter(|port| range.contains(port));
        port.map(Some).ok_or_else(|| (Why::NodePortRange, flaw()))
    }
}

/// What keeps the whole Service from being looked at.
fn gate(service: &Service, type_: Type) -> Verdict<()> {
    let no = |reason, message: &str| Err((reason, message.to_owned()));
    if let Some(proxy) = service.meta.labels.get(PROXY_NAME) {
        return Err((
            Why::ForeignProxy,
            format!("the label {PROXY_NAME} gives it to {}", Shown(proxy)),
        ));
    }
    if type_ == Type::ExternalName {
        return no(Why::ExternalName, "type ExternalName is a name in DNS");
    }
    let headless = |address: &String| address == "None";
    if headless(&service.spec.cluster_ip) || service.spec.cluster_ips.iter().any(headless) {
        return no(Why::Headless, "is headless: its clients are to ask DNS for the pods");
    }
    if service.meta.is_terminating() {
        return no(Why::Terminating, "is being deleted");
    }
    Ok(())
}

pub(crate) fn type_of(service: &Service) -> Verdict<Type> {
    match service.spec.type_.as_str() {
        "" | "ClusterIP" => Ok(Type::ClusterIp),
        "NodePort" => Ok(Type::NodePort),
        "LoadBalancer" => Ok(Type::LoadBalancer),
        "ExternalName" => Ok(Type::ExternalName),
        other => Err(unknown("type", other)),
    }
}

fn is_our_class(service: &Service, policy: &Policy) -> bool {
    service
        .spec
        .load_balancer_class
        .as_ref()
        .map_or(policy.classless, |class| *class == policy.class)
}

fn foreign_class(service: &Service, policy: &Policy) -> String {
    match &service.spec.load_balancer_class {
        Some(class) => format!("loadBalancerClass is {}; ours is {}", Shown(class), policy.class),
        None => format!(
            "has no loadBalancerClass; set {}, or classless = true on the box",
            policy.class
        ),
    }
}

pub(crate) fn affinity_of(service: &Service) -> Verdict<Affinity> {
    match service.spec.session_affinity.as_str() {
        "" | "None" => Ok(Affinity::None),
        "ClientIP" => {
            let said = service.spec.session_affinity_config.client_ip.timeout_seconds;
            let seconds = said.unwrap_or(AFFINITY_SECONDS);
            match u64::try_from(seconds) {
                Ok(seconds @ 1..) if said.is_none_or(|it| it <= AFFINITY_SECONDS_MAX) => {
                    Ok(Affinity::ClientIp { timeout: Duration::from_secs(seconds) })
                }
                _ => Err((
                    Why::Invalid,
                    format!("timeoutSeconds is {seconds}; allowed: 1 to {AFFINITY_SECONDS_MAX}"),
                )),
            }
        }
        other => Err(unknown("sessionAffinity", other)),
    }
}

/// All of both families: with one family only, clients of the other are none of those allowed.
pub(crate) fn source_ranges(service: &Service) -> Verdict<Vec<IpNet>> {
    let spec = &service.spec.load_balancer_source_ranges;
    let old = annotations::source_ranges(&service.meta).filter(|_| spec.is_empty());
    let said: Vec<&str> = spec
        .iter()
        .map(String::as_str)
        .chain(old.into_iter().flat_map(|it| it.split(',')))
        .collect();
    if said.len() > RANGES_MAX {
        return Err((Why::BadSourceRange, format!("has more than {RANGES_MAX} source ranges")));
    }
    let read = |text: &str| {
        let bad = || {
            (
                Why::BadSourceRange,
                format!("source range {} cannot be read; write it as 192.0.2.0/24", Shown(text)),
            )
        };
        text.trim().parse::<IpNet>().map(|net| net.trunc()).map_err(|_| bad())
    };
    let mut ranges = said.into_iter().map(read).collect::<Verdict<Vec<IpNet>>>()?;
    ranges.sort();
    ranges.dedup();
    Ok(ranges)
}

pub(crate) fn families_of(service: &Service) -> Verdict<(Vec<Family>, FamilyPolicy)> {
    let spec = &service.spec;
    let mut families = Vec::new();
    for text in &spec.ip_families {
        let family = match text.as_str() {
            "IPv4" => Family::V4,
            "IPv6" => Family::V6,
            other => return Err(unknown("ipFamilies", other)),
        };
        if !families.contains(&family) {
            families.push(family);
        }
    }
    if families.is_empty() {
        // Defaulted by every server since 1.20; older ones were of one family, which the cluster address tells.
        families.push(if spec.cluster_ip.contains(':') { Family::V6 } else { Family::V4 });
    }
    let policy = match spec.ip_family_policy.as_str() {
        "" | "SingleStack" => FamilyPolicy::SingleStack,
        "PreferDualStack" => FamilyPolicy::PreferDualStack,
        "RequireDualStack" => FamilyPolicy::RequireDualStack,
        other => return Err(unknown("ipFamilyPolicy", other)),
    };
    Ok((families, policy))
}

fn requested(service: &Service, wishes: &Wishes) -> Verdict<Vec<IpAddr>> {
    let old = service.spec.load_balancer_ip.trim();
    if !wishes.addresses.is_empty() || old.is_empty() {
        return Ok(wishes.addresses.clone());
    }
    let address = old
        .parse()
        .map_err(|_| (Why::Invalid, format!("loadBalancerIP {} is no address", Shown(old))))?;
    Ok(vec![address])
}

pub(crate) fn unknown(field: &str, value: &str) -> (Why, String) {
    (Why::Invalid, format!("{field} {} is unknown here", Shown(value)))
}

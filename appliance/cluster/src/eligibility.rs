//! Which nodes take traffic, and where pods are.
//!
//! Eligible is (KEP-3458) a node that exists and does not carry the label
//! `node.kubernetes.io/exclude-from-external-load-balancers`. NotReady, cordon, taints and even a deletion
//! that finalizers hold up change nothing: kube-proxy's `/healthz` says 503 on a node that is to go
//! (KEP-3836), so the checks drain it while its flows live on.
//!
//! A node is made of what its kubelet says, so its addresses and prefixes are believed only as far as they
//! harm nobody: no address of the box or of its pools, and no prefix that swallows either.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::IpNet;
use spillway_lb::model::Route;

use crate::addresses::Family;
use crate::object::{Node, Shown};
use crate::policy::Policy;
use crate::pool::{Pool, Span};

/// Any value of it excludes a node.
const EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// Shortest prefix that can be the pods of one node: what is behind it is lost to everybody else.
const POD_PREFIX_MIN_V4: u8 = 16;
const POD_PREFIX_MIN_V6: u8 = 48;

/// Prefixes of one node that are looked at. The API allows two.
const POD_PREFIXES_MAX: usize = 8;

/// A node, for the operator.
#[expect(clippy::struct_excessive_bools, reason = "a row of a table: each is a column of its own")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    pub name: String,
    /// First InternalIP of each family that can be a backend.
    pub ipv4: Option<IpAddr>,
    pub ipv6: Option<IpAddr>,
    /// Whether it is a backend in mode `node`.
    pub eligible: bool,
    /// The next three are shown, and change nothing.
    pub ready: bool,
    pub cordoned: bool,
    pub terminating: bool,
    /// Prefixes of its pods that are believed.
    pub pod_cidrs: Vec<IpNet>,
    /// Sentences on what is not believed or not used, and why.
    pub notes: Vec<String>,
}

impl NodeRow {
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.ipv4,
            Family::V6 => self.ipv6,
        }
    }
}

/// What the translation needs to know of all nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nodes {
    /// In the order of their names.
    rows: Vec<NodeRow>,
    /// Disjoint, by their first addresses.
    pods: BTreeMap<IpAddr, IpNet>,
    addresses: BTreeSet<IpAddr>,
}

/// Addresses that the box or its frontends have: nobody else's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reserved {
    nets: Vec<IpNet>,
    /// First and last, both included.
    ranges: Vec<(IpAddr, IpAddr)>,
}

impl Reserved {
    pub fn new(policy: &Policy, pools: &[Pool]) -> Self {
        let mut nets = policy.own.clone();
        nets.extend(policy.node_port_addresses.iter().copied().map(IpNet::from));
        let mut ranges = Vec::new();
        for span in pools.iter().flat_map(|pool| &pool.spans) {
            match span {
                Span::Prefix(net) => nets.push(*net),
                Span::Range { first, last } => ranges.push((*first, *last)),
            }
        }
        Self { nets, ranges }
    }

    pub fn has(&self, address: IpAddr) -> bool {
        self.nets.iter().any(|net| net.contains(&address))
            || self.ranges.iter().any(|(first, last)| is_between(*first, address, *last))
    }

    fn meets(&self, prefix: IpNet) -> bool {
        let meets =
            |net: &IpNet| net.contains(&prefix.network()) || prefix.contains(&net.network());
        let ends = [prefix.network(), prefix.broadcast()];
        self.nets.iter().any(meets)
            || self.ranges.iter().any(|(first, last)| {
                prefix.contains(first) || ends.iter().any(|end| is_between(*first, *end, *last))
            })
    }
}

/// Whether they are of one family and in this order.
fn is_between(first: IpAddr, it: IpAddr, last: IpAddr) -> bool {
    first.is_ipv4() == it.is_ipv4() && first <= it && it <= last
}

/// What no unicast endpoint can have.
///
/// CVE-2021-25737: an EndpointSlice may lead neither to the node's own loopback nor to the cloud's
/// link-local metadata service.
pub fn flaw_of_address(address: IpAddr) -> Option<&'static str> {
    let special = match address {
        IpAddr::V4(v4) => [
            (v4.octets().first() == Some(&0), "is of 0.0.0.0/8"),
            (v4.is_loopback(), "is a loopback address"),
            (v4.is_link_local(), "is a link-local address"),
            (v4.is_multicast(), "is a multicast address"),
            (v4 >= Ipv4Addr::new(240, 0, 0, 0), "is of 240.0.0.0/4"),
        ],
        IpAddr::V6(v6) => [
            (v6.is_unspecified(), "is unspecified"),
            (v6.is_loopback(), "is a loopback address"),
            (v6.is_unicast_link_local(), "is a link-local address"),
            (v6.is_multicast(), "is a multicast address"),
            (v6.to_ipv4_mapped().is_some(), "is an IPv4 address in IPv6's clothes"),
        ],
    };
    special.into_iter().find_map(|(is, flaw)| is.then_some(flaw))
}

impl Nodes {
    /// Judges all nodes at once, for they may claim each other's addresses: the older keeps what both claim.
    pub fn judge<'a>(nodes: impl Iterator<Item = &'a Arc<Node>>, reserved: &Reserved) -> Self {
        let mut by_age: Vec<&Arc<Node>> = nodes.collect();
        by_age.sort_by(|left, right| older(left, right));
        let mut judged = Self::default();
        for node in &by_age {
            judged.rows.push(judge_addresses(node, reserved, &mut judged.addresses));
        }
        // Only now are all nodes' addresses known, none of which may vanish behind a prefix.
        for (node, at) in by_age.iter().zip(0..) {
            let (cidrs, notes) =
                judge_prefixes(node, reserved, &judged.addresses, &mut judged.pods);
            if let Some(row) = judged.rows.get_mut::<usize>(at) {
                row.pod_cidrs = cidrs;
                row.notes.extend(notes);
            }
        }
        judged.rows.sort_by(|left, right| left.name.cmp(&right.name));
        judged
    }

    pub fn rows(&self) -> &[NodeRow] {
        &self.rows
    }

    /// Whether the same flows go the same ways, whatever else is shown of the nodes.
    pub(crate) fn serve_same(&self, other: &Self) -> bool {
        let backends = |nodes: &Self| -> Vec<(String, IpAddr)> {
            let both = nodes.eligible(Family::V4).chain(nodes.eligible(Family::V6));
            both.map(|(name, address)| (name.to_owned(), address)).collect()
        };
        self.pods == other.pods
            && self.addresses == other.addresses
            && backends(self) == backends(other)
    }

    /// Backends of mode `node`, in the order of names.
    pub fn eligible(&self, family: Family) -> impl Iterator<Item = (&str, IpAddr)> {
        let rows = self.rows.iter().filter(|row| row.eligible);
        rows.filter_map(move |row| row.address(family).map(|address| (row.name.as_str(), address)))
    }

    /// Whether it can be a pod's: of a node's pods, or of a node itself (host network).
    pub fn may_hold_pod(&self, address: IpAddr) -> bool {
        let before = self.pods.range(..=address).next_back();
        before.is_some_and(|(_, net)| net.contains(&address)) || self.addresses.contains(&address)
    }

    /// The way to every node's pods, sorted.
    pub fn routes(&self) -> Vec<Route> {
        let mut routes = Vec::new();
        for row in &self.rows {
            let Some(IpAddr::V4(via)) = row.ipv4 else { continue };
            for cidr in &row.pod_cidrs {
                if let IpNet::V4(prefix) = *cidr {
                    routes.push(Route { prefix, via });
                }
            }
        }
        routes.sort();
        routes
    }
}

fn older(left: &Node, right: &Node) -> Ordering {
    left.meta.age().cmp(&right.meta.age()).then_with(|| left.meta.name.cmp(&right.meta.name))
}

fn judge_addresses(node: &Node, reserved: &Reserved, taken: &mut BTreeSet<IpAddr>) -> NodeRow {
    let mut row = NodeRow {
        name: node.meta.name.clone(),
        ipv4: None,
        ipv6: None,
        eligible: !node.meta.labels.contains_key(EXCLUDE),
        ready: node.is_ready(),
        cordoned: node.spec.unschedulable,
        terminating: node.meta.is_terminating(),
        pod_cidrs: Vec::new(),
        notes: Vec::new(),
    };
    if !row.eligible {
        row.notes.push(format!("carries the label {EXCLUDE}: takes no traffic"));
    }
    for said in node.status.addresses.iter().filter(|it| it.type_ == "InternalIP") {
        let Ok(address) = said.address.parse::<IpAddr>() else {
            row.notes.push(format!("InternalIP {} is no address", Shown(&said.address)));
            continue;
        };
        let slot = if address.is_ipv4() { &mut row.ipv4 } else { &mut row.ipv6 };
        if slot.is_some() {
            continue;
        }
        if let Some(flaw) = flaw_of_address(address) {
            row.notes.push(format!("InternalIP {address} {flaw}: not used"));
        } else if reserved.has(address) {
            row.notes.push(format!(
                "InternalIP {address} belongs to the box or to its frontends: not used"
            ));
        } else if taken.contains(&address) {
            row.notes.push(format!("InternalIP {address} belongs to an older node: not used"));
        } else {
            *slot = Some(address);
        }
    }
    taken.extend(row.ipv4);
    taken.extend(row.ipv6);
    if row.ipv4.is_none() && row.ipv6.is_none() {
        row.eligible = false;
        row.notes.push("has no InternalIP that can be used: takes no traffic".to_owned());
    }
    row
}

fn judge_prefixes(
    node: &Node,
    reserved: &Reserved,
    nodes: &BTreeSet<IpAddr>,
    taken: &mut BTreeMap<IpAddr, IpNet>,
) -> (Vec<IpNet>, Vec<String>) {
    let mut cidrs = Vec::new();
    let mut notes = Vec::new();
    for text in node.pod_cidrs().take(POD_PREFIXES_MAX) {
        let Ok(cidr) = text.parse::<IpNet>() else {
            notes.push(format!("podCIDR {} is no prefix", Shown(text)));
            continue;
        };
        let cidr = cidr.trunc();
        let flaw = match cidr {
            IpNet::V4(net) if net.prefix_len() < POD_PREFIX_MIN_V4 => {
                Some("is too wide for one node")
            }
            IpNet::V6(net) if net.prefix_len() < POD_PREFIX_MIN_V6 => {
                Some("is too wide for one node")
            }
            IpNet::V4(_) | IpNet::V6(_) => flaw_of_address(cidr.network()),
        };
        // The taken are disjoint: who overlaps is the last to begin before the end.
        let last = taken.range(..=cidr.broadcast()).next_back();
        let overlapped =
            last.map(|(_, net)| *net).filter(|net| net.contains(&cidr) || cidr.contains(net));
        if let Some(flaw) = flaw {
            notes.push(format!("podCIDR {cidr} {flaw}: not used"));
        } else if reserved.meets(cidr) {
            notes.push(format!(
                "podCIDR {cidr} meets addresses of the box or of its frontends: not used"
            ));
        } else if let Some(address) = nodes.range(cidr.network()..=cidr.broadcast()).next() {
            notes.push(format!("podCIDR {cidr} holds the node address {address}: not used"));
        } else if let Some(other) = overlapped {
            notes.push(format!("podCIDR {cidr} overlaps {other} of an older node: not used"));
        } else {
            taken.insert(cidr.network(), cidr);
            cidrs.push(cidr);
        }
    }
    (cidrs, notes)
}

//! What a node is told about itself.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::eligibility::flaw_of_address;
use crate::object::Node;

/// This node, as its object has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Empty: in no zone.
    pub zone: String,
    /// InternalIPs, in the order of the object.
    pub internal: Vec<IpAddr>,
    /// Those and all others.
    pub own: BTreeSet<IpAddr>,
    pub is_eligible: bool,
}

impl Default for Facts {
    /// Of a node that nobody has heard of yet. It is taken to stay, for nothing says otherwise.
    fn default() -> Self {
        Self { zone: String::new(), internal: Vec::new(), own: BTreeSet::new(), is_eligible: true }
    }
}

impl Facts {
    pub(crate) fn of(node: &Node) -> Self {
        let mut facts = Self {
            zone: node.zone().to_owned(),
            is_eligible: node.is_staying(),
            ..Self::default()
        };
        for said in &node.status.addresses {
            // The others are names.
            let Ok(address) = said.address.parse::<IpAddr>() else { continue };
            if flaw_of_address(address).is_some() {
                continue;
            }
            if facts.own.insert(address) && said.type_ == "InternalIP" {
                facts.internal.push(address);
            }
        }
        facts
    }
}

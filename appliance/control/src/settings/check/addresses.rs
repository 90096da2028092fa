//! Whose an address is.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;

use super::super::draft::Draft;
use super::super::port::PortDraft;

/// What the configuration says about single addresses.
#[derive(Debug)]
pub(super) struct Addresses<'d> {
    draft: &'d Draft,
}

impl<'d> Addresses<'d> {
    pub(super) fn new(draft: &'d Draft) -> Self {
        Self { draft }
    }

    /// The first port that has the address on its link, with the prefix.
    pub(super) fn on_link(&self, address: Ipv4Addr) -> Option<(&'d PortDraft, Ipv4Net)> {
        self.draft.ports.iter().find_map(|port| {
            let prefix = port.addresses.iter().find(|own| own.value.contains(&address))?;
            Some((port, prefix.value))
        })
    }

    /// Why nothing can have this address, if nothing can.
    pub(super) fn unusable(&self, address: Ipv4Addr) -> Option<String> {
        let kind = match address {
            Ipv4Addr::BROADCAST => "the broadcast address",
            _ if address.octets()[0] == 0 => "an address of no host",
            _ if address.is_loopback() => "a loopback address",
            _ if address.is_multicast() => "a multicast address",
            _ if address.octets()[0] >= 240 => "a reserved address",
            _ => {
                let (port, prefix) = self.on_link(address)?;
                let end = end_of(prefix, address)?;
                let (name, net) = (&port.name.value, prefix.trunc());
                return Some(format!("{address} is the {end} address of {net} on port \"{name}\""));
            }
        };
        Some(format!("{address} is {kind}"))
    }

    /// The port whose own address it is.
    pub(super) fn port(&self, address: Ipv4Addr) -> Option<String> {
        let port = self.draft.ports.iter().find(|port| has_address(port, address))?;
        Some(format!("an address of port \"{}\"", port.name.value))
    }

    /// The service that answers on it.
    pub(super) fn service(&self, address: Ipv4Addr) -> Option<String> {
        let service = self.draft.services.iter().find(|service| {
            let mut frontends = service.frontends.iter();
            frontends.any(|frontend| frontend.value.address == IpAddr::V4(address))
        })?;
        Some(format!("an address of service \"{}\"", service.name.value))
    }

    /// Whose the address is, if it is that of another machine on a link.
    pub(super) fn stranger(&self, address: Ipv4Addr) -> Option<String> {
        self.draft.ports.iter().find_map(|port| {
            let name = &port.name.value;
            if port.gateway.as_ref().is_some_and(|gateway| gateway.value == address) {
                return Some(format!("the gateway of port \"{name}\""));
            }
            let mut neighbors = port.neighbors.iter();
            neighbors
                .any(|neighbor| neighbor.value.address == address)
                .then(|| format!("a neighbor on port \"{name}\""))
        })
    }
}

pub(super) fn has_address(port: &PortDraft, address: Ipv4Addr) -> bool {
    port.addresses.iter().any(|own| own.value.addr() == address)
}

/// "network" or "broadcast", if the address is that end of a prefix which has such ends: not
/// of a /31 (RFC 3021) or a /32.
pub(super) fn end_of(prefix: Ipv4Net, address: Ipv4Addr) -> Option<&'static str> {
    if prefix.prefix_len() > 30 {
        None
    } else if address == prefix.network() {
        Some("network")
    } else if address == prefix.broadcast() {
        Some("broadcast")
    } else {
        None
    }
}

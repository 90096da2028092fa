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

    /// A packet to the address finds a way out, as far as the configuration can tell: by a link, a
    /// route or a gateway.
    pub(super) fn is_reachable(&self, address: Ipv4Addr) -> bool {
        let ports = &self.draft.ports;
        // Without a port that could be read, nothing can be told.
        let mut routes = self.draft.routes.iter();
        ports.is_empty()
            || routes.any(|route| route.value.route.prefix.contains(&address))
            || ports.iter().any(|port| {
                port.gateway.is_some() || port.network_is_incomplete || is_on_link(port, address)
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
            _ => return self.end_of_a_link(address),
        };
        Some(format!("{address} is {kind}"))
    }

    fn end_of_a_link(&self, address: Ipv4Addr) -> Option<String> {
        self.draft.ports.iter().find_map(|port| {
            let (end, prefix) = port
                .addresses
                .iter()
                .find_map(|own| Some((end_of(own.value, address)?, own.value.trunc())))?;
            let name = &port.name.value;
            Some(format!("{address} is the {end} address of {prefix} on port \"{name}\""))
        })
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

    /// Whose the address is, if it is that of another machine on a link. A gateway or a neighbor
    /// with a port's own address is a mistake of its own, and no other machine.
    pub(super) fn stranger(&self, address: Ipv4Addr) -> Option<String> {
        if self.port(address).is_some() {
            return None;
        }
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

pub(super) fn is_on_link(port: &PortDraft, address: Ipv4Addr) -> bool {
    port.addresses.iter().any(|own| own.value.contains(&address))
}

/// "network" or "broadcast", if the address is that end of a prefix which has such ends: not
/// of a /31 (RFC 3021) or a /32.
fn end_of(prefix: Ipv4Net, address: Ipv4Addr) -> Option<&'static str> {
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

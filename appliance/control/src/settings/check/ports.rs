//! Ports against each other: devices, prefixes, gateways, neighbors.

use super::super::device::DeviceSettings;
use super::super::draft::Draft;
use super::super::port::{self, PortDraft};
use super::super::report::{Report, Spanned};
use super::addresses::{Addresses, has_address, is_on_link};

/// Ports that a box may have.
const PORTS_MAX: usize = 16;

pub(super) fn check(draft: &Draft, report: &Report) {
    let addresses = Addresses::new(draft);
    for (index, port) in draft.ports.iter().enumerate() {
        let (earlier, _) = draft.ports.split_at(index);
        if index == PORTS_MAX {
            let message = format!("a box has at most {PORTS_MAX} ports");
            report.error(port.name.at, message);
        }
        check_device(port, earlier, report);
        check_own_addresses(port, earlier, &addresses, report);
        check_gateway(port, earlier, &addresses, report);
        check_neighbors(port, &addresses, report);
    }
}

/// What a device cannot be shared by, in words.
fn device_identity(device: &DeviceSettings) -> Option<String> {
    match device {
        DeviceSettings::Pci { address } => Some(format!("PCI device {address}")),
        DeviceSettings::AfPacket { interface }
        | DeviceSettings::AfXdp { interface, .. }
        | DeviceSettings::Tap { interface } => Some(format!("interface {interface}")),
        DeviceSettings::Memif { id, socket, .. } => {
            Some(format!("memif {id} on {}", socket.display()))
        }
        DeviceSettings::Pcap { .. } | DeviceSettings::Ring | DeviceSettings::Null { .. } => None,
    }
}

fn check_device(port: &PortDraft, earlier: &[PortDraft], report: &Report) {
    let identity =
        |port: &PortDraft| port.device.as_ref().and_then(|device| device_identity(&device.value));
    let Some(mine) = identity(port) else { return };
    if let Some(other) = earlier.iter().find(|other| identity(other).as_ref() == Some(&mine)) {
        let (name, other) = (&port.name.value, &other.name.value);
        let message = format!("port \"{name}\": {mine} is already port \"{other}\"");
        report.error(port::device_at(port), message);
    }
}

fn check_own_addresses(
    port: &PortDraft,
    earlier: &[PortDraft],
    addresses: &Addresses<'_>,
    report: &Report,
) {
    let name = &port.name.value;
    for (index, own) in port.addresses.iter().enumerate() {
        let (prefix, address) = (own.value, own.value.addr());
        if let Some(why) = addresses.unusable(address) {
            let help = "a port needs the address of a host";
            report.error_with_help(own.at, format!("port \"{name}\": {why}"), help);
            continue;
        }
        if port.addresses.iter().take(index).any(|other| other.value.addr() == address) {
            report.error(own.at, format!("port \"{name}\": {address} is listed twice"));
            continue;
        }
        if let Some(other) = earlier.iter().find(|other| has_address(other, address)) {
            let other = &other.name.value;
            let message =
                format!("port \"{name}\": {address} is an address of port \"{other}\" too");
            report.error_with_help(own.at, message, "an address belongs to one port");
            continue;
        }
        let overlaps = |other: &Spanned<ipnet::Ipv4Net>| {
            other.value.contains(&prefix.network()) || prefix.contains(&other.value.network())
        };
        let overlapping = earlier
            .iter()
            .find_map(|other| Some((other, other.addresses.iter().find(|other| overlaps(other))?)));
        if let Some((other, theirs)) = overlapping {
            let (theirs, other) = (theirs.value.trunc(), &other.name.value);
            let message = format!(
                "port \"{name}\": {} overlaps {theirs} on port \"{other}\"",
                prefix.trunc()
            );
            let help = "an address must be on the link of one port only; give each its own prefix";
            report.error_with_help(own.at, message, help);
        }
    }
}

fn check_gateway(
    port: &PortDraft,
    earlier: &[PortDraft],
    addresses: &Addresses<'_>,
    report: &Report,
) {
    let Some(gateway) = &port.gateway else { return };
    let (name, address) = (&port.name.value, gateway.value);
    let complain = |message: String, help: &str| {
        report.error_with_help(gateway.at, format!("port \"{name}\": {message}"), help);
    };
    if let Some(other) = earlier.iter().find(|other| other.gateway.is_some()) {
        let other = &other.name.value;
        let message = format!("a second gateway, {address}; port \"{other}\" has one");
        complain(message, "a box has one gateway: the router for all that is on no port's link");
    }
    if let Some(owner) = addresses.port(address) {
        complain(format!("gateway {address} is {owner}"), "the gateway is another machine");
    } else if let Some(why) = addresses.unusable(address) {
        complain(format!("gateway: {why}"), "the gateway is the address of a router");
    } else if !port.network_is_incomplete && !is_on_link(port, address) {
        let prefixes: Vec<String> =
            port.addresses.iter().map(|own| own.value.trunc().to_string()).collect();
        let help = format!("it must be in {}", prefixes.join(" or "));
        complain(format!("gateway {address} is not on this port's link"), &help);
    }
}

fn check_neighbors(port: &PortDraft, addresses: &Addresses<'_>, report: &Report) {
    let name = &port.name.value;
    for neighbor in &port.neighbors {
        let address = neighbor.value.address;
        if let Some(owner) = addresses.port(address) {
            let message = format!("port \"{name}\": neighbor {address} is {owner}");
            report.error_with_help(neighbor.at, message, "a neighbor is another machine");
        } else if let Some(why) = addresses.unusable(address) {
            report.error(neighbor.at, format!("port \"{name}\": neighbor: {why}"));
        } else if !port.network_is_incomplete && !is_on_link(port, address) {
            let message = format!("port \"{name}\": neighbor {address} is not on this port's link");
            let help = "only what is on the link is asked for by ARP; the rest goes to the gateway";
            report.error_with_help(neighbor.at, message, help);
        }
    }
}

//! What is to leave: frames get their link headers here and wait for the ports.

use std::net::Ipv4Addr;

use spillway_lb::ids::PortId;
use spillway_lb::model::Network;
use spillway_packet::MacAddr;
use spillway_packet::arp::{self, Arp};
use spillway_packet::ethernet::{self, ethertype};

use super::Transmit;
use crate::arp::asking_address;

/// Frames that wait for the next poll; more are dropped and counted.
pub const OUTBOX_MAX: usize = 4096;

/// Our side of one port.
#[derive(Copy, Clone, Debug)]
struct Link {
    mac: MacAddr,
    vlan: Option<u16>,
}

/// Frames on their way out.
#[derive(Debug)]
pub(super) struct Outbox {
    links: Vec<Link>,
    frames: Vec<(PortId, Box<[u8]>)>,
    /// Frames that the ports took.
    pub(super) transmitted: u64,
    /// Frames that the ports refused, or that found the outbox full.
    pub(super) failed: u64,
}

impl Outbox {
    /// An empty outbox; `macs` are those of the network's ports, in their order.
    pub(super) fn new(network: &Network, macs: &[MacAddr]) -> Self {
        let links = network.ports.iter().zip(macs);
        let links = links.map(|(port, mac)| Link { mac: *mac, vlan: port.vlan }).collect();
        Self { links, frames: Vec::new(), transmitted: 0, failed: 0 }
    }

    pub(super) fn mac(&self, port: PortId) -> Option<MacAddr> {
        self.links.get(port.index()).map(|link| link.mac)
    }

    pub(super) fn is_own_mac(&self, mac: MacAddr) -> bool {
        self.links.iter().any(|link| link.mac == mac)
    }

    /// A whole frame whose two MACs are still to be written: to `mac`, from the port.
    pub(super) fn send(&mut self, port: PortId, mac: MacAddr, mut frame: Box<[u8]>) {
        if let Some(link) = self.links.get(port.index())
            && ethernet::set_addresses(&mut frame, mac, link.mac)
        {
            self.push(port, frame);
        }
    }

    /// Asks who has `address`: everybody, or only `to`.
    pub(super) fn ask(
        &mut self,
        network: &Network,
        port: PortId,
        address: Ipv4Addr,
        to: Option<MacAddr>,
    ) {
        let Some(mac) = self.mac(port) else { return };
        let from = asking_address(network, port, address);
        let question = Arp::request(mac, from, address);
        self.arp(port, &question, to.unwrap_or(MacAddr::BROADCAST));
    }

    /// Announces an address of ours (RFC 5227, 3: a request for it, from it).
    pub(super) fn announce(&mut self, port: PortId, address: Ipv4Addr) {
        let Some(mac) = self.mac(port) else { return };
        self.arp(port, &Arp::request(mac, address, address), MacAddr::BROADCAST);
    }

    pub(super) fn arp(&mut self, port: PortId, arp: &Arp, to: MacAddr) {
        let Some(link) = self.links.get(port.index()) else { return };
        let mut frame = [0; arp::FRAME_LEN_MAX];
        let len = arp.emit(&mut frame, to, link.vlan);
        if let Some(frame) = len.and_then(|len| frame.get(..len)) {
            self.push(port, frame.into());
        }
    }

    /// An IPv4 packet with a link header whose destination is still to be written.
    pub(super) fn frame(&self, port: PortId, l3: &[u8]) -> Option<Box<[u8]>> {
        let Link { mac, vlan } = *self.links.get(port.index())?;
        let mut frame = vec![0; ethernet::header_len(vlan)];
        ethernet::emit(&mut frame, MacAddr::ZERO, mac, vlan, ethertype::IPV4);
        frame.extend_from_slice(l3);
        Some(frame.into_boxed_slice())
    }

    /// Hands everything to the ports.
    pub(super) fn flush(&mut self, outside: &mut impl Transmit) {
        for (port, frame) in self.frames.drain(..) {
            if outside.transmit(port, &frame) {
                self.transmitted += 1;
            } else {
                self.failed += 1;
            }
        }
    }

    fn push(&mut self, port: PortId, frame: Box<[u8]>) {
        if self.frames.len() < OUTBOX_MAX {
            self.frames.push((port, frame));
        } else {
            self.failed += 1;
        }
    }
}

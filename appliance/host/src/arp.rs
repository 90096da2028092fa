//! ARP for the box's own addresses: answers, announcements, and a defence against claims.
//!
//! An address is owned on the ports whose link it is on; one that is on no link (a frontend that
//! is routed to us) on all of them. Nothing is ever answered for anybody else.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use spillway_lb::ids::PortId;
use spillway_lb::model::Network;

use crate::Moment;

/// Announcements when an address becomes ours, a second apart.
pub const ANNOUNCE_BURST: u8 = 3;
/// Within the burst.
pub const ANNOUNCE_BURST_INTERVAL: Duration = Duration::from_secs(1);
/// Ever after: well below the ageing of switches' tables (300 s), which forget the silent.
pub const ANNOUNCE_INTERVAL: Duration = Duration::from_mins(1);
/// Addresses that become ours together are announced this far apart.
const ANNOUNCE_SPACING: Duration = Duration::from_micros(500);
/// RFC 5227, 1.1: a claim of our address is answered at most this often.
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Announced {
    ports: Vec<PortId>,
    /// Announcements of the burst that are still to come.
    burst_left: u8,
    due: Moment,
    defended: Option<Moment>,
}

/// The addresses that the box answers for.
#[derive(Debug, Default)]
pub struct Owned {
    addresses: BTreeMap<Ipv4Addr, Announced>,
    timers: BTreeSet<(Moment, Ipv4Addr)>,
}

impl Owned {
    /// Makes `addresses` the owned ones. New ones are announced at once; those that stay keep
    /// their rhythm.
    pub fn replace(
        &mut self,
        now: Moment,
        network: &Network,
        addresses: impl IntoIterator<Item = Ipv4Addr>,
    ) {
        let mut old = std::mem::take(&mut self.addresses);
        let mut due = now;
        for address in addresses {
            if self.addresses.contains_key(&address) {
                continue;
            }
            let announced = old.remove(&address).unwrap_or_else(|| {
                let first = due;
                due = due.plus(ANNOUNCE_SPACING);
                Announced {
                    ports: ports_of(network, address),
                    burst_left: ANNOUNCE_BURST,
                    due: first,
                    defended: None,
                }
            });
            self.addresses.insert(address, announced);
        }
        self.timers = self.addresses.iter().map(|(address, it)| (it.due, *address)).collect();
    }

    /// Whether `address` is answered for on `port`.
    pub fn is_owned_on(&self, port: PortId, address: Ipv4Addr) -> bool {
        self.addresses.get(&address).is_some_and(|announced| announced.ports.contains(&port))
    }

    /// Whether `address` is ours on any port.
    pub fn is_owned(&self, address: Ipv4Addr) -> bool {
        self.addresses.contains_key(&address)
    }

    /// Somebody else claimed an owned address: whether to announce it again now (RFC 5227, 2.4).
    pub fn defend(&mut self, now: Moment, address: Ipv4Addr) -> bool {
        let Some(announced) = self.addresses.get_mut(&address) else { return false };
        if announced.defended.is_some_and(|at| now.since(at) < DEFEND_INTERVAL) {
            return false;
        }
        announced.defended = Some(now);
        true
    }

    /// The announcements that are due.
    pub fn poll(&mut self, now: Moment) -> Vec<(PortId, Ipv4Addr)> {
        let mut announcements = Vec::new();
        while let Some(&(due, address)) = self.timers.first()
            && due <= now
        {
            self.timers.pop_first();
            let Some(announced) = self.addresses.get_mut(&address) else { continue };
            announcements.extend(announced.ports.iter().map(|port| (*port, address)));
            announced.burst_left = announced.burst_left.saturating_sub(1);
            let pause =
                if announced.burst_left > 0 { ANNOUNCE_BURST_INTERVAL } else { ANNOUNCE_INTERVAL };
            // From now, not from when it was due: a box that slept does not announce in arrears.
            announced.due = now.plus(pause);
            self.timers.insert((announced.due, address));
        }
        announcements
    }

    pub fn next_due(&self) -> Option<Moment> {
        self.timers.first().map(|(due, _)| *due)
    }
}

/// The ports whose link an address is on; all of them when there is none.
fn ports_of(network: &Network, address: Ipv4Addr) -> Vec<PortId> {
    let ids = || (0..).map(PortId::new).zip(&network.ports);
    let on_link: Vec<PortId> = ids()
        .filter(|(_, port)| port.addresses.iter().any(|net| net.contains(&address)))
        .map(|(id, _)| id)
        .collect();
    if on_link.is_empty() { ids().map(|(id, _)| id).collect() } else { on_link }
}

/// Whether `address` is on `port`'s link.
pub fn is_on_link(network: &Network, port: PortId, address: Ipv4Addr) -> bool {
    let port = network.ports.get(port.index());
    port.is_some_and(|port| port.addresses.iter().any(|net| net.contains(&address)))
}

/// The address that a question for `target` is asked from: one of the same link, or the port's
/// first; 0.0.0.0 from a port without any, which is a probe and is answered too (RFC 5227).
pub fn asking_address(network: &Network, port: PortId, target: Ipv4Addr) -> Ipv4Addr {
    let addresses = network.ports.get(port.index()).map_or(&[][..], |port| &port.addresses);
    let on_link = addresses.iter().find(|net| net.contains(&target));
    on_link.or(addresses.first()).map_or(Ipv4Addr::UNSPECIFIED, ipnet::Ipv4Net::addr)
}

#[cfg(test)]
pub(crate) mod tests;

//! The host stack as a whole: frames in, time in, frames out.

mod outbox;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use spillway_control::health::{self, Answer, Check, Engine, ProbeError, ProbeRequest, Turn};
use spillway_lb::ids::PortId;
use spillway_lb::model::{Network, Route};
use spillway_lb::route::Routes;
use spillway_lb::verdict::Egress;
use spillway_packet::MacAddr;
use spillway_packet::arp::{self, Arp, ArpOp};
use spillway_packet::flow::{self, Kind};

use crate::Moment;
use crate::arp::{Owned, is_on_link};
use crate::icmp;
use crate::neighbors::Neighbors;
use crate::probe::{Outcome, Packet, ProbeCounters, Prober};
use crate::table::{Action, NeighborCounters, NeighborRow, NeighborState, NeighborTable, Sent};
use outbox::Outbox;

pub use outbox::OUTBOX_MAX;

/// The world outside: one whole frame to be sent.
pub trait Transmit {
    /// False when the port could not take it; it is lost then, and counted.
    fn transmit(&mut self, port: PortId, frame: &[u8]) -> bool;
}

/// What a host stack is made of.
#[derive(Clone, Debug)]
pub struct HostSettings {
    pub network: Network,
    /// Of each port, in the network's order.
    pub port_macs: Vec<MacAddr>,
    /// Not to be guessed from outside: sequence numbers and hashing are drawn from it.
    pub seed: u64,
}

/// Why a host stack cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    #[error("{macs} MAC addresses for {ports} ports")]
    PortMacs { macs: usize, ports: usize },
    #[error("port {port}: {mac} is not the address of a station")]
    NotStation { port: String, mac: MacAddr },
}

/// Counted since the start.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct HostCounters {
    /// Frames that workers passed as Local.
    pub received: u64,
    /// Of these, such as had no meaning here.
    pub ignored: u64,
    /// Frames handed to the ports.
    pub transmitted: u64,
    /// Frames that the ports refused, or that found the outbox full.
    pub transmit_failed: u64,
    /// ARP questions that were answered.
    pub arp_answered: u64,
    pub announced: u64,
    /// ARP messages in which somebody else claimed an address of ours.
    pub conflicts: u64,
    pub neighbors: NeighborCounters,
    pub probes: ProbeCounters,
    /// Checks that were never reported; not 0 means a mistake in here.
    pub probes_lost: u64,
    /// See [`Engine::stretch`].
    pub probes_stretch_percent: u32,
}

/// The host stack.
#[derive(Debug)]
pub struct Host {
    network: Network,
    routes: Routes,
    /// Whose next hops are kept.
    backends: Vec<Ipv4Addr>,
    neighbors: Arc<Neighbors>,
    table: NeighborTable,
    owned: Owned,
    engine: Engine,
    prober: Prober,
    turns: Vec<Turn>,
    outbox: Outbox,
    counters: HostCounters,
}

impl Host {
    /// A host stack that owns the addresses of its ports and the SNAT addresses, and asks for its
    /// gateways at the first poll.
    ///
    /// # Errors
    /// `port_macs` does not fit the ports.
    pub fn new(now: Moment, settings: HostSettings) -> Result<Self, HostError> {
        let HostSettings { network, port_macs, seed } = settings;
        if port_macs.len() != network.ports.len() {
            let (macs, ports) = (port_macs.len(), network.ports.len());
            return Err(HostError::PortMacs { macs, ports });
        }
        for (port, mac) in network.ports.iter().zip(&port_macs) {
            if !mac.is_station() {
                return Err(HostError::NotStation { port: port.name.clone(), mac: *mac });
            }
        }
        let (neighbors, writer) = Neighbors::new(seed);
        let mut table = NeighborTable::new(writer);
        for (port, settings) in (0..).map(PortId::new).zip(&network.ports) {
            for pinned in &settings.neighbors {
                table.pin(port, pinned.address, MacAddr(pinned.mac));
            }
        }
        // A check that closes holds its port a little longer than it is out.
        let in_flight_max = (network.probe_ports.len() / 2).min(health::IN_FLIGHT_MAX);
        let mut host = Self {
            routes: Routes::new(&network),
            backends: Vec::new(),
            neighbors,
            table,
            owned: Owned::default(),
            engine: Engine::new(seed).with_in_flight_max(in_flight_max),
            prober: Prober::new(network.probe_ports.clone(), seed.rotate_left(32)),
            turns: Vec::new(),
            outbox: Outbox::new(&network, &port_macs),
            counters: HostCounters::default(),
            network,
        };
        host.set_owned(now, []);
        host.set_backends(now, []);
        Ok(host)
    }

    /// The table that the workers read.
    pub fn neighbors(&self) -> Arc<Neighbors> {
        Arc::clone(&self.neighbors)
    }

    /// Makes `checks` the ones that are carried out; see [`health::Judge::checks`].
    pub fn set_checks(&mut self, now: Moment, checks: impl IntoIterator<Item = Arc<Check>>) {
        self.turns.extend(self.engine.replace(now, checks));
    }

    /// Makes `frontends` the addresses that are answered for, beside those of the ports and SNAT.
    pub fn set_owned(&mut self, now: Moment, frontends: impl IntoIterator<Item = Ipv4Addr>) {
        let own = self.network.ports.iter().flat_map(|port| &port.addresses);
        let own = own.map(ipnet::Ipv4Net::addr);
        let snat = self.network.snat.iter().map(|range| range.address);
        let all: Vec<Ipv4Addr> = own.chain(snat).chain(frontends).collect();
        self.owned.replace(now, &self.network, all);
    }

    /// Makes the next hops of these backends neighbours that are kept for ever, as gateways are.
    pub fn set_backends(&mut self, now: Moment, backends: impl IntoIterator<Item = Ipv4Addr>) {
        self.backends = backends.into_iter().collect();
        self.keep_next_hops(now);
    }

    /// Makes `learned` the routes beside those of the configuration, as the workers' tables have them.
    pub fn set_routes(&mut self, now: Moment, learned: Vec<Route>) {
        if self.routes.learned() == learned {
            return;
        }
        self.routes = Routes::with(&self.network, learned);
        self.keep_next_hops(now);
    }

    fn keep_next_hops(&mut self, now: Moment) {
        let ports = (0..).map(PortId::new).zip(&self.network.ports);
        let mut kept: BTreeSet<(PortId, Ipv4Addr)> =
            ports.filter_map(|(port, settings)| Some((port, settings.gateway?))).collect();
        for backend in &self.backends {
            if let Some(Egress { port, next_hop }) = self.routes.to(*backend)
                && !self.owned.is_owned(next_hop)
            {
                kept.insert((port, next_hop));
            }
        }
        self.table.keep(now, &kept);
    }

    /// Takes in a frame that a worker passed as Local: ARP, or an answer to a health check.
    pub fn receive(&mut self, now: Moment, port: PortId, frame: &[u8]) {
        self.counters.received += 1;
        let parsed = flow::parse(frame);
        let l3 = frame.get(usize::from(parsed.l3)..).unwrap_or_default();
        let taken = match parsed.kind {
            Kind::Arp => arp::parse(l3).is_ok_and(|arp| self.receive_arp(now, port, &arp)),
            Kind::Tcp(tcp) => {
                let from = SocketAddrV4::new(tcp.src, tcp.sport);
                let to = SocketAddrV4::new(tcp.dst, tcp.dport);
                self.prober.receive(now, from, to, l3)
            }
            Kind::IcmpOther(icmp) => {
                // Without the padding of a short frame.
                let end = usize::from(parsed.l3) + usize::from(icmp.total_len);
                let message = frame.get(usize::from(parsed.l4)..end).unwrap_or_default();
                icmp::unreachable(message).is_some_and(|said| self.prober.unreachable(&said))
            }
            Kind::Udp(_)
            | Kind::IcmpEchoRequest(_)
            | Kind::IcmpEchoReply(_)
            | Kind::OtherTransport(_)
            | Kind::Fragment(_)
            | Kind::Options(_)
            | Kind::NotIp(_)
            | Kind::Malformed(_) => false,
        };
        self.counters.ignored += u64::from(!taken);
    }

    /// Sends a frame whose next hop a worker did not know, now or when it has answered. The frame
    /// is whole; only its two MAC addresses are still to be written.
    pub fn resolve_and_send(
        &mut self,
        now: Moment,
        port: PortId,
        next_hop: Ipv4Addr,
        frame: &[u8],
    ) -> Sent {
        let sent = self.table.send(now, port, next_hop, frame.into());
        self.carry_out();
        sent
    }

    /// Does everything that is due, and sends. Answers when to be called again, at the latest.
    pub fn poll(&mut self, now: Moment, outside: &mut impl Transmit) -> Option<Moment> {
        let requests: Vec<ProbeRequest> = self.engine.due(now).collect();
        for request in requests {
            self.start(now, request);
        }
        self.prober.poll(now);
        self.table.poll(now);
        self.settle(now);
        for (port, address) in self.owned.poll(now) {
            self.announce(port, address);
        }
        self.carry_out();
        self.outbox.flush(outside);
        let dues = [
            self.engine.next_due(),
            self.prober.next_due(now),
            self.table.next_due(),
            self.owned.next_due(),
        ];
        dues.into_iter().flatten().min()
    }

    /// Takes the turns of the checks since the last call.
    pub fn turns(&mut self) -> Vec<Turn> {
        std::mem::take(&mut self.turns)
    }

    /// The health engine, to look at.
    pub const fn health(&self) -> &Engine {
        &self.engine
    }

    /// For `spillway health list`.
    pub fn health_rows(&self) -> Vec<health::Row> {
        self.engine.rows()
    }

    /// For `spillway neighbor list`.
    pub fn neighbor_rows(&self) -> Vec<NeighborRow> {
        self.table.rows()
    }

    pub const fn counters(&self) -> HostCounters {
        HostCounters {
            neighbors: self.table.counters(),
            probes: self.prober.counters(),
            probes_lost: self.engine.lost(),
            probes_stretch_percent: self.engine.stretch(),
            transmitted: self.outbox.transmitted,
            transmit_failed: self.outbox.failed,
            ..self.counters
        }
    }

    fn receive_arp(&mut self, now: Moment, port: PortId, arp: &Arp) -> bool {
        let Some(own_mac) = self.outbox.mac(port) else { return false };
        // Our own words, come back by a loop or a mirror port.
        if self.outbox.is_own_mac(arp.sender_mac) {
            return false;
        }
        if self.owned.is_owned_on(port, arp.sender_ip) {
            self.counters.conflicts += 1;
            if self.owned.defend(now, arp.sender_ip) {
                self.announce(port, arp.sender_ip);
            }
            return true;
        }
        let on_link = is_on_link(&self.network, port, arp.sender_ip);
        match arp.op {
            ArpOp::Reply if arp.target_mac == own_mac => {
                self.table.answered(now, port, arp.sender_ip, arp.sender_mac);
            }
            ArpOp::Reply => self.table.claimed(now, port, arp.sender_ip, arp.sender_mac),
            ArpOp::Request => {
                self.table.claimed(now, port, arp.sender_ip, arp.sender_mac);
                if self.owned.is_owned_on(port, arp.target_ip) {
                    self.counters.arp_answered += 1;
                    self.outbox.arp(port, &arp.answer(own_mac), arp.sender_mac);
                    // It is about to talk to us, so that we shall talk to it: ask, do not believe.
                    if on_link {
                        self.table.want(now, port, arp.sender_ip);
                    }
                }
            }
        }
        self.carry_out();
        true
    }

    fn start(&mut self, now: Moment, request: ProbeRequest) {
        let destination = *request.address.ip();
        let way = self
            .routes
            .to(destination)
            .and_then(|egress| Some((egress, probe_source(&self.network, egress)?)));
        let Some((egress, source)) = way else {
            self.report(now, request.id, Err(ProbeError::NoRoute));
            return;
        };
        self.prober.start(now, request, source, egress);
    }

    /// Moves packets from the checks to the neighbours and results to the engine, until all is
    /// quiet: a packet that cannot go ends its check.
    fn settle(&mut self, now: Moment) {
        for Packet { id, egress, l3 } in self.prober.packets() {
            let Egress { port, next_hop } = egress;
            let Some(frame) = self.outbox.frame(port, &l3) else { continue };
            let sent = self.table.send(now, port, next_hop, frame);
            let failed = self.table.state(port, next_hop) == Some(NeighborState::Failed);
            if sent == Sent::Dropped && failed {
                self.prober.fail(id, ProbeError::Unreachable);
            }
        }
        for outcome in self.prober.outcomes() {
            let Outcome { id, egress, answer, connected } = outcome;
            match answer {
                None => self.engine.abandon(id, now),
                // Its SYN never left: not the backend's silence, but its absence.
                Some(Err(ProbeError::Timeout)) if !connected && !self.is_known(egress) => {
                    self.report(now, id, Err(ProbeError::Unreachable));
                }
                Some(answer) => self.report(now, id, answer),
            }
        }
    }

    fn report(&mut self, now: Moment, id: health::ProbeId, answer: Result<Answer, ProbeError>) {
        self.turns.extend(self.engine.report(id, now, answer));
    }

    fn is_known(&self, egress: Egress) -> bool {
        match self.table.state(egress.port, egress.next_hop) {
            Some(NeighborState::Reachable | NeighborState::Stale | NeighborState::Static) => true,
            Some(NeighborState::Incomplete | NeighborState::Failed) | None => false,
        }
    }

    /// Questions become ARP frames, and frames get their MACs.
    fn carry_out(&mut self) {
        for action in self.table.actions() {
            match action {
                Action::Ask { port, address, to } => {
                    self.outbox.ask(&self.network, port, address, to);
                }
                Action::Send { port, mac, frame } => self.outbox.send(port, mac, frame),
            }
        }
    }

    fn announce(&mut self, port: PortId, address: Ipv4Addr) {
        self.counters.announced += 1;
        self.outbox.announce(port, address);
    }
}

/// The SNAT address that checks leave from: one of the egress's link, or the first.
fn probe_source(network: &Network, egress: Egress) -> Option<Ipv4Addr> {
    let mut addresses = network.snat.iter().map(|range| range.address);
    let on_link = addresses.clone().find(|it| is_on_link(network, egress.port, *it));
    on_link.or_else(|| addresses.next())
}

#[cfg(test)]
mod tests;

//! A packet's way through one worker: read this file top down.
//!
//! ```text
//! burst → classify (parse; what is no flow is settled; prefetch the bucket)
//!       → guess    (tags compared; prefetch the record)
//!       → act      hit  → TCP state, last seen, rewrite → Transmit
//!                  miss → admit (see `admit.rs`)        → Transmit | Refuse | Local | Drop
//! ```
//! The caller owns devices: it counts what it did with each verdict and fills in the L2 header.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use arrayvec::ArrayVec;
use spillway_packet::MacAddr;
use spillway_packet::ethernet::ethertype;
use spillway_packet::flow::{self, EchoMeta, Kind, Parsed};
use spillway_packet::icmp;
use spillway_packet::rewrite::{self, Transport};
use spillway_packet::tcp::TcpFlags;

use crate::admit::Denied;
use crate::batch::{BURST_MAX, Batch, Verdicts};
use crate::conntrack::{
    Conntrack, Direction, Ends, FlowKey, FlowRecord, FlowState, Found, RegionError, TickTimeouts,
};
use crate::counters::{Counters, SERVICES_COUNTED, ServiceCount};
use crate::hash::HashKey;
use crate::ids::{PortId, WorkerId};
use crate::model::{Network, Protocol, Timeouts};
use crate::refuse;
use crate::route::Routes;
use crate::scheduler::Rng;
use crate::snat::{Binding, SnatPorts};
use crate::tables::Tables;
use crate::time::Tick;
use crate::verdict::{DropReason, Verdict};

/// Records that one burst may look at to expire flows.
const EXPIRE_BUDGET: u32 = 32;

/// How a packet finds the worker that owns its flow.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Steering {
    /// By keyed hash of the client's tuple; frames are handed over by rings. Needs nothing of the
    /// port.
    #[default]
    Software,
    /// The port's receive-side scaling keeps a client's tuple on one queue; only replies that
    /// arrive elsewhere are handed over.
    Nic,
}

/// Where a burst comes from.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Port,
    /// Handed over by another worker: it is ours, and is not handed on again.
    Worker,
}

/// A port of the box as frames see it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct PortIdentity {
    pub mac: MacAddr,
    /// 802.1Q VLAN of every frame; `None`: untagged.
    pub vlan: Option<u16>,
}

/// What a worker is told once, at its start.
#[derive(Clone, Debug)]
pub struct ForwarderSettings {
    pub worker: WorkerId,
    pub workers: u16,
    pub steering: Steering,
    /// Indexed by [`PortId`].
    pub ports: Vec<PortIdentity>,
    pub network: Arc<Network>,
    pub timeouts: Timeouts,
    pub flows_max: u32,
    pub snat_backends_max: u32,
    pub hash_key: HashKey,
    /// Seeds this worker's random choices.
    pub seed: u64,
}

/// A TCP or UDP packet on its way. Small, because a burst of them is written and read again.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) key: FlowKey,
    pub(crate) hash: u64,
    guess: Option<Found>,
    /// Position in the burst.
    at: u8,
    l3: u8,
    l4: u8,
    ttl: u8,
    pub(crate) protocol: Protocol,
    /// Empty for UDP.
    pub(crate) flags: TcpFlags,
}

const _: () = assert!(size_of::<Packet>() <= 40);
const _: () = assert!(BURST_MAX <= u8::MAX as usize);

impl Packet {
    /// Position in the burst.
    pub(crate) fn at(&self) -> usize {
        self.at.into()
    }

    /// Where its network header starts.
    pub(crate) fn l3(&self) -> usize {
        self.l3.into()
    }

    pub(crate) fn ends(&self) -> Ends {
        self.key.ends()
    }
}

/// One worker's share of the data plane.
#[derive(Debug)]
pub struct Forwarder<'m> {
    pub(crate) settings: ForwarderSettings,
    /// Those of `tables`.
    pub(crate) routes: Arc<Routes>,
    pub(crate) timeouts: TickTimeouts,
    pub(crate) conntrack: Conntrack<'m>,
    pub(crate) snat: SnatPorts,
    pub(crate) tables: Arc<Tables>,
    pub(crate) rng: Rng,
    /// The caller adds what it did with the verdicts.
    pub counters: Counters,
    /// Indexed by [`crate::tables::ServiceEntry::place`].
    pub(crate) service_counts: Box<[ServiceCount]>,
}

impl<'m> Forwarder<'m> {
    /// `region`: memory of the flow table, see [`Conntrack::create`].
    ///
    /// # Errors
    /// [`RegionError`] when the region does not fit `flows_max`.
    pub fn new(
        settings: ForwarderSettings,
        region: &'m mut [u8],
        tables: Arc<Tables>,
        now: Tick,
    ) -> Result<Self, RegionError> {
        Ok(Self {
            routes: Arc::clone(tables.routes()),
            timeouts: TickTimeouts::new(&settings.timeouts),
            conntrack: Conntrack::create(region, settings.flows_max, settings.hash_key, now)?,
            snat: SnatPorts::new(
                &settings.network.snat,
                settings.worker,
                settings.workers,
                settings.snat_backends_max,
                settings.hash_key,
            ),
            rng: Rng::new(settings.seed),
            tables,
            settings,
            counters: Counters::default(),
            service_counts: vec![ServiceCount::default(); SERVICES_COUNTED].into(),
        })
    }

    /// Gives each frame of the burst its verdict and rewrites those that leave.
    pub fn forward<B: Batch>(
        &mut self,
        now: Tick,
        origin: Origin,
        batch: &mut B,
        verdicts: &mut Verdicts,
    ) {
        let mut packets = ArrayVec::<Packet, BURST_MAX>::new();
        verdicts.clear();
        for at in 0..batch.len().min(BURST_MAX) {
            verdicts.push(self.classify(origin, batch, at, &mut packets));
        }
        for packet in &mut packets {
            packet.guess = self.conntrack.guess(packet.hash);
        }
        for packet in &packets {
            let verdict = self.act(now, batch, packet);
            if let Some(place) = verdicts.get_mut(packet.at()) {
                *place = verdict;
            }
        }
    }

    /// Takes over a new Generation.
    pub fn adopt(&mut self, tables: Arc<Tables>) {
        self.routes = Arc::clone(tables.routes());
        self.tables = tables;
    }

    pub fn tables(&self) -> &Arc<Tables> {
        &self.tables
    }

    pub fn conntrack(&self) -> &Conntrack<'m> {
        &self.conntrack
    }

    pub fn snat(&self) -> &SnatPorts {
        &self.snat
    }

    /// By the Services' places, see [`crate::snapshot::SnapshotService::place`]. Each says whose it is.
    pub fn service_counts(&self) -> &[ServiceCount] {
        &self.service_counts
    }

    pub fn settings(&self) -> &ForwarderSettings {
        &self.settings
    }

    /// Lets go of silent flows and their SNAT ports: a bounded slice, once per burst.
    pub fn expire(&mut self, now: Tick) {
        let Self { conntrack, snat, timeouts, counters, .. } = self;
        let expired = conntrack.expire(now, timeouts, EXPIRE_BUDGET, |record| {
            give_back(snat, record);
        });
        counters.flows_expired += u64::from(expired);
    }

    /// Parses one frame. What is a TCP or UDP packet of ours goes on `packets`, with a verdict to
    /// be replaced; everything else is settled here.
    #[inline]
    fn classify<B: Batch>(
        &mut self,
        origin: Origin,
        batch: &mut B,
        at: usize,
        packets: &mut ArrayVec<Packet, BURST_MAX>,
    ) -> Verdict {
        let frame = batch.frame(at);
        if frame.is_empty() {
            return Verdict::Drop(DropReason::NotContiguous);
        }
        let Parsed { kind, vlan, l3, l4 } = flow::parse(frame);
        // A malformed link header says that itself: it has neither a tag nor an address to judge.
        if l3 > 0
            && let Some(reason) = self.not_for_us(batch.port(at), frame, vlan)
        {
            return Verdict::Drop(reason);
        }
        let (protocol, ends, flags, ttl) = match kind {
            Kind::Tcp(tcp) => {
                (Protocol::Tcp, ends(tcp.src, tcp.sport, tcp.dst, tcp.dport), tcp.flags, tcp.ttl)
            }
            Kind::Udp(udp) => {
                let ends = ends(udp.src, udp.sport, udp.dst, udp.dport);
                (Protocol::Udp, ends, TcpFlags::from_bits(0), udp.ttl)
            }
            Kind::Arp
            | Kind::IcmpEchoRequest(_)
            | Kind::IcmpEchoReply(_)
            | Kind::IcmpOther(_)
            | Kind::OtherTransport(_)
            | Kind::Fragment(_)
            | Kind::Options(_)
            | Kind::NotIp(_)
            | Kind::Malformed(_) => return self.settle(batch, at, kind, l3, l4),
        };
        let key = FlowKey::new(protocol, ends);
        let hash = self.conntrack.hash(key);
        if self.settings.workers > 1 && origin == Origin::Port {
            let owner = self.owner(ends, hash);
            if owner != self.settings.worker {
                return Verdict::HandOver(owner);
            }
        }
        self.conntrack.prefetch(hash);
        let at = u8::try_from(at).unwrap_or(0);
        packets.push(Packet { key, hash, guess: None, at, l3, l4, ttl, protocol, flags });
        Verdict::Drop(DropReason::NotOurs)
    }

    /// Settles what is neither TCP nor UDP.
    fn settle<B: Batch>(
        &mut self,
        batch: &mut B,
        at: usize,
        kind: Kind,
        l3: u8,
        l4: u8,
    ) -> Verdict {
        Verdict::Drop(match kind {
            Kind::Arp => return Verdict::Local,
            Kind::IcmpEchoRequest(echo) => return self.echo(batch, at, (l3, l4), &echo),
            Kind::IcmpEchoReply(icmp) => self.foreign(icmp.src, icmp.dst),
            Kind::IcmpOther(icmp) => self.foreign(icmp.src, icmp.dst),
            Kind::OtherTransport(_) | Kind::Tcp(_) | Kind::Udp(_) => DropReason::UnknownProtocol,
            Kind::Fragment(_) => DropReason::Fragment,
            Kind::Options(_) => DropReason::IpOptions,
            Kind::NotIp(ethertype::IPV6) => DropReason::Ipv6,
            Kind::NotIp(_) => DropReason::UnknownEthertype,
            Kind::Malformed(malformed) => malformed.into(),
        })
    }

    /// Why an ICMP message that is not served is dropped.
    fn foreign(&self, src: Ipv4Addr, dst: Ipv4Addr) -> DropReason {
        self.admissible(src, dst).err().unwrap_or(DropReason::IcmpNotServed)
    }

    /// Settles a TCP or UDP packet.
    #[inline]
    fn act<B: Batch>(&mut self, now: Tick, batch: &mut B, packet: &Packet) -> Verdict {
        if packet.ttl <= 1 {
            return Verdict::Drop(DropReason::TtlExpired);
        }
        match packet.guess {
            Some(guess) if !packet.flags.opens() && self.conntrack.confirm(guess, packet.key) => {
                self.translate(now, guess, batch.frame_mut(packet.at()), packet)
            }
            Some(_) | None => self.act_with_care(now, batch, packet),
        }
    }

    /// A packet that is not in its first place, may open a flow, or does.
    #[inline(never)]
    fn act_with_care<B: Batch>(&mut self, now: Tick, batch: &mut B, packet: &Packet) -> Verdict {
        // Again from the start: an earlier packet of this very burst may have made the flow.
        let found = self.conntrack.find(packet.key, packet.hash);
        let found = found.filter(|found| !self.reopens(*found, packet));
        let admitted = match found {
            Some(found) => Ok(found),
            None => self.admit(now, packet),
        };
        match admitted {
            Ok(found) => self.translate(now, found, batch.frame_mut(packet.at()), packet),
            Err(Denied::Local) => Verdict::Local,
            Err(Denied::Drop(reason)) => Verdict::Drop(reason),
            Err(Denied::Refuse(reason)) => refuse::refuse(reason, batch, packet, &self.routes),
        }
    }

    /// A packet of a known flow: state, timer, rewrite, next hop.
    #[inline]
    fn translate(&mut self, now: Tick, found: Found, frame: &mut [u8], packet: &Packet) -> Verdict {
        let record = self.conntrack.touch(found, packet.flags, now, &self.timeouts);
        let Some(record) = record else { return Verdict::Drop(DropReason::NoFlow) };
        let rewrite = record.rewrite(found.direction);
        let Some(egress) = self.routes.to(rewrite.dst) else {
            return Verdict::Drop(DropReason::NoRoute);
        };
        let transport = match packet.protocol {
            Protocol::Tcp => Transport::Tcp,
            Protocol::Udp => Transport::Udp,
        };
        if rewrite::apply(frame, packet.l3(), packet.l4.into(), transport, &rewrite) {
            Verdict::Transmit(egress)
        } else {
            Verdict::Drop(DropReason::Truncated)
        }
    }

    /// A SYN from the client on a flow that is over makes a new flow with this same packet: the old
    /// record goes here, and the packet goes on as a miss.
    #[inline]
    fn reopens(&mut self, found: Found, packet: &Packet) -> bool {
        if !packet.flags.opens() || found.direction != Direction::Original {
            return false;
        }
        let over = self
            .conntrack
            .record(found.flow)
            .and_then(FlowRecord::state)
            .is_some_and(FlowState::is_over);
        if over && let Some(record) = self.conntrack.remove(found.flow) {
            give_back(&mut self.snat, &record);
            self.counters.flows_expired += 1;
        }
        over
    }

    #[inline]
    fn not_for_us(&self, port: PortId, frame: &[u8], vlan: Option<u16>) -> Option<DropReason> {
        let Some(identity) = self.settings.ports.get(port.index()) else {
            return Some(DropReason::NotOurMac);
        };
        if vlan != identity.vlan {
            return Some(DropReason::VlanMismatch);
        }
        let to = MacAddr(*frame.first_chunk()?);
        // Broadcast is for ARP; an IP packet to a group address is not answered and not forwarded.
        let ours = to == identity.mac || (to == MacAddr::BROADCAST && is_arp(frame));
        (!ours).then_some(DropReason::NotOurMac)
    }

    /// Answers a ping to one of our addresses in place.
    fn echo<B: Batch>(
        &mut self,
        batch: &mut B,
        at: usize,
        (l3, l4): (u8, u8),
        echo: &EchoMeta,
    ) -> Verdict {
        if let Err(reason) = self.admissible(echo.src, echo.dst) {
            return Verdict::Drop(reason);
        }
        let Some(egress) = self.routes.to(echo.src) else {
            return Verdict::Drop(DropReason::NoRoute);
        };
        if icmp::echo_reply_in_place(batch.frame_mut(at), l3.into(), l4.into()) {
            self.counters.echo_answered += 1;
            Verdict::Transmit(egress)
        } else {
            Verdict::Drop(DropReason::BadIcmp)
        }
    }
}

fn ends(src: Ipv4Addr, sport: u16, dst: Ipv4Addr, dport: u16) -> Ends {
    Ends { source: SocketAddrV4::new(src, sport), destination: SocketAddrV4::new(dst, dport) }
}

fn is_arp(frame: &[u8]) -> bool {
    matches!(frame, [_, _, _, _, _, _, _, _, _, _, _, _, 0x08, 0x06, ..])
        || matches!(frame, [_, _, _, _, _, _, _, _, _, _, _, _, 0x81, 0, _, _, 0x08, 0x06, ..])
}

/// Returns the SNAT port of a flow that is gone.
fn give_back(snat: &mut SnatPorts, record: &FlowRecord) {
    let Ends { source: backend, destination } = record.reply();
    let Some(range) = snat.range_of(destination) else { return };
    let binding = Binding { range, backend, protocol: record.protocol() };
    let was_lent = snat.give_back(binding, destination.port());
    debug_assert!(was_lent, "every flow holds its SNAT port");
}

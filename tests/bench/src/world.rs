//! A box in small: one worker's pipeline with established flows, over a port that never rests.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use capsule::{Burst, Multi, RxQueue, Sender, Tsc, TxQueue};
use spillway_appliance::mapping;
use spillway_appliance::pipeline::{Inlet, Outlets, Pipeline, TickClock};
use spillway_host::neighbors::Neighbors;
use spillway_lb::batch::Verdicts;
use spillway_lb::conntrack::{Direction, FlowState, bytes_for};
use spillway_lb::forward::{Forwarder, ForwarderSettings, Origin, PortIdentity, Steering};
use spillway_lb::hash::HashKey;
use spillway_lb::ids::{PortId, WorkerId};
use spillway_lb::model::{
    Backend, Frontend, Model, Network, PortNetwork, Protocol, Service, ServiceKind, SnatRange,
    Timeouts,
};
use spillway_lb::snapshot::Identities;
use spillway_lb::tables::Tables;
use spillway_lb::verdict::Verdict;
use spillway_packet::MacAddr;
use spillway_packet::tcp::TcpFlags;

use crate::flows::{BACKEND_PORT, BACKENDS, FRONTEND, Flows, SNAT, backend};
use crate::source::Source;

/// Records of every table, however many flows a case has.
const TABLE_FLOWS: u32 = 1 << 20;
/// Longer than any run: what is measured is the hit path, not ageing.
const SILENCE_MAX: Duration = Duration::from_hours(1);
const KEY: HashKey = HashKey([0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344]);
const GATEWAY: std::net::Ipv4Addr = std::net::Ipv4Addr::new(172, 26, 50, 1);
/// Source of every frame that arrives.
const OUTSIDE: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

/// What a world is connected to.
#[derive(Debug)]
pub(crate) struct Wiring {
    pub(crate) rx: RxQueue,
    pub(crate) tx: TxQueue,
    pub(crate) host: Sender<Multi>,
    pub(crate) tsc: Tsc,
    pub(crate) port_mac: MacAddr,
}

/// The worker's parts, and the traffic for them.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) pipeline: Pipeline,
    pub(crate) inlet: Inlet,
    pub(crate) clock: TickClock,
    pub(crate) flows: Flows,
    pub(crate) port_mac: MacAddr,
}

/// MAC of a backend, or of the gateway for 0.
pub(crate) const fn neighbor_mac(at: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 1, at])
}

fn network() -> anyhow::Result<Network> {
    let port = PortNetwork {
        name: "wire".into(),
        vlan: None,
        addresses: vec!["172.26.50.2/16".parse()?],
        gateway: Some(GATEWAY),
        neighbors: Vec::new(),
    };
    let snat = vec![SnatRange { address: SNAT, ports: 1024..=60_999 }];
    Ok(Network { ports: vec![port], snat, probe_ports: 61_000..=65_535 })
}

fn model(protocol: Protocol) -> Model {
    let backends = (1..=BACKENDS).map(|at| Backend {
        address: backend(at).into(),
        port: BACKEND_PORT,
        weight: 1,
    });
    let service = Service {
        frontends: vec![Frontend { address: FRONTEND.0.into(), port: FRONTEND.1, protocol }],
        backends: backends.collect(),
        ..Service::new("bench", ServiceKind::NodePort)
    };
    Model { services: vec![Arc::new(service)], routes: Vec::new() }
}

fn neighbors() -> anyhow::Result<Arc<Neighbors>> {
    let (neighbors, mut writer) = Neighbors::new(KEY.0[0]);
    writer.set(PortId::new(0), GATEWAY, neighbor_mac(0))?;
    for at in 1..=BACKENDS {
        writer.set(PortId::new(0), backend(at), neighbor_mac(at))?;
    }
    Ok(neighbors)
}

impl World {
    /// A worker with an empty flow table in `file`, which can be removed at once.
    pub(crate) fn new(file: &Path, wiring: Wiring, flows: Flows) -> anyhow::Result<Self> {
        let Wiring { rx, tx, host, tsc, port_mac } = wiring;
        let network = Arc::new(network()?);
        let snapshot = Identities::default().snapshot(&model(flows.protocol), |_| Vec::new());
        let tables = Arc::new(Tables::compile(&snapshot, &network, KEY));
        let settings = ForwarderSettings {
            worker: WorkerId::new(0),
            workers: 1,
            steering: Steering::Software,
            ports: vec![PortIdentity { mac: port_mac, vlan: None }],
            network,
            timeouts: Timeouts {
                tcp_syn: SILENCE_MAX,
                tcp_established: SILENCE_MAX,
                tcp_closing: SILENCE_MAX,
                udp_unreplied: SILENCE_MAX,
                udp: SILENCE_MAX,
            },
            flows_max: TABLE_FLOWS,
            snat_backends_max: 1024,
            hash_key: KEY,
            seed: 1,
        };
        let clock = TickClock::new(tsc, Duration::ZERO);
        let region = mapping::create(file, bytes_for(TABLE_FLOWS))?;
        let forwarder = Forwarder::new(settings, region, tables, clock.now())?;
        let outlets = Outlets { ports: vec![tx], workers: vec![None], host };
        let pipeline = Pipeline::new(forwarder, neighbors()?, outlets);
        Ok(Self { pipeline, inlet: Inlet::new(PortId::new(0), rx), clock, flows, port_mac })
    }

    /// Packets of random established flows.
    pub(crate) fn source(&self, direction: Direction) -> anyhow::Result<Source> {
        self.packets(direction, TcpFlags::ACK)
    }

    fn packets(&self, direction: Direction, flags: TcpFlags) -> anyhow::Result<Source> {
        Source::new(&self.flows, direction, flags, (OUTSIDE, self.port_mac))
    }

    /// Opens every flow through the pipeline, packet by packet, as clients and backends would.
    pub(crate) fn establish(&mut self) -> anyhow::Result<()> {
        let opened = match self.flows.protocol {
            Protocol::Udp => {
                self.send_each(Direction::Original, TcpFlags::ACK)?;
                self.flows.learn(self.pipeline.forwarder().conntrack())?;
                self.send_each(Direction::Reply, TcpFlags::ACK)?;
                FlowState::UdpReplied
            }
            Protocol::Tcp => {
                let syn_ack = TcpFlags::from_bits(TcpFlags::SYN.bits() | TcpFlags::ACK.bits());
                self.send_each(Direction::Original, TcpFlags::SYN)?;
                self.flows.learn(self.pipeline.forwarder().conntrack())?;
                self.send_each(Direction::Reply, syn_ack)?;
                self.send_each(Direction::Original, TcpFlags::ACK)?;
                FlowState::Established
            }
        };
        let conntrack = self.pipeline.forwarder().conntrack();
        ensure!(conntrack.len() == self.flows.count, "{} flows were made", conntrack.len());
        let mut others = 0;
        let _ = conntrack.walk(0, u32::MAX, |record| {
            others += u32::from(record.state() != Some(opened));
        });
        ensure!(others == 0, "{others} flows are not {opened}");
        Ok(())
    }

    /// One packet of every flow.
    fn send_each(&mut self, direction: Direction, flags: TcpFlags) -> anyhow::Result<()> {
        let source = self.packets(direction, flags)?;
        let (mut burst, mut verdicts) = (Burst::new(), Verdicts::new());
        let mut next = 0;
        while next < self.flows.count {
            let (_, now) = self.clock.read();
            let received = u32::try_from(self.inlet.receive(&mut burst))?;
            ensure!(received > 0, "the port gave nothing: is its mempool too small?");
            let end = self.flows.count.min(next + received);
            source.fill_with(&self.flows, &mut burst, (next..end).collect::<Vec<_>>().into_iter());
            self.pipeline.process(now, Origin::Port, &mut burst, &mut verdicts);
            self.pipeline.flush();
            self.pipeline.expire(now);
            let refused = verdicts.iter().find(|v| !matches!(v, Verdict::Transmit(_)));
            ensure!(refused.is_none(), "a packet of flows {next}..{end}: {refused:?}");
            next = end;
        }
        Ok(())
    }

    /// That every frame so far was received and transmitted, and none was lost.
    pub(crate) fn audit(&self) -> anyhow::Result<()> {
        let counters = &self.pipeline.forwarder().counters;
        ensure!(
            counters.received == counters.transmitted && counters.dropped_in_all() == 0,
            "{} frames received, {} transmitted, {} dropped",
            counters.received,
            counters.transmitted,
            counters.dropped_in_all()
        );
        ensure!(counters.flows_created == u64::from(self.flows.count), "flows were made or lost");
        Ok(())
    }
}

/// The neighbour that a frame goes to: the client's side by the gateway, a backend directly.
pub(crate) fn next_hop_mac(destination: std::net::Ipv4Addr) -> anyhow::Result<MacAddr> {
    let at = (1..=BACKENDS).find(|at| backend(*at) == destination);
    ensure!(at.is_some() || destination.octets()[0] == 198, "{destination} is nobody's");
    Ok(neighbor_mac(at.unwrap_or(0)))
}

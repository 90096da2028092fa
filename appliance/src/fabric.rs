//! How the workers are made: their queues, rings, tables and memory, dealt out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use capsule::{Eal, LcoreHandle, Multi, Ring, RingSettings, Single, Tsc};
use spillway_control::settings::{Settings, Steering};
use spillway_host::Neighbors;
use spillway_lb::conntrack::bytes_for;
use spillway_lb::forward::{self, Forwarder, ForwarderSettings, PortIdentity};
use spillway_lb::hash::HashKey;
use spillway_lb::ids::{PortId, WorkerId};
use spillway_lb::tables::Tables;
use spillway_lb::time::Tick;

use crate::busy::Busy;
use crate::clock::TickClock;
use crate::idle::Idle;
use crate::mailbox::Mailbox;
use crate::pipeline::{Inlet, Outlets, Pipeline};
use crate::publish::Publisher;
use crate::worker::Worker;
use crate::{mapping, ports};

/// Frames that one worker's hand-over ring holds.
const HAND_OVER_RING: u32 = 4096;
/// Frames between the workers and the host stack, each way.
const HOST_RING: u32 = 1024;

/// Receive and transmit queues of one port.
pub(crate) type PortQueues = (Vec<capsule::RxQueue>, Vec<capsule::TxQueue>);

/// What is the same for every worker.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Arc<Settings>,
    /// Indexed by [`PortId`].
    pub(crate) identities: Vec<PortIdentity>,
    pub(crate) key: HashKey,
    pub(crate) tables: Arc<Tables>,
    pub(crate) neighbors: Arc<Neighbors>,
    pub(crate) tsc: Tsc,
    /// Time of the monotonic clock now.
    pub(crate) since_boot: Duration,
}

/// The rings between workers and host stack, and what tells workers to stop.
#[derive(Debug)]
pub(crate) struct Fabric {
    shared: Shared,
    hand_over: Vec<HandOverRing>,
    to_host: capsule::Sender<Multi>,
    from_host: Option<capsule::Receiver<Single>>,
    mailboxes: Vec<Arc<Mailbox>>,
    stop: Arc<AtomicBool>,
}

/// The host stack's ends of the rings.
#[derive(Debug)]
pub(crate) struct HostEnds {
    pub(crate) from_workers: capsule::Receiver<Single>,
    pub(crate) to_worker: capsule::Sender<Single>,
}

type HandOverRing = (capsule::Sender<Multi>, Option<capsule::Receiver<Single>>);

/// The workers at work.
#[derive(Debug)]
pub(crate) struct Crew {
    pub(crate) mailboxes: Vec<Arc<Mailbox>>,
    workers: Vec<LcoreHandle>,
    stop: Arc<AtomicBool>,
}

impl Crew {
    /// A worker that has ended though nobody told it to.
    pub(crate) fn dead(&self) -> Option<usize> {
        self.workers.iter().position(LcoreHandle::is_finished)
    }

    pub(crate) fn len(&self) -> usize {
        self.workers.len()
    }

    /// Stops all workers and waits for them.
    ///
    /// # Errors
    /// A worker had panicked.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let joined: Vec<_> = self.workers.into_iter().map(LcoreHandle::join).collect();
        joined.into_iter().collect::<Result<(), _>>()?;
        Ok(())
    }
}

fn ring<P: capsule::Access, C: capsule::Access>(
    eal: &Eal,
    name: &str,
    size: u32,
) -> anyhow::Result<Ring<P, C>> {
    Ok(Ring::create(eal, &RingSettings { name: name.into(), size, numa: None })?)
}

fn hand_over_rings(eal: &Eal, workers: usize) -> anyhow::Result<Vec<HandOverRing>> {
    let rings = (0..workers).map(|worker| {
        let name = format!("worker-{worker}");
        let (sender, receiver) = ring::<Multi, Single>(eal, &name, HAND_OVER_RING)?.split();
        Ok((sender, Some(receiver)))
    });
    rings.collect()
}

impl Fabric {
    /// Makes all rings.
    ///
    /// # Errors
    /// DPDK has no memory for them.
    pub(crate) fn new(eal: &Eal, shared: Shared) -> anyhow::Result<(Self, HostEnds)> {
        let (to_host, from_workers) = ring::<Multi, Single>(eal, "to-host", HOST_RING)?.split();
        let (to_worker, from_host) = ring::<Single, Single>(eal, "from-host", HOST_RING)?.split();
        let count = usize::from(ports::worker_count(&shared.settings));
        let fabric = Self {
            hand_over: hand_over_rings(eal, count)?,
            to_host,
            from_host: Some(from_host),
            mailboxes: (0..count).map(|_| Mailbox::new()).collect(),
            stop: Arc::new(AtomicBool::new(false)),
            shared,
        };
        Ok((fabric, HostEnds { from_workers, to_worker }))
    }

    /// Makes every worker and sends it to its lcore.
    ///
    /// # Errors
    /// No memory for a flow table, or an lcore that does not start; workers that run are stopped.
    pub(crate) fn launch(
        mut self,
        eal: &Eal,
        queues: Vec<PortQueues>,
        publisher: &Publisher,
    ) -> anyhow::Result<Crew> {
        let built = self.build(queues, publisher)?;
        let mut crew =
            Crew { mailboxes: self.mailboxes, workers: Vec::new(), stop: Arc::clone(&self.stop) };
        for (index, worker) in built.into_iter().enumerate() {
            match eal.launch(index, move || worker.run()) {
                Ok(handle) => crew.workers.push(handle),
                Err(error) => {
                    crew.stop()?;
                    return Err(error.into());
                }
            }
        }
        Ok(crew)
    }

    /// Builds every worker with its queues: receive queues are dealt out in turn, transmit queues
    /// one each.
    fn build(
        &mut self,
        queues: Vec<PortQueues>,
        publisher: &Publisher,
    ) -> anyhow::Result<Vec<Worker>> {
        let count = self.mailboxes.len();
        let mut receive: Vec<Vec<Inlet>> = Vec::new();
        let mut transmit: Vec<Vec<capsule::TxQueue>> = Vec::new();
        receive.resize_with(count, Vec::new);
        transmit.resize_with(count, Vec::new);
        for (port, (rx, tx)) in (0..).map(PortId::new).zip(queues) {
            for (queue, at) in rx.into_iter().zip((0..count).cycle()) {
                if let Some(worker) = receive.get_mut(at) {
                    worker.push(Inlet::new(port, queue));
                }
            }
            for (queue, worker) in tx.into_iter().zip(&mut transmit) {
                worker.push(queue);
            }
        }
        let each = receive.into_iter().zip(transmit).enumerate();
        each.map(|(at, (receive, transmit))| self.worker(at, receive, transmit, publisher))
            .collect()
    }

    fn worker(
        &mut self,
        at: usize,
        inlets: Vec<Inlet>,
        ports: Vec<capsule::TxQueue>,
        publisher: &Publisher,
    ) -> anyhow::Result<Worker> {
        let rings = self.hand_over.iter().enumerate();
        let peers = rings.map(|(peer, (ring, _))| (peer != at).then(|| ring.clone()));
        let outlets = Outlets { ports, workers: peers.collect(), host: self.to_host.clone() };
        let own = self.hand_over.get_mut(at).and_then(|(_, receiver)| receiver.take());
        let wired = own.zip(publisher.slot(at)).zip(self.mailboxes.get(at).cloned());
        let ((taken_over, slot), mailbox) = wired.context("a worker without its rings")?;
        let clock = TickClock::new(self.shared.tsc, self.shared.since_boot);
        Ok(Worker {
            pipeline: Pipeline::new(
                self.forwarder(at, clock.now())?,
                Arc::clone(&self.shared.neighbors),
                outlets,
            ),
            inlets,
            taken_over,
            from_host: self.from_host.take(),
            slot,
            mailbox,
            clock,
            idle: Idle::new(self.shared.settings.dataplane.poll),
            stop: Arc::clone(&self.stop),
            busy: Busy::new(self.shared.tsc.hz(), self.shared.tsc.now()),
        })
    }

    fn forwarder(&self, at: usize, now: Tick) -> anyhow::Result<Forwarder<'static>> {
        let settings = &self.shared.settings;
        let workers = ports::worker_count(settings);
        let flows_max = (settings.dataplane.flows_max / u32::from(workers)).max(1);
        let path = settings.state_dir.join(format!("flows.{at}"));
        let region = mapping::create(&path, bytes_for(flows_max))?;
        let worker = u16::try_from(at).context("too many workers")?;
        let forwarder = ForwarderSettings {
            worker: WorkerId::new(worker),
            workers,
            steering: match settings.dataplane.steering {
                Steering::Software => forward::Steering::Software,
                Steering::Nic => forward::Steering::Nic,
            },
            ports: self.shared.identities.clone(),
            network: Arc::new(settings.network.clone()),
            timeouts: settings.timeouts,
            flows_max,
            snat_backends_max: settings.dataplane.snat_backends_max,
            hash_key: self.shared.key,
            seed: self.shared.key.0[0].wrapping_add(at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        };
        Ok(Forwarder::new(forwarder, region, Arc::clone(&self.shared.tables), now)?)
    }
}

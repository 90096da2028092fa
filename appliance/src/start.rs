//! Start order of the box, and its end.
//!
//! Lock → EAL → mempool → ports → flow tables → first Generation → workers → host stack → admin
//! socket → "ready". Ends in the other direction, on SIGTERM or SIGINT.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use capsule::{
    Eal, EalSettings, LcoreHandle, Memory, Mempool, MempoolSettings, Multi, Ring, RingSettings,
    Single, Tsc, eal,
};
use spillway_control::settings::{DeviceSettings, LogLevel, MemorySettings, Settings, Steering};
use spillway_host::{Host, HostSettings, Moment, Neighbors};
use spillway_lb::conntrack::bytes_for;
use spillway_lb::forward::{self, Forwarder, ForwarderSettings, PortIdentity};
use spillway_lb::hash::HashKey;
use spillway_lb::ids::{PortId, WorkerId};
use spillway_lb::tables::Tables;
use spillway_lb::time::Tick;
use tokio::signal::unix::{SignalKind, signal};

use crate::clock::TickClock;
use crate::control::{Builder, Control};
use crate::desk::Desk;
use crate::host_thread::{HostThread, Wiring};
use crate::idle::Idle;
use crate::mailbox::Mailbox;
use crate::pipeline::{Inlet, Outlets, Pipeline};
use crate::ports::{self, PortFacts, RunningPort};
use crate::publish::Publisher;
use crate::worker::{Busy, Worker};
use crate::{admin, mapping};

/// Frames that one worker's hand-over ring holds.
const HAND_OVER_RING: u32 = 4096;
/// Frames between the workers and the host stack, each way.
const HOST_RING: u32 = 1024;

/// Runs the box until it is told to stop.
///
/// # Errors
/// What could not be started, and why.
pub fn run(settings: Settings) -> anyhow::Result<()> {
    let _lock = lock(&settings.state_dir)?;
    // Before anything else is made: a second daemon must not disturb the first.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the control runtime")?;
    let (listener, _socket) = {
        let _inside = runtime.enter();
        admin::bind(&settings.admin_socket)?
    };
    let eal = start_eal(&settings)?;
    let pool = Arc::new(Mempool::create(&eal, &pool_settings(&settings))?);
    let ports = ports::start(&eal, &settings, &pool, random()?)?;
    let running = Running::start(&eal, pool, ports, &Arc::new(settings))?;
    runtime.block_on(running.serve(listener))
}

/// The kernel lets go of this lock however the process ends.
fn lock(state_dir: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(state_dir)
        .with_context(|| format!("state_dir: cannot make {}", state_dir.display()))?;
    let path = state_dir.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    if file.try_lock().is_err() {
        bail!("state_dir {}: another spillwayd runs from it", state_dir.display());
    }
    Ok(file)
}

fn start_eal(settings: &Settings) -> anyhow::Result<Eal> {
    let dataplane = &settings.dataplane;
    let mib = dataplane.memory_mib;
    let free = eal::hugepages_free_mib();
    let memory = match dataplane.memory {
        MemorySettings::Hugepages => Memory::Hugepages { mib },
        MemorySettings::Ordinary => Memory::Ordinary { mib },
        MemorySettings::Auto if free >= u64::from(mib) => Memory::Hugepages { mib },
        MemorySettings::Auto => {
            tracing::warn!(
                "{free} MiB of hugepages are free and memory_mib is {mib}: using ordinary memory, \
                 which is slower (reserve with `sysctl vm.nr_hugepages=N`, 2 MiB each)"
            );
            Memory::Ordinary { mib }
        }
    };
    let memif =
        settings.ports.iter().any(|port| matches!(port.device, DeviceSettings::Memif { .. }));
    let eal = Eal::init(&EalSettings {
        // The process id keeps two boxes of one name, and a dead one's files, apart.
        name: format!("spillway-{}", std::process::id()),
        main_core: dataplane.main_core,
        worker_cores: dataplane.worker_cores.clone(),
        memory,
        multi_process: memif,
        devices: ports::devices(settings)?,
        log_level: match dataplane.log_level {
            LogLevel::Error => capsule::LogLevel::Error,
            LogLevel::Warn => capsule::LogLevel::Warning,
            LogLevel::Info => capsule::LogLevel::Info,
            LogLevel::Debug | LogLevel::Trace => capsule::LogLevel::Debug,
        },
    })?;
    tracing::info!(dpdk = eal.version(), ?memory, "DPDK is up");
    Ok(eal)
}

fn pool_settings(settings: &Settings) -> MempoolSettings {
    MempoolSettings::new("packets", settings.dataplane.mbufs)
}

/// Bytes that nobody outside can guess.
fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .context("cannot read /dev/urandom for a secret")?;
    Ok(bytes)
}

fn random_key() -> anyhow::Result<HashKey> {
    let both = u128::from_ne_bytes(random()?);
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    let key = HashKey([both as u64, (both >> 64) as u64]);
    Ok(key)
}

/// Time since the machine's boot: the clock of the flow table, the same for the next process.
fn since_boot() -> Duration {
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = uptime.split(' ').next().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs_f64(seconds.unwrap_or(0.0))
}

/// A box whose workers forward.
struct Running {
    workers: Vec<LcoreHandle>,
    stop: Arc<AtomicBool>,
    desk: Arc<Desk>,
    control: Control,
    ports: Vec<capsule::Port<capsule::Running>>,
    name: String,
}

/// What all workers share or are wired to each other by.
struct Fabric {
    settings: Arc<Settings>,
    identities: Vec<PortIdentity>,
    key: HashKey,
    tables: Arc<Tables>,
    neighbors: Arc<Neighbors>,
    hand_over: Vec<(capsule::Sender<Multi>, Option<capsule::Receiver<Single>>)>,
    to_host: capsule::Sender<Multi>,
    from_host: Option<capsule::Receiver<Single>>,
    mailboxes: Vec<Arc<Mailbox>>,
    stop: Arc<AtomicBool>,
    tsc: Tsc,
    since_boot: Duration,
}

impl Running {
    fn start(
        eal: &Eal,
        pool: Arc<Mempool>,
        ports: Vec<RunningPort>,
        settings: &Arc<Settings>,
    ) -> anyhow::Result<Self> {
        let started = Instant::now();
        let key = random_key()?;
        let mut facts: Vec<PortFacts> = Vec::new();
        let mut queues = Vec::new();
        let mut open = Vec::new();
        for port in ports {
            facts.push(port.facts);
            queues.push((port.rx, port.tx));
            open.push(port.port);
        }
        let host = Host::new(
            Moment::ZERO,
            HostSettings {
                network: settings.network.clone(),
                port_macs: facts.iter().map(|port| port.identity.mac).collect(),
                seed: key.0[0] ^ key.0[1].rotate_left(17),
            },
        )?;
        let (to_host, from_workers) = ring::<Multi, Single>(eal, "to-host", HOST_RING)?.split();
        let (to_worker, from_host) = ring::<Single, Single>(eal, "from-host", HOST_RING)?.split();
        let count = usize::from(ports::worker_count(settings));
        let mut builder = Builder::new(Arc::clone(settings), key);
        let (snapshot, tables) = builder.build();
        let tables = Arc::new(tables);
        let publisher = Publisher::new(count, Arc::clone(&tables));
        let mut fabric = Fabric {
            identities: facts.iter().map(|port| port.identity).collect(),
            key,
            tables,
            neighbors: host.neighbors(),
            hand_over: hand_over_rings(eal, count)?,
            to_host,
            from_host: Some(from_host),
            mailboxes: (0..count).map(|_| Mailbox::new()).collect(),
            stop: Arc::new(AtomicBool::new(false)),
            tsc: Tsc::new(eal),
            since_boot: since_boot(),
            settings: Arc::clone(settings),
        };
        let mut workers = Vec::new();
        for (index, worker) in fabric.build(queues, &publisher)?.into_iter().enumerate() {
            workers.push(eal.launch(index, move || worker.run())?);
        }
        let (transitions, arrivals) = tokio::sync::mpsc::unbounded_channel();
        let wiring = Wiring { from_workers, to_worker, pool, transitions, started };
        let host = HostThread::start(host, wiring).context("cannot start the host stack")?;
        let desk = Desk::new(
            Arc::clone(settings),
            started,
            facts,
            host,
            snapshot,
            fabric.mailboxes.clone(),
        );
        let desk = Arc::new(desk);
        Ok(Self {
            workers,
            stop: fabric.stop,
            control: Control::new(builder, publisher, Arc::clone(&desk), arrivals)?,
            desk,
            ports: open,
            name: settings.name.clone(),
        })
    }

    /// Serves until a signal, then stops the workers.
    async fn serve(mut self, listener: tokio::net::UnixListener) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let socket = tokio::spawn(admin::serve(listener, Arc::clone(&self.desk)));
        tracing::info!(
            workers = self.workers.len(),
            ports = self.ports.len(),
            "{} is ready",
            self.name
        );
        let mut watch = tokio::time::interval(Duration::from_millis(200));
        let ended = loop {
            tokio::select! {
                _ = terminate.recv() => break Ok(()),
                _ = interrupt.recv() => break Ok(()),
                () = self.control.step() => {}
                _ = watch.tick() => {
                    if let Some(dead) = self.workers.iter().position(LcoreHandle::is_finished) {
                        break Err(anyhow::anyhow!("worker {dead} ended by itself"));
                    }
                }
            }
        };
        tracing::info!("stopping");
        socket.abort();
        let _ = socket.await;
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers {
            worker.join()?;
        }
        drop(self.control);
        let desk = Arc::into_inner(self.desk);
        if !desk.is_none_or(|desk| desk.host.stop()) {
            tracing::error!("the host stack had panicked");
        }
        ended
    }
}

fn ring<P: capsule::Access, C: capsule::Access>(
    eal: &Eal,
    name: &str,
    size: u32,
) -> anyhow::Result<Ring<P, C>> {
    Ok(Ring::create(eal, &RingSettings { name: name.into(), size, numa: None })?)
}

type HandOverRing = (capsule::Sender<Multi>, Option<capsule::Receiver<Single>>);

fn hand_over_rings(eal: &Eal, workers: usize) -> anyhow::Result<Vec<HandOverRing>> {
    let rings = (0..workers).map(|worker| {
        let name = format!("worker-{worker}");
        let (sender, receiver) = ring::<Multi, Single>(eal, &name, HAND_OVER_RING)?.split();
        Ok((sender, Some(receiver)))
    });
    rings.collect()
}

impl Fabric {
    /// Builds every worker with its queues: receive queues are dealt out in turn, transmit queues
    /// one each.
    fn build(
        &mut self,
        queues: Vec<(Vec<capsule::RxQueue>, Vec<capsule::TxQueue>)>,
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
        let clock = TickClock::new(self.tsc, self.since_boot);
        Ok(Worker {
            pipeline: Pipeline::new(
                self.forwarder(at, clock.now())?,
                Arc::clone(&self.neighbors),
                outlets,
            ),
            inlets,
            taken_over,
            from_host: self.from_host.take(),
            slot,
            mailbox,
            clock,
            idle: Idle::new(self.settings.dataplane.poll),
            stop: Arc::clone(&self.stop),
            busy: Busy::default(),
        })
    }

    fn forwarder(&self, at: usize, now: Tick) -> anyhow::Result<Forwarder<'static>> {
        let settings = &self.settings;
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
            ports: self.identities.clone(),
            network: Arc::new(settings.network.clone()),
            timeouts: settings.timeouts,
            flows_max,
            snat_backends_max: settings.dataplane.snat_backends_max,
            hash_key: self.key,
            seed: self.key.0[0].wrapping_add(at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        };
        Ok(Forwarder::new(forwarder, region, Arc::clone(&self.tables), now)?)
    }
}

//! Start order of the box, and its end.
//!
//! Lock → EAL → mempool → ports → flow tables → first Generation → workers → host stack → admin
//! socket → "ready". Ends in the other direction, on SIGTERM or SIGINT.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use capsule::{
    DATA_ROOM_DEFAULT, Eal, EalSettings, HEADROOM, Memory, Mempool, MempoolSettings, Tsc, eal,
};
use spillway_control::settings::{DeviceSettings, LogLevel, MemorySettings, Settings};
use spillway_host::{Host, HostSettings, Moment};
use spillway_lb::hash::HashKey;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::admin;
use crate::control::{Builder, Control, Link};
use crate::desk::cluster::ClusterDesk;
use crate::desk::{Desk, Served};
use crate::fabric::{Crew, Fabric, HostEnds, Shared};
use crate::host_thread::{HostThread, Wiring};
use crate::metrics;
use crate::ports::{self, PortFacts, RunningPort};
use crate::publish::Publisher;

/// How long a start waits for the daemon before it to be gone: 3 s.
const LOCK_TRIES: u32 = 30;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

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
    let scrapes = match settings.metrics {
        Some(listen) => Some(runtime.block_on(metrics::bind(listen))?),
        None => None,
    };
    let eal = start_eal(&settings)?;
    let pool = Arc::new(Mempool::create(&eal, &pool_settings(&settings))?);
    let ports = ports::start(&eal, &settings, &pool, random()?)?;
    let link = match &settings.kubernetes {
        Some(kubernetes) => {
            let _inside = runtime.enter();
            let run = u64::from_ne_bytes(random()?);
            Some(Link::start(kubernetes.clone(), &settings.name, run)?)
        }
        None => None,
    };
    let running = Running::start(&eal, pool, ports, &Arc::new(settings), link)?;
    runtime.block_on(running.serve(listener, scrapes))
}

/// The kernel lets go of this lock however the process ends.
fn lock(state_dir: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(state_dir)
        .with_context(|| format!("state_dir: cannot make {}", state_dir.display()))?;
    let path = state_dir.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    // A killed daemon's last threads may take a moment to go.
    for _ in 0..LOCK_TRIES {
        if file.try_lock().is_ok() {
            return Ok(file);
        }
        std::thread::sleep(LOCK_PAUSE);
    }
    bail!("state_dir {}: another spillwayd runs from it", state_dir.display());
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
        // Names DPDK's files, also those on the machine's one hugetlbfs, where boxes that do not see
        // each other meet: a process id may be the same in two containers, and two boxes that
        // map a file by the same name share their memory.
        name: format!("spillway-{:016x}", u64::from_ne_bytes(random()?)),
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
    let mtu_max = settings.ports.iter().map(|port| port.mtu).max().unwrap_or(0);
    let data_room = data_room(mtu_max);
    MempoolSettings { data_room, ..MempoolSettings::new("packets", settings.dataplane.mbufs) }
}

/// Bytes of a buffer that holds the longest frame of an MTU; never less than drivers are used to.
/// The settings' check of `memory_mib` counts the same.
fn data_room(mtu: u16) -> u16 {
    /// Ethernet header, 802.1Q tag, frame check sequence.
    const L2_BYTES: u16 = 14 + 4 + 4;
    HEADROOM.saturating_add(mtu.saturating_add(L2_BYTES)).max(DATA_ROOM_DEFAULT)
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
    crew: Crew,
    desk: Arc<Desk>,
    control: Control,
    ports: Vec<capsule::Port<capsule::Running>>,
    name: String,
}

impl Running {
    fn start(
        eal: &Eal,
        pool: Arc<Mempool>,
        ports: Vec<RunningPort>,
        settings: &Arc<Settings>,
        link: Option<(Link, Arc<ClusterDesk>)>,
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
        let count = usize::from(ports::worker_count(settings));
        let mut builder = Builder::new(Arc::clone(settings), key);
        let (snapshot, tables) = builder.build(Moment::ZERO, None);
        let served = Served { snapshot, judge: Arc::clone(builder.judge()) };
        let tables = Arc::new(tables);
        let publisher = Publisher::new(count, Arc::clone(&tables));
        let shared = Shared {
            settings: Arc::clone(settings),
            identities: facts.iter().map(|port| port.identity).collect(),
            key,
            tables,
            neighbors: host.neighbors(),
            tsc: Tsc::new(eal),
            since_boot: since_boot(),
        };
        let (fabric, HostEnds { from_workers, to_worker }) = Fabric::new(eal, shared)?;
        let crew = fabric.launch(eal, queues, &publisher)?;
        let (turns, arrivals) = tokio::sync::mpsc::unbounded_channel();
        let wiring = Wiring { from_workers, to_worker, pool, turns, started };
        let host = HostThread::start(host, wiring).context("cannot start the host stack")?;
        let mailboxes = crew.mailboxes.clone();
        let (link, cluster) = link.unzip();
        let desk =
            Desk::new(Arc::clone(settings), started, facts, host, cluster, served, mailboxes);
        let desk = Arc::new(desk);
        Ok(Self {
            crew,
            control: Control::new(builder, publisher, Arc::clone(&desk), arrivals, link),
            desk,
            ports: open,
            name: settings.name.clone(),
        })
    }

    /// Serves until a signal, then stops the workers.
    async fn serve(
        mut self,
        listener: UnixListener,
        scrapes: Option<TcpListener>,
    ) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut served = JoinSet::new();
        served.spawn(admin::serve(listener, Arc::clone(&self.desk)));
        if let Some(listener) = scrapes {
            served.spawn(metrics::serve(listener, Arc::clone(&self.desk)));
        }
        tracing::info!(
            workers = self.crew.len(),
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
                    if let Some(dead) = self.crew.dead() {
                        break Err(anyhow::anyhow!("worker {dead} ended by itself"));
                    }
                }
            }
        };
        tracing::info!("stopping");
        served.shutdown().await;
        self.crew.stop()?;
        self.control.stop().await;
        let desk = Arc::into_inner(self.desk);
        if !desk.is_none_or(|desk| desk.host.stop()) {
            tracing::error!("the host stack had panicked");
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_holds_the_longest_tagged_frame_and_is_never_smaller_than_usual() {
        assert_eq!(data_room(1500), DATA_ROOM_DEFAULT);
        assert_eq!(data_room(9000), HEADROOM + 9022);
        assert_eq!(data_room(u16::MAX), u16::MAX);
    }
}

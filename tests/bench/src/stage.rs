//! DPDK as the bench needs it: one port that never rests, one worker lcore, and memory.

use std::path::PathBuf;
use std::sync::mpsc;
use std::{fs, process};

use anyhow::{Context, ensure};
use capsule::{
    Device, Eal, EalSettings, LogLevel, Memory, Mempool, MempoolSettings, Multi, NamedDevice, Port,
    PortSettings, Receiver, Ring, RingSettings, Running, RxQueue, Sender, Single, Tsc, TxQueue,
    eal,
};
use spillway_packet::MacAddr;

use crate::machine::Machine;
use crate::template::FRAME_BYTES;
use crate::testpmd;

/// The port's device for testpmd; ours is made of the same two values by capsule.
pub(crate) const DEVICE: &str = "net_null0,size=64,copy=1";
const PORT: &str = "null";
const MBUFS: u32 = 16_384;
const CACHE: u32 = 256;
const DESCRIPTORS: u16 = 1024;
const MEMORY_MIB: u32 = 128;
/// For both programs, which run at the same time.
const HUGEPAGES_MIB_MIN: u64 = 2 * MEMORY_MIB as u64 + 64;
/// Nothing should ever get there.
const HOST_RING: u32 = 1024;

/// The running environment.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) tsc: Tsc,
    pub(crate) machine: Machine,
    pub(crate) peer: testpmd::Settings,
    /// Where frames for the host stack go.
    pub(crate) host: Sender<Multi>,
    pub(crate) port_mac: MacAddr,
    pub(crate) eal: Eal,
    _from_workers: Receiver<Single>,
    _port: Port<Running>,
    _pool: Mempool,
}

/// Where packets live, and how testpmd is told the same.
fn memory() -> (Memory, &'static str, Vec<String>) {
    if eal::hugepages_free_mib() >= HUGEPAGES_MIB_MIN {
        let words = ["--in-memory".into(), format!("-m{MEMORY_MIB}")];
        return (Memory::Hugepages { mib: MEMORY_MIB }, "hugepages", words.into());
    }
    let words = ["--no-huge".into(), "--no-shconf".into(), format!("-m{MEMORY_MIB}")];
    (Memory::Ordinary { mib: MEMORY_MIB }, "ordinary", words.into())
}

/// The first and the last core that are online.
fn cores() -> anyhow::Result<(usize, usize)> {
    let online = fs::read_to_string("/sys/devices/system/cpu/online")?;
    let mut numbers = online.trim().split([',', '-']).map(str::parse::<usize>);
    let first = numbers.next().context("no core is online")??;
    Ok((first, numbers.next_back().transpose()?.unwrap_or(first)))
}

impl Stage {
    /// Starts DPDK and the port with as many queue pairs as wanted.
    pub(crate) fn start(pairs: u16) -> anyhow::Result<(Self, Vec<(RxQueue, TxQueue)>)> {
        let (main_core, worker_core) = cores()?;
        let (memory, memory_word, memory_words) = memory();
        let device = Device::Null { frame_bytes: u16::try_from(FRAME_BYTES)?, copy: true };
        let eal = Eal::init(&EalSettings {
            name: format!("sw-bench-{}", process::id()),
            main_core,
            worker_cores: vec![worker_core],
            memory,
            multi_process: false,
            devices: vec![NamedDevice::new(PORT, device)?],
            log_level: LogLevel::Warning,
        })?;
        let settings = MempoolSettings { cache: CACHE, ..MempoolSettings::new("packets", MBUFS) };
        let pool = Mempool::create(&eal, &settings)?;
        let wanted = PortSettings {
            rx_queues: pairs,
            tx_queues: pairs,
            rx_descriptors: DESCRIPTORS,
            tx_descriptors: DESCRIPTORS,
            ..PortSettings::default()
        };
        let mut port = Port::by_name(&eal, PORT)?.configure(&wanted)?.start(&pool)?;
        let queues = port.take_queues().context("the port has no queues")?;
        let queues: Vec<_> = queues.rx.into_iter().zip(queues.tx).collect();
        ensure!(queues.len() == usize::from(pairs), "the port has {} queues", queues.len());
        let ring = RingSettings { name: "to-host".into(), size: HOST_RING, numa: None };
        let (host, from_workers) = Ring::<Multi, Single>::create(&eal, &ring)?.split();
        let tsc = Tsc::new(&eal);
        let stage = Self {
            tsc,
            machine: Machine::look(tsc.hz(), eal.version(), memory_word),
            peer: testpmd::Settings {
                main_core,
                worker_core,
                memory: memory_words,
                device: DEVICE.into(),
                mbufs: MBUFS,
                cache: CACHE,
                burst: capsule::Burst::CAPACITY,
                descriptors: DESCRIPTORS,
            },
            host,
            port_mac: MacAddr(port.mac().0),
            eal,
            _from_workers: from_workers,
            _port: port,
            _pool: pool,
        };
        Ok((stage, queues))
    }

    /// Runs a job on the worker lcore and waits for its outcome.
    pub(crate) fn on_worker<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> anyhow::Result<T> {
        let (sender, receiver) = mpsc::channel();
        let send = move || drop(sender.send(job()));
        self.eal.launch(0, send)?.join()?;
        receiver.recv().context("the worker gave no answer")
    }
}

/// A directory of this process for flow tables; goes with the value.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new(parent: &std::path::Path) -> anyhow::Result<Self> {
        let path = parent.join(format!("sw-bench-{}", process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn join(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

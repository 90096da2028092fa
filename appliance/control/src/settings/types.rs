//! What a configuration says, once it is read: no string is left to interpret.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use spillway_cluster::{Access, Policy, Pool};
use spillway_lb::model::{Model, Network, Timeouts};

use super::device::DeviceSettings;

/// Everything the daemon needs to start. Built by [`super::load`] only, so every value has passed
/// its range check and every cross check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Name of this box in logs and metrics: `[A-Za-z0-9._-]`, 1..=63 characters.
    pub name: String,
    /// How much the daemon itself logs.
    pub log_level: LogLevel,
    pub dataplane: DataplaneSettings,
    /// Indexed by [`spillway_lb::ids::PortId`], as is [`Network::ports`]. At least one.
    pub ports: Vec<PortSettings>,
    pub network: Network,
    pub timeouts: Timeouts,
    /// Desired state in static mode; what the configuration adds to the cluster's otherwise.
    pub model: Model,
    /// `None`: static mode.
    pub kubernetes: Option<KubernetesSettings>,
    /// Where metrics are served over HTTP; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
    /// Unix socket of the admin API, at most 107 bytes (`sun_path` less its NUL).
    pub admin_socket: PathBuf,
    /// Holds the flow table's file. Meant for a tmpfs: the table is written all the time.
    pub state_dir: PathBuf,
    /// What is no mistake but should be known, each a line with its place.
    pub notes: Vec<String>,
}

/// The cluster that the box serves, and what the operator gives to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesSettings {
    pub access: Access,
    pub policy: Policy,
    /// In the order of the configuration. They overlap neither each other nor any address of the
    /// box, of its neighbours or of static services.
    pub pools: Vec<Pool>,
    /// Where the last good state of the cluster is kept; `None`: nowhere.
    pub cache: Option<PathBuf>,
    /// A watch that says nothing for so long is taken for dead, `100 ms..=1 h`.
    pub idle_timeout: Duration,
    /// How long a LIST that lost more than half of its objects is held back, `0..=1 h`.
    pub shrink_hold: Duration,
    /// Whether this box may write status and events, as the holder of the Lease.
    pub write_status: bool,
    pub lease_namespace: String,
    pub lease_name: String,
    /// Who holds the Lease; unique among the boxes of a cluster.
    pub identity: String,
}

/// Cores, memory and sizes of the data plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataplaneSettings {
    /// Core of everything that is not a worker.
    pub main_core: usize,
    /// One entry per worker, 1..=64 of them. A core is listed twice only if the operator said
    /// `oversubscribe = true`; it may also be the main core.
    pub worker_cores: Vec<usize>,
    pub poll: Poll,
    /// Flow records in total, per box, `1024..=64 Mi`. Not necessarily a power of two.
    pub flows_max: u32,
    /// Bitmaps of lent ports, one per (SNAT address, backend) in use, `1..=65536`.
    pub snat_backends_max: u32,
    pub memory: MemorySettings,
    /// Memory that DPDK may take, in MiB, `64..=1 Mi`.
    pub memory_mib: u32,
    /// Packet buffers in total, per box, `1024..=4 Mi`.
    pub mbufs: u32,
    pub steering: Steering,
    /// How much DPDK logs.
    pub log_level: LogLevel,
}

/// What a worker does when a burst is empty.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Poll {
    /// Asks again at once: lowest latency, a whole core.
    Busy,
    /// Backs off while idle.
    #[default]
    Adaptive,
}

/// Where DPDK's memory comes from.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum MemorySettings {
    /// Hugepages if enough are free, else ordinary pages.
    #[default]
    Auto,
    Hugepages,
    /// Ordinary pages (EAL's `--no-huge`).
    Ordinary,
}

/// How a reply reaches the worker that owns its flow.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Steering {
    /// Handed over between workers on a ring.
    #[default]
    Software,
    /// By RSS or a flow rule in the NIC; by ring where it errs.
    Nic,
}

/// Least severity that is logged.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        })
    }
}

/// One port of the box: its device and how the device is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSettings {
    /// `[A-Za-z0-9_-]`, 1..=32 characters, unique.
    pub name: String,
    pub device: DeviceSettings,
    /// Receive queues, `1..=64`; `None`: one per worker, or what the device has if that is less.
    pub rx_queues: Option<u16>,
    /// Largest IPv4 packet in bytes, `68..=9200`, without the Ethernet header and VLAN tag.
    pub mtu: u16,
    pub promiscuous: bool,
}

//! What a node's configuration says, once it is read.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use spillway_cluster::Access;
use spillway_cluster::node::NodePolicy;

use super::super::types::LogLevel;
use super::pattern::Pattern;

/// Everything the companion needs to start. Built by [`super::load`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSettings {
    /// How much the companion itself logs. Its name is [`NodePolicy::node`].
    pub log_level: LogLevel,
    /// Holds the status and the lock of the companion. Meant for a tmpfs.
    pub state_dir: PathBuf,
    /// `None`: static services only.
    pub kubernetes: Option<NodeKubernetes>,
    /// What is served: the static services are in here.
    pub policy: NodePolicy,
    pub node_ports: NodePortSettings,
    /// Prefixes of ClusterIPs, disjoint, at most four.
    pub service_prefixes: Vec<IpNet>,
    /// Whether addresses of these prefixes that no Service has are refused.
    pub refuse_unowned: bool,
    pub datapath: DatapathSettings,
    pub devices: DeviceRules,
    pub maps: MapSizes,
    /// Where `/healthz` and `/livez` are answered; every `healthCheckNodePort` is answered on the same address.
    /// `None`: none of them is.
    pub health: Option<SocketAddr>,
    /// Where metrics are served over HTTP; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
    /// What is no mistake but should be known, each a line with its place.
    pub notes: Vec<String>,
}

/// The cluster that the node is of. The companion writes nothing to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeKubernetes {
    pub access: Access,
    /// Where the last good state of the cluster is kept; `None`: nowhere.
    pub cache: Option<PathBuf>,
    /// A watch that says nothing for so long is taken for dead, `100 ms..=1 h`.
    pub idle_timeout: Duration,
    /// How long a LIST that lost more than half of its objects is held back, `0..=1 h`.
    pub shrink_hold: Duration,
}

/// `[node_ports]`. The range is [`NodePolicy::node_port_range`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePortSettings {
    /// Only the node's addresses within these serve NodePorts, as kube-proxy's `--nodeport-addresses`; empty: the
    /// InternalIPs of the Node object, or without one the addresses of the devices.
    pub addresses: Vec<IpNet>,
    /// Whether processes of the node are kept from binding a NodePort that is served.
    pub guard: bool,
}

/// `[datapath]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatapathSettings {
    /// Root of the cgroup v2 tree whose sockets are served.
    pub cgroup: PathBuf,
    /// Folder of a bpffs that everything is pinned below.
    pub pins: PathBuf,
    pub tc_attach: TcAttach,
    pub delivery: Delivery,
    /// Source ports of flows to backends on other nodes.
    pub snat_ports: RangeInclusive<u16>,
    /// Whether TCP connections to a backend that vanished are closed too; those of UDP always are.
    pub reap_tcp: bool,
}

/// How programs are attached to devices.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum TcAttach {
    /// TCX where the kernel has it, else clsact.
    #[default]
    Auto,
    /// Kernel 6.6 and later.
    Tcx,
    Clsact,
}

/// How a packet gets from the node's devices to a pod on this node.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// By the kind of the pod's device.
    #[default]
    Auto,
    /// Redirected to the pod's device, past the host's stack.
    Redirect,
    /// Through the host's stack.
    Pass,
}

/// `[devices]`: which device is what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceRules {
    /// Devices that packets from outside come in by; empty: those with a default route or an address of the node.
    pub netdevs: Vec<Pattern>,
    /// Host-side devices of pods; empty: by their kind.
    pub pods: Vec<Pattern>,
    /// Left alone, whatever the others say.
    pub exclude: Vec<Pattern>,
}

/// `[maps]`: rows that each map has room for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct MapSizes {
    pub frontends: u32,
    pub choices: u32,
    pub backends: u32,
    pub source_ranges: u32,
    pub clients: u32,
    pub devices: u32,
    pub affinity: u32,
    pub conntrack: u32,
    pub nat: u32,
    /// Of the ring of drops; a power of two.
    pub events_bytes: u32,
}

impl Default for MapSizes {
    /// As in `bpf/include/spillway/maps.h`.
    fn default() -> Self {
        Self {
            frontends: 65_536,
            choices: 262_144,
            backends: 65_536,
            source_ranges: 16_384,
            clients: 4_096,
            devices: 1_024,
            affinity: 65_536,
            conntrack: 131_072,
            nat: 131_072,
            events_bytes: 256 << 10,
        }
    }
}

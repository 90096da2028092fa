//! The devices of this node: which ones the world is behind, which ones pods are behind, and the node's addresses.
//!
//! ```text
//! rtnetlink ─ netlink (bytes) → Snapshot ─ classify (pure) → DeviceView ─ watch → datapath, maps
//! ```
//! | role | which | programs |
//! |---|---|---|
//! | netdev | named by the settings; else those of the default routes and of the node's InternalIPs | from-netdev, to-netdev |
//! | pod | named by the settings; else a veth or netkit whose other end is in another network namespace, and that is no netdev | from-container, to-container |
//!
//! | way to a pod | device that the kernel's route names |
//! |---|---|
//! | peer | such a veth itself |
//! | neighbor | a bridge that has pods' devices as ports; a pod's device of another kind, such as the tap of a VM |
//! | pass | ipvlan, macvlan: the pod's end is in another namespace and has no host end to redirect to |
//! | none | everything else: what is behind it is not a pod of this node |

pub(crate) mod netlink;

mod classify;
mod watch;

use std::net::IpAddr;

pub use classify::{Link, Snapshot, classify};
pub use spillway_control::settings::node::{DeviceRules, Pattern};
pub use watch::{Devices, DevicesError};

use crate::layout;

/// A device, by its number and by the name that it had when it was seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceRef {
    pub ifindex: u32,
    pub name: String,
}

/// What is behind a device.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The world.
    Netdev,
    /// A pod, or a bridge that it is the port of.
    Pod,
}

/// How a packet gets to the pod behind a device: `enum way` of the programs.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    Pass,
    Peer,
    Neighbor,
}

impl Way {
    /// Row of the map `devices`.
    pub fn row(self) -> layout::Device {
        let way = match self {
            Self::Pass => layout::WAY_PASS,
            Self::Peer => layout::WAY_PEER,
            Self::Neighbor => layout::WAY_NEIGHBOR,
        };
        layout::Device { way, pad: [0; 7] }
    }
}

/// What the kernel calls the kind of a device, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `lo`.
    Loopback,
    /// Without a kind: hardware, or what looks like it.
    Physical,
    /// Or netkit, which is the same for us.
    Veth,
    Bridge,
    Vxlan,
    IpVlan,
    MacVlan,
    /// By the kernel's name.
    Other(String),
}

/// What decides about roles and ways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// `[devices]` of the settings.
    pub devices: DeviceRules,
    /// The node's InternalIPs: what carries them is a netdev, unless the settings name those.
    pub node_addresses: Vec<IpAddr>,
}

/// A device and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    pub device: DeviceRef,
    pub kind: Kind,
    pub role: Option<Role>,
    /// `None`: no pod is delivered to by it.
    pub way: Option<Way>,
}

/// An address of this node.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeAddress {
    pub address: IpAddr,
    pub ifindex: u32,
    /// Of global scope: not for this link or this host only.
    pub is_global: bool,
}

/// The devices and addresses of this network namespace at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceView {
    /// In the order of their numbers.
    pub devices: Vec<Device>,
    /// In order.
    pub addresses: Vec<NodeAddress>,
}

impl DeviceView {
    /// The devices that programs belong on.
    pub fn roles(&self) -> impl Iterator<Item = (&DeviceRef, Role)> {
        self.devices.iter().filter_map(|device| Some((&device.device, device.role?)))
    }

    /// The rows of the map `devices`.
    pub fn rows(&self) -> impl Iterator<Item = (u32, layout::Device)> {
        self.devices.iter().filter_map(|device| Some((device.device.ifindex, device.way?.row())))
    }
}

//! Device behind a port, by driver.

use std::fmt;
use std::path::PathBuf;

/// Device of a port. Interfaces are names that the kernel takes: 1..=15 bytes, no `/`, no spaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceSettings {
    /// A NIC that is bound to vfio-pci or the like.
    Pci { address: PciAddress },
    /// A kernel interface over `AF_PACKET` (`net_af_packet`).
    AfPacket { interface: String },
    /// A kernel interface over `AF_XDP` (`net_af_xdp`).
    AfXdp {
        interface: String,
        /// Packets per busy poll of the socket, `0..=1024`; 0 turns busy polling off.
        busy_budget: u16,
    },
    /// A TAP interface that the driver creates (`net_tap`).
    Tap { interface: String },
    /// Shared memory with another DPDK process (`net_memif`).
    Memif { role: MemifRole, id: u32, socket: PathBuf },
    /// Packet captures (`net_pcap`).
    Pcap {
        rx: PathBuf,
        /// `None`: what is sent is thrown away.
        tx: Option<PathBuf>,
        /// Replays `rx` for ever.
        infinite_rx: bool,
    },
    /// A ring: what is sent comes back (`net_ring`).
    Ring,
    /// Endless equal frames in, nothing out (`net_null`).
    Null {
        /// Length of each frame, `60..=9216`.
        frame_bytes: u16,
        /// Copies each frame, as a real device would, instead of touching nothing.
        copy: bool,
    },
}

/// Which end of a memif creates the socket.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum MemifRole {
    Server,
    Client,
}

/// PCI address, written `0000:03:00.0`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PciAddress {
    pub domain: u16,
    pub bus: u8,
    /// `0..=31`.
    pub device: u8,
    /// `0..=7`.
    pub function: u8,
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { domain, bus, device, function } = self;
        write!(f, "{domain:04x}:{bus:02x}:{device:02x}.{function}")
    }
}

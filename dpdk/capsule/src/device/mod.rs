//! Devices as types: what DPDK wants as `--vdev` strings is built here, from checked values only.

mod probe;

use std::path::PathBuf;

use crate::name::{NameError, Rule};

pub(crate) use probe::Probe;

/// A network device that a port can be opened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// A PCI function bound to `vfio-pci` or `uio_pci_generic` (or a bifurcated driver).
    Pci {
        /// `0000:3b:00.1`, or without the domain: `3b:00.1`.
        address: String,
    },
    /// A kernel interface through `AF_PACKET` rings. The interface must be up.
    ///
    /// The port has the interface's MAC address. One frame takes a slot of 2,048 bytes,
    /// of which some 50 are the kernel's header: frames up to 1,500 bytes and VLAN tags fit. Longer
    /// ones (a jumbo MTU, or segments that the kernel has not cut yet: switch off TSO, GSO and GRO
    /// on the link) are truncated by the kernel. A received frame whose checksum the sending kernel
    /// has left to the hardware arrives with an unfinished one: switch off tx checksumming there.
    AfPacket {
        interface: String,
        /// Socket pairs in one fanout group: as many rx queues should be polled, for the kernel
        /// spreads flows over all of them.
        queues: u16,
    },
    /// A kernel interface through `AF_XDP` sockets, from its queue 0 on.
    ///
    /// Each queue keeps 2,048 mbufs in its fill ring. DPDK 22.11's driver does not give these back
    /// when the port closes, so the pool's memory stays until the process ends.
    AfXdp {
        interface: String,
        queues: u16,
        /// Packets per busy-poll call; `Some(0)` switches busy polling off, `None` is the
        /// driver's default (64).
        busy_budget: Option<u32>,
        /// Copy mode even where the interface could do without.
        force_copy: bool,
    },
    /// A kernel TAP interface that is created with this name and vanishes with the process.
    Tap { interface: String },
    /// Shared memory between two processes, each of which is an instance of its own. Needs
    /// `EalSettings::multi_process`; works in hugepages and in ordinary memory. What the other end
    /// has not received yet is lost when this end closes.
    Memif {
        role: MemifRole,
        /// The same on both ends.
        id: u32,
        /// Listened on by the server.
        socket: PathBuf,
        /// Descriptors are 2 to this power, 0 to 14.
        ring_size_log2: u8,
        /// The same on both ends, up to 24 characters.
        secret: Option<String>,
    },
    /// Files. `None` for rx receives nothing; `None` for tx discards.
    Pcap {
        rx: Option<PathBuf>,
        tx: Option<PathBuf>,
        /// Repeat the file for ever (it is read into memory once).
        infinite_rx: bool,
    },
    /// A loop: what is sent on queue N is received on queue N. Moves mbufs, copies nothing.
    Ring {},
    /// Receives frames without end, discards what is sent: for measuring.
    Null {
        /// Length of each received frame.
        frame_bytes: u16,
        /// Touch the bytes as a real driver would, instead of only handing out mbufs.
        copy: bool,
    },
}

/// Which end of a memif listens.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum MemifRole {
    Server,
    Client,
}

const PORT_NAME: Rule = Rule { what: "port", max: 64, extra: "-_." };

/// Why a device was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("PCI address {0:?}: expected domain:bus:device.function in hex, like 0000:3b:00.1")]
    PciAddress(String),
    #[error("path {0:?} is not UTF-8, which DPDK's argument lists need")]
    PathEncoding(PathBuf),
    #[error("interface {interface}: {queues} queues, possible are 1 to {max}")]
    Queues { interface: String, queues: u16, max: u16 },
    #[error("memif: ring size 2^{0}, possible are 2^0 to 2^14")]
    MemifRing(u8),
    #[error("pcap: neither a file to read nor one to write was given")]
    PcapEmpty,
    #[error("null: frames of {0} bytes, possible are 14 to 2048")]
    NullFrame(u16),
}

/// A device under the name by which [`crate::Port::by_name`] finds it. Checked when made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedDevice {
    name: String,
    device: Device,
}

impl NamedDevice {
    pub fn new(name: impl Into<String>, device: Device) -> Result<Self, DeviceError> {
        let named = Self { name: name.into(), device };
        PORT_NAME.check(&named.name)?;
        named.device.probe()?;
        Ok(named)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn device(&self) -> &Device {
        &self.device
    }
}

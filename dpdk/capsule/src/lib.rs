//! Safe DPDK: the environment, memory, packet buffers, ports and rings. Moves bytes, knows no packets.
//!
//! ```text
//! EalSettings ─Eal::init→ Eal ─┬─ Mempool ── Mbuf ── Burst
//!                              ├─ Port<Closed> → Port<Configured> → Port<Running> ─┬─ RxQueue, TxQueue
//!                              │                                                   └─ PortMonitor
//!                              ├─ Ring ── Sender, Receiver
//!                              └─ launch(worker, closure) → LcoreHandle
//! ```
//!
//! ```no_run
//! use capsule::*;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut settings = EalSettings::new("box1");
//! let device = Device::AfPacket { interface: "eth1".into(), queues: 1 };
//! settings.devices = vec![NamedDevice::new("uplink", device)?];
//! let eal = Eal::init(&settings)?;
//! let pool = Mempool::create(&eal, &MempoolSettings::new("packets", 8192))?;
//! let port = Port::by_name(&eal, "uplink")?.configure(&PortSettings::default())?;
//! let mut port = port.start(&pool)?;
//! let mut queues = port.take_queues().ok_or("taken already")?;
//! let worker = eal.launch(0, move || {
//!     let mut burst = Burst::new();
//!     loop {
//!         queues.rx[0].receive(&mut burst);
//!         queues.tx[0].send(&mut burst);
//!         burst.clear();
//!     }
//! })?;
//! worker.join()?;
//! # Ok(()) }
//! ```
//!
//! # Invariants
//! 1. **An [`Mbuf`] has one owner.** It is not `Clone`; dropping it gives the buffer back; sending
//!    moves it into the driver.
//! 2. **Nothing outlives its memory.** Pools, ports, queues and rings keep the environment alive by
//!    reference count. Mbufs do not (a count per packet would cost too much): instead no pool is
//!    freed, and no memory unmapped, unless every mbuf is provably back (see `eal::keeper`).
//! 3. **A queue has one user.** [`RxQueue`] and [`TxQueue`] are neither `Clone` nor `Sync`, each is
//!    handed out once, and a port closes only after its last queue is dropped.
//! 4. **The fast path neither allocates nor locks**: [`RxQueue::receive`], [`TxQueue::send`], the
//!    accessors of [`Mbuf`] and the methods of [`Burst`].
//! 5. **No DPDK syntax from outside.** Devices and settings are types; the argument strings that EAL
//!    wants are built here, from checked values.
//!
//! Must never depend on: `spillway-*` crates, any notion of a protocol, an async runtime.
#![allow(unsafe_code, reason = "this crate is the boundary to DPDK; each block carries its proof")]

mod burst;
mod checksum;
mod clock;
mod device;
pub mod eal;
mod errno;
mod mbuf;
mod mempool;
mod name;
mod port;
mod ring;

pub use burst::{Burst, Drain};
pub use checksum::{RxChecksum, TxChecksum, TxL4};
pub use clock::Tsc;
pub use device::{Device, DeviceError, MemifRole, NamedDevice};
pub use eal::{
    Eal, EalError, EalSettings, JoinError, LaunchError, LcoreHandle, LcoreId, LogLevel, Memory,
    Worker,
};
pub use errno::Errno;
pub use mbuf::Mbuf;
pub use mempool::{DATA_ROOM_DEFAULT, HEADROOM, Mempool, MempoolError, MempoolSettings};
pub use name::NameError;
pub use port::{
    Closed, Configured, Link, MacAddress, Port, PortError, PortFeatures, PortInfo, PortMonitor,
    PortSettings, PortStats, Queues, Running, RxQueue, TxQueue,
};
pub use ring::{Access, Multi, Receiver, Ring, RingError, RingSettings, Sender, Single};

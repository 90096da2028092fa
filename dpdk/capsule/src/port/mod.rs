//! Network ports, whose life is in their type: `Closed → Configured → Running`.

mod core;
mod info;
mod monitor;
mod queue;
mod settings;
mod setup;

use std::sync::Arc;

pub use self::info::{Link, MacAddress, PortFeatures, PortInfo, PortStats};
pub use self::monitor::PortMonitor;
pub use self::queue::{Queues, RxQueue, TxQueue};
pub use self::settings::PortSettings;

use self::core::PortCore;
use crate::eal::Eal;
use crate::errno::Errno;
use crate::mempool::Mempool;

/// Opened, not yet configured.
#[derive(Debug)]
pub struct Closed(());
/// Queues and offloads are settled.
#[derive(Debug)]
pub struct Configured(());
/// Packets flow.
#[derive(Debug)]
pub struct Running(());

/// Why an operation on a port failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PortError {
    #[error("port {name}: no device of this name was given to the environment")]
    Unknown { name: String },
    #[error("port {name}: the device is gone ({errno})")]
    Gone { name: String, errno: Errno },
    #[error("port {name} is open already")]
    Open { name: String },
    #[error("port {name}: {settings} of 0 makes no sense")]
    Zero { name: String, settings: &'static str },
    #[error(
        "port {name}: frames of MTU {mtu} need buffers of {wanted} bytes, mempool {pool} has {room}"
    )]
    Buffers { name: String, mtu: u16, wanted: u32, pool: String, room: u16 },
    #[error("port {name}: {attempt} failed: {errno}. DPDK's log says more")]
    Driver { name: String, attempt: String, errno: Errno },
}

/// A port in state `S`.
///
/// # Safety argument
/// One `Port` exists per device (claimed at the environment), the state's type allows only the calls
/// that DPDK allows in that state, and the device is stopped and closed by the drop of the last of
/// port, queues and monitors, when nobody can be polling it.
#[derive(Debug)]
pub struct Port<S> {
    core: Arc<PortCore>,
    queues: Option<Queues>,
    #[expect(dead_code, reason = "the state is in the type only")]
    state: S,
}

impl<S> Port<S> {
    /// The name that the environment's settings gave it.
    pub fn name(&self) -> &str {
        self.core.name()
    }

    /// DPDK's number of the port, as in [`crate::Mbuf::port`].
    pub fn id(&self) -> u16 {
        self.core.id()
    }

    /// What the driver says about the device.
    pub fn info(&self) -> &PortInfo {
        self.core.info()
    }

    pub fn mac(&self) -> MacAddress {
        self.core.mac()
    }
}

impl Port<Closed> {
    /// Opens the device that the environment's settings call `name`.
    pub fn by_name(eal: &Eal, name: &str) -> Result<Self, PortError> {
        let core = PortCore::open(eal.keeper(), name)?;
        Ok(Self { core: Arc::new(core), queues: None, state: Closed(()) })
    }

    /// Settles queues, descriptors, MTU and offloads: what the device cannot do is clamped or left
    /// out, and [`Port::features`] says what was got.
    pub fn configure(mut self, settings: &PortSettings) -> Result<Port<Configured>, PortError> {
        self.core_mut()?.configure(settings)?;
        Ok(Port { core: self.core, queues: None, state: Configured(()) })
    }

    /// The core before it is shared.
    fn core_mut(&mut self) -> Result<&mut PortCore, PortError> {
        exclusive(&mut self.core)
    }
}

/// Before the port runs nobody else has a handle, so this does not fail.
fn exclusive(core: &mut Arc<PortCore>) -> Result<&mut PortCore, PortError> {
    let name = core.name().to_owned();
    Arc::get_mut(core).ok_or(PortError::Open { name })
}

impl Port<Configured> {
    /// What the device was configured to do.
    pub fn features(&self) -> &PortFeatures {
        self.core.features()
    }

    /// Starts the device; received packets come from this pool.
    pub fn start(mut self, pool: &Mempool) -> Result<Port<Running>, PortError> {
        exclusive(&mut self.core)?.start(pool)?;
        let queues = Queues::of(&self.core);
        Ok(Port { core: self.core, queues: Some(queues), state: Running(()) })
    }
}

impl Port<Running> {
    /// What the device was configured to do.
    pub fn features(&self) -> &PortFeatures {
        self.core.features()
    }

    /// The queues, once; `None` from the second time on.
    pub fn take_queues(&mut self) -> Option<Queues> {
        self.queues.take()
    }

    /// A handle for another thread to watch the port with.
    pub fn monitor(&self) -> PortMonitor {
        PortMonitor::of(&self.core)
    }

    /// The link's state, without waiting for a negotiation.
    pub fn link(&self) -> Link {
        self.core.link()
    }

    /// The driver's counters since the start.
    pub fn stats(&self) -> PortStats {
        self.core.stats()
    }

    /// Whether frames to foreign MAC addresses are received.
    pub fn promiscuous(&self) -> bool {
        self.core.promiscuous()
    }

    pub fn set_promiscuous(&self, on: bool) -> Result<(), PortError> {
        self.core.set_promiscuous(on)
    }
}

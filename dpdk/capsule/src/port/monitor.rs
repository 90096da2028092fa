//! Watching a port from another thread.

use std::sync::Arc;

use super::core::PortCore;
use super::{Link, MacAddress, PortError, PortFeatures, PortInfo, PortStats};

/// Link, counters and promiscuity of a running port, for any thread, while workers poll.
///
/// Keeps the port from closing, as a queue does. Calls on one port go one at a time (drivers are
/// not made for concurrent control); the packet path takes no part in that.
#[derive(Clone, Debug)]
pub struct PortMonitor {
    core: Arc<PortCore>,
}

impl PortMonitor {
    pub(super) fn of(core: &Arc<PortCore>) -> Self {
        Self { core: Arc::clone(core) }
    }

    pub fn name(&self) -> &str {
        self.core.name()
    }

    /// DPDK's number of the port, as in [`crate::Mbuf::port`].
    pub fn id(&self) -> u16 {
        self.core.id()
    }

    pub fn info(&self) -> &PortInfo {
        self.core.info()
    }

    pub fn features(&self) -> &PortFeatures {
        self.core.features()
    }

    pub fn mac(&self) -> MacAddress {
        self.core.mac()
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

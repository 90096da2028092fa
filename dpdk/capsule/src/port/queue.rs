//! The packet path: receive and send bursts.

use std::fmt;
use std::sync::Arc;

use dpdk_sys as c;

use super::core::PortCore;
use crate::burst::Burst;

/// All queues of a port; each exists once.
#[derive(Debug)]
pub struct Queues {
    /// By queue number.
    pub rx: Vec<RxQueue>,
    /// By queue number.
    pub tx: Vec<TxQueue>,
}

impl Queues {
    /// To be called once per started port.
    pub(super) fn of(core: &Arc<PortCore>) -> Self {
        let features = core.features();
        let port = core.id();
        let rx = (0..features.rx_queues)
            .map(|queue| RxQueue { port, queue, core: Arc::clone(core) })
            .collect();
        let tx = (0..features.tx_queues)
            .map(|queue| TxQueue { port, queue, core: Arc::clone(core) })
            .collect();
        Self { rx, tx }
    }
}

/// One rx queue of a running port, for one thread at a time.
///
/// # Safety argument
/// DPDK wants at most one thread in a queue: the handle exists once, is not `Clone`, and receives
/// through `&mut self`. The port runs as long as the handle lives.
pub struct RxQueue {
    port: u16,
    queue: u16,
    core: Arc<PortCore>,
}

/// One tx queue of a running port, for one thread at a time. Safety: as for [`RxQueue`].
pub struct TxQueue {
    port: u16,
    queue: u16,
    core: Arc<PortCore>,
}

impl RxQueue {
    /// Appends received mbufs to the burst, as many as there are and fit; returns how many. Never
    /// waits. Give it an empty burst: some drivers receive nothing into less than 4 to 32 places.
    #[inline]
    pub fn receive(&mut self, burst: &mut Burst) -> usize {
        let (slots, room) = burst.spare();
        if room == 0 {
            return 0;
        }
        // SAFETY: the port runs, only this handle receives from the queue, and `slots` has place
        // for `room` pointers.
        let got = unsafe { c::rte_eth_rx_burst(self.port, self.queue, slots, room) };
        // SAFETY: the first `got` were written, and the driver has let go of them.
        unsafe { burst.grow(usize::from(got)) };
        usize::from(got)
    }

    /// Number of the port, as in [`crate::Mbuf::port`].
    #[inline]
    pub fn port(&self) -> u16 {
        self.port
    }

    #[inline]
    pub fn queue(&self) -> u16 {
        self.queue
    }
}

impl TxQueue {
    /// Sends from the burst's front, as many as the queue takes; returns how many. The rest stays
    /// in the burst, in order. Never waits, except that `AF_PACKET` waits for a slot of its ring.
    #[inline]
    pub fn send(&mut self, burst: &mut Burst) -> usize {
        let (slots, len) = burst.filled();
        if len == 0 {
            return 0;
        }
        // SAFETY: the port runs, only this handle sends to the queue, and `slots` holds `len` owned
        // mbufs.
        let sent = unsafe { c::rte_eth_tx_burst(self.port, self.queue, slots, len) };
        // SAFETY: the driver owns the first `sent` now, at most `len`.
        unsafe { burst.forget_front(usize::from(sent)) };
        usize::from(sent)
    }

    /// Number of the port, as in [`crate::Mbuf::port`].
    #[inline]
    pub fn port(&self) -> u16 {
        self.port
    }

    #[inline]
    pub fn queue(&self) -> u16 {
        self.queue
    }
}

impl fmt::Debug for RxQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RxQueue({}, queue {})", self.core.name(), self.queue)
    }
}

impl fmt::Debug for TxQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TxQueue({}, queue {})", self.core.name(), self.queue)
    }
}

//! Where bursts come from, and a burst of mbufs as the core's [`Batch`].

use capsule::{Burst, RxQueue};
use spillway_lb::batch::Batch;
use spillway_lb::ids::PortId;

/// A receive queue, and the box's number of its port.
#[derive(Debug)]
pub struct Inlet {
    port: PortId,
    queue: RxQueue,
}

impl Inlet {
    pub fn new(port: PortId, queue: RxQueue) -> Self {
        Self { port, queue }
    }

    /// Fills an empty burst with what has arrived; returns how many frames.
    #[inline]
    pub fn receive(&mut self, burst: &mut Burst) -> usize {
        let received = self.queue.receive(burst);
        // DPDK numbers ports as it finds them; from here on they have the box's numbers.
        let port = self.port.get();
        burst.iter_mut().for_each(|mbuf| mbuf.set_port(port));
        received
    }
}

/// Received mbufs. An mbuf's `port` field names the port it came in by.
#[derive(Debug)]
pub(crate) struct Received<'b>(pub(crate) &'b mut Burst);

impl Batch for Received<'_> {
    #[inline]
    fn len(&self) -> usize {
        self.0.len()
    }

    #[inline]
    fn port(&self, at: usize) -> PortId {
        self.0.get(at).map_or_else(PortId::default, |mbuf| PortId::new(mbuf.port()))
    }

    #[inline]
    fn frame(&self, at: usize) -> &[u8] {
        match self.0.get(at) {
            Some(mbuf) if mbuf.is_contiguous() => mbuf.data(),
            Some(_) | None => &[],
        }
    }

    #[inline]
    fn frame_mut(&mut self, at: usize) -> &mut [u8] {
        self.0.get_mut(at).map_or(&mut [], |mbuf| mbuf.data_mut())
    }

    fn replace(&mut self, at: usize, bytes: &[u8]) -> bool {
        self.0.get_mut(at).is_some_and(|mbuf| mbuf.copy_from(bytes))
    }
}

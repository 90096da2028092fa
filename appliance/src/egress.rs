//! The last step of a frame: its L2 header, then its port's transmit queue.

use capsule::Burst;
use capsule::Mbuf;
use capsule::TxQueue;
use spillway_lb::forward::PortIdentity;
use spillway_lb::ids::PortId;
use spillway_lb::verdict::{DropReason, Egress};
use spillway_packet::MacAddr;
use spillway_packet::ethernet::{self, ethertype};

/// Bytes of an 802.1Q tag.
const TAG_LEN: usize = ethernet::TAGGED_HEADER_LEN - ethernet::HEADER_LEN;

/// Gives an IPv4 frame the L2 header of the port that it leaves by: addresses, and the port's VLAN
/// tag instead of whatever it came with.
///
/// # Errors
/// [`DropReason::NoRoom`] when the buffer has no headroom for a tag.
#[inline]
pub(crate) fn dress(mbuf: &mut Mbuf, port: &PortIdentity, to: MacAddr) -> Result<(), DropReason> {
    let tagged = matches!(mbuf.data().get(12..14), Some([0x81, 0x00]));
    let resized = match (tagged, port.vlan.is_some()) {
        (true, true) | (false, false) => true,
        (false, true) => mbuf.push_front(TAG_LEN),
        (true, false) => mbuf.pull_front(TAG_LEN),
    };
    let written = ethernet::emit(mbuf.data_mut(), to, port.mac, port.vlan, ethertype::IPV4);
    if resized && written > 0 { Ok(()) } else { Err(DropReason::NoRoom) }
}

/// One worker's transmit side: a queue and a burst in the making for every port.
#[derive(Debug)]
pub(crate) struct Transmit {
    ports: Vec<PortQueue>,
    /// Since the last flush of all.
    flushed: Flushed,
}

#[derive(Debug)]
struct PortQueue {
    queue: TxQueue,
    burst: Burst,
}

/// What became of the frames of a flush.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flushed {
    pub(crate) sent: u64,
    /// Frames that a full transmit queue did not take.
    pub(crate) lost: u64,
}

impl Flushed {
    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.lost += other.lost;
    }
}

impl Transmit {
    /// `queues`: this worker's transmit queue of every port, in the order of [`PortId`].
    pub(crate) fn new(queues: Vec<TxQueue>) -> Self {
        let port = |queue| PortQueue { queue, burst: Burst::new() };
        Self { ports: queues.into_iter().map(port).collect(), flushed: Flushed::default() }
    }

    /// Adds a frame to its port's burst. A burst that is full leaves first.
    #[inline]
    pub(crate) fn push(&mut self, to: PortId, mbuf: Mbuf) {
        let Some(port) = self.ports.get_mut(to.index()) else {
            self.flushed.lost += 1;
            return;
        };
        if port.burst.is_full() {
            self.flushed.add(port.flush());
        }
        // There is room now: a flush leaves nothing behind.
        if port.burst.push(mbuf).is_err() {
            self.flushed.lost += 1;
        }
    }

    /// Frames that wait for the next flush.
    pub(crate) fn pending(&self, port: PortId) -> &[Mbuf] {
        self.ports.get(port.index()).map_or(&[], |port| port.burst.as_slice())
    }

    /// Sends what every port has. Returns what became of all frames since the last flush.
    #[inline]
    pub(crate) fn flush(&mut self) -> Flushed {
        for port in &mut self.ports {
            if !port.burst.is_empty() {
                self.flushed.add(port.flush());
            }
        }
        std::mem::take(&mut self.flushed)
    }
}

impl PortQueue {
    /// One more try for what the queue did not take at once; then the frames are lost, and counted.
    fn flush(&mut self) -> Flushed {
        let mut sent = self.queue.send(&mut self.burst);
        if !self.burst.is_empty() {
            sent += self.queue.send(&mut self.burst);
        }
        let lost = self.burst.len();
        self.burst.clear();
        Flushed { sent: sent as u64, lost: lost as u64 }
    }
}

/// Where a frame goes whose neighbour is not known: the host stack asks, and sends it on.
///
/// Carried in the mbuf's tag through the ring to the host stack.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum ForHost {
    /// A frame for the box itself, from the port in the mbuf.
    Local,
    /// A frame to be sent by the port in the mbuf once `next_hop` has answered.
    Resolve(Egress),
}

const RESOLVE: u64 = 1 << 63;

impl ForHost {
    pub(crate) fn mark(self, mbuf: &mut Mbuf) {
        match self {
            Self::Local => mbuf.set_tag(0),
            Self::Resolve(egress) => {
                mbuf.set_port(egress.port.get());
                mbuf.set_tag(RESOLVE | u64::from(egress.next_hop.to_bits()));
            }
        }
    }

    pub(crate) fn read(mbuf: &Mbuf) -> Self {
        let tag = mbuf.tag();
        if tag & RESOLVE == 0 {
            return Self::Local;
        }
        #[expect(clippy::cast_possible_truncation, reason = "the low half is the address")]
        let next_hop = std::net::Ipv4Addr::from_bits(tag as u32);
        Self::Resolve(Egress { port: PortId::new(mbuf.port()), next_hop })
    }
}

//! What a frame led to, and what a test expects of it.

use std::net::SocketAddrV4;

use spillway_lb::ids::WorkerId;
use spillway_lb::verdict::DropReason;
use spillway_packet::build::Builder;
use spillway_packet::tcp::{Tcp, TcpFlags};
use spillway_packet::{icmp, ipv4};

use super::*;

/// The fate of one frame, and the world after it.
#[derive(Debug)]
pub(crate) struct Outcome<'w> {
    world: &'w mut World,
    pub(crate) handled: Handled,
    before: Tally,
}

/// A refusal, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RefusalFrame {
    Reset {
        from: SocketAddrV4,
        to: SocketAddrV4,
        seq: u32,
        ack: u32,
        flags: TcpFlags,
    },
    /// Port unreachable from an address, and the quoted packet.
    PortUnreachable {
        from: Ipv4Addr,
        to: Ipv4Addr,
        quote: Vec<u8>,
    },
}

impl<'w> Outcome<'w> {
    pub(super) fn new(world: &'w mut World, handled: Handled, before: Tally) -> Self {
        Self { world, handled, before }
    }

    /// The frame that left as an answer or a translation.
    pub(crate) fn sent(&self) -> &[u8] {
        match &self.handled.fate {
            Fate::Sent(_, frame) => frame,
            other @ (Fate::Refused(..) | Fate::Dropped(_) | Fate::Local) => {
                panic!("nothing was forwarded: {other:?}")
            }
        }
    }

    /// Who it was sent from and to.
    pub(crate) fn sent_from_to(&self) -> (SocketAddrV4, SocketAddrV4) {
        from_to(tuple_of(self.sent()))
    }

    /// The frame left exactly like this one after one hop: TTL 63, L2 header of the way out.
    #[track_caller]
    pub(crate) fn expect_egress(self, like: Builder) -> Self {
        let (Fate::Sent(egress, frame), world) = (&self.handled.fate, &self.world) else {
            panic!("nothing was forwarded: {:?}", self.handled.fate)
        };
        let identity = world.workers[0].settings().ports[egress.port.index()];
        let like = like.ttl(63).macs(identity.mac, mac_of(egress.next_hop)).vlan(identity.vlan);
        assert_eq!(hex_words(frame), hex_words(&like.finish()));
        self
    }

    /// The frame left, byte by byte.
    #[track_caller]
    pub(crate) fn expect_bytes(self, hexadecimal: &str) -> Self {
        assert_eq!(hex_words(self.sent()), hex_words(&hex(hexadecimal)));
        self
    }

    #[track_caller]
    pub(crate) fn expect_drop(self, reason: DropReason) -> Self {
        assert_eq!(self.handled.fate, Fate::Dropped(reason));
        self
    }

    #[track_caller]
    pub(crate) fn expect_local(self) -> Self {
        assert_eq!(self.handled.fate, Fate::Local);
        self
    }

    /// Dropped for this reason, and the sender was told.
    #[track_caller]
    pub(crate) fn expect_refusal(self, reason: DropReason) -> Self {
        let Fate::Refused(why, ..) = &self.handled.fate else {
            panic!("nobody was told: {:?}", self.handled.fate)
        };
        assert_eq!(*why, reason);
        self
    }

    #[track_caller]
    pub(crate) fn refusal(&self) -> RefusalFrame {
        let Fate::Refused(_, _, frame) = &self.handled.fate else {
            panic!("nobody was told: {:?}", self.handled.fate)
        };
        let l3 = &frame[l3_of(frame)..];
        let packet = ipv4::parse(l3).unwrap();
        assert_eq!(packet.ttl, 64);
        let payload = packet.payload(l3);
        if packet.protocol == ipv4::protocol::TCP {
            let (from, to) = from_to(tuple_of(frame));
            let tcp = Tcp::parse(payload).unwrap();
            return RefusalFrame::Reset {
                from,
                to,
                seq: tcp.seq(),
                ack: tcp.ack(),
                flags: tcp.flags(),
            };
        }
        assert_eq!((packet.protocol, &payload[..2]), (ipv4::protocol::ICMP, &[3, 3][..]));
        let quote = payload[icmp::HEADER_LEN..].to_vec();
        RefusalFrame::PortUnreachable { from: packet.src, to: packet.dst, quote }
    }

    /// Exactly these counters changed, by so much.
    #[track_caller]
    pub(crate) fn expect_counters(self, changes: &[(&'static str, u64)]) -> Self {
        let changed = self.world.tally().since(&self.before);
        assert_eq!(changed, changes.iter().copied().collect());
        self
    }

    /// The worker that decided, and whether the frame had to be handed over to it.
    #[track_caller]
    pub(crate) fn expect_decided_by(self, worker: u16, handed_over: bool) -> Self {
        assert_eq!(
            (self.handled.by, self.handled.handed_over),
            (WorkerId::new(worker), handed_over)
        );
        self
    }
}

/// Sixteen bytes a line, for a difference that can be read.
fn hex_words(frame: &[u8]) -> Vec<String> {
    frame.chunks(16).map(|line| format!("{line:02x?}")).collect()
}

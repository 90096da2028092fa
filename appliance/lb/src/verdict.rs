//! The one outcome of every packet, and the one reason of every drop.

use std::net::Ipv4Addr;

use spillway_packet::flow::Malformed;

use crate::ids::{PortId, WorkerId};

/// Where a frame leaves: the port and the neighbour it is handed to.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Egress {
    pub port: PortId,
    /// On-link address whose MAC the frame gets: the destination itself, or the gateway.
    pub next_hop: Ipv4Addr,
}

/// What becomes of a frame. Every frame gets exactly one from the worker that owns it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// The frame, rewritten in place, leaves.
    Transmit(Egress),
    /// The frame is for the box itself: ARP, or the answer to a health check.
    Local,
    /// Another worker owns the flow; its verdict counts, not this one's.
    HandOver(WorkerId),
    /// The packet is dropped, and the frame now holds our refusal (RST or ICMP), which leaves.
    Refuse(DropReason, Egress),
    Drop(DropReason),
}

macro_rules! drop_reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $text:literal;)+) => {
        /// Why a packet was dropped. Numbers are stable: shared by metrics, command line, docs and
        /// the BPF programs; a retired number is never reused.
        #[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum DropReason {
            $($(#[doc = $doc])+ $name = $number,)+
        }

        impl DropReason {
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Name in metrics and on the command line.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// One sentence for an operator.
            pub const fn description(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

drop_reasons! {
    /// The frame ends before its headers do.
    Truncated = 1, "truncated";
    /// The EtherType is none that the box serves.
    UnknownEthertype = 2, "unknown-ethertype";
    /// IPv6 is not served yet.
    Ipv6 = 3, "ipv6";
    /// The 802.1Q tag is not the port's.
    VlanMismatch = 4, "vlan-mismatch";
    /// The destination MAC is not the port's.
    NotOurMac = 5, "not-our-mac";
    /// The IP version is not 4.
    BadIpVersion = 6, "bad-ip-version";
    /// The IP header length is below 20 bytes or beyond the packet.
    BadIpHeaderLength = 7, "bad-ip-header-length";
    /// The IP total length is shorter than its header or longer than the frame.
    BadIpTotalLength = 8, "bad-ip-total-length";
    /// The IP header checksum is wrong.
    BadIpChecksum = 9, "bad-ip-checksum";
    /// The time to live ran out.
    TtlExpired = 10, "ttl-expired";
    /// IP options are present.
    IpOptions = 11, "ip-options";
    /// The packet is a fragment.
    Fragment = 12, "fragment";
    /// The transport protocol is none that the box serves.
    UnknownProtocol = 13, "unknown-protocol";
    /// The TCP header is shorter than 20 bytes or longer than the packet.
    BadTcpHeader = 14, "bad-tcp-header";
    /// The TCP flags contradict each other.
    BadTcpFlags = 15, "bad-tcp-flags";
    /// The UDP length is below 8 or beyond the packet.
    BadUdpLength = 16, "bad-udp-length";
    /// A port number is zero.
    ZeroPort = 17, "zero-port";
    /// The ICMP message is cut short.
    BadIcmp = 18, "bad-icmp";
    /// The ICMP message is not an echo request.
    IcmpNotServed = 19, "icmp-not-served";
    /// The ARP message is malformed.
    BadArp = 20, "bad-arp";
    /// The source can be nobody's: loopback, multicast, broadcast, zero, or equal to the destination.
    BogonSource = 21, "bogon-source";
    /// The source is one of the box's own addresses.
    OwnSource = 22, "own-source";
    /// The destination is not an address of the box; nothing is routed.
    NotOurs = 23, "not-ours";
    /// No frontend has this port of this address.
    UnlistedPort = 24, "unlisted-port";
    /// A packet to a SNAT port that is lent to no flow of this backend.
    NoFlow = 25, "no-flow";
    /// A TCP packet of no known flow that does not open one.
    NotSyn = 26, "not-syn";
    /// No backend of the Service takes new flows.
    NoBackend = 27, "no-backend";
    /// Every SNAT port towards this backend is lent.
    SnatPortsExhausted = 28, "snat-ports-exhausted";
    /// More backends have flows at once than `snat_backends_max` allows.
    SnatBackendsFull = 29, "snat-backends-full";
    /// The flow table holds `flows_max` flows.
    ConntrackFull = 30, "conntrack-full";
    /// The flow table has no free place within the probe limit.
    ConntrackCrowded = 31, "conntrack-crowded";
    /// Neither on a port's link nor behind a gateway.
    NoRoute = 32, "no-route";
    /// The next hop does not answer ARP, or too many frames wait for it.
    NeighborUnresolved = 33, "neighbor-unresolved";
    /// The owner's hand-over ring is full.
    HandOverFull = 34, "hand-over-full";
    /// The ring to the host stack is full.
    LocalFull = 35, "local-full";
    /// The port's transmit queue is full.
    TransmitFull = 36, "transmit-full";
    /// The buffer has no room for a VLAN tag or an answer.
    NoRoom = 37, "no-room";
    /// The frame spans several buffers.
    NotContiguous = 38, "not-contiguous";
    /// More than one VLAN tag.
    DoubleTag = 39, "double-tag";
    /// The source MAC is a group address or zero.
    BadSourceMac = 40, "bad-source-mac";
    /// The reserved IP flag is set.
    BadIpFlags = 41, "bad-ip-flags";
    /// An impossible fragment: empty, torn or beyond 65,535 bytes.
    BadFragment = 42, "bad-fragment";
    /// A health check's answer that no outstanding check asked for, or a frame the host stack refused.
    HostRefused = 43, "host-refused";
    /// The client is outside the source ranges of the Service.
    SourceRange = 44, "source-range";
    /// The kernel could not rewrite the packet on a node: no memory, as a rule.
    RewriteFailed = 45, "rewrite-failed";
    /// On a node: the same client and port has a living flow to the same backend by another frontend.
    FlowCollision = 46, "flow-collision";
    /// The backend is on another node, and this one has no address of that family to send from.
    NoSnatAddress = 47, "no-snat-address";
    /// The packet is larger than the device towards its destination takes.
    PacketTooBig = 48, "packet-too-big";
}

impl DropReason {
    /// Size of an array indexed by number.
    pub const COUNT: usize = 49;

    pub const fn index(self) -> usize {
        self as usize
    }
}

impl From<Malformed> for DropReason {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::Truncated => Self::Truncated,
            Malformed::BadVlan => Self::VlanMismatch,
            Malformed::DoubleTag => Self::DoubleTag,
            Malformed::BadSourceMac => Self::BadSourceMac,
            Malformed::BadIpVersion => Self::BadIpVersion,
            Malformed::BadIpHeaderLength => Self::BadIpHeaderLength,
            Malformed::BadIpTotalLength => Self::BadIpTotalLength,
            Malformed::BadIpChecksum => Self::BadIpChecksum,
            Malformed::BadIpFlags => Self::BadIpFlags,
            Malformed::BadFragment => Self::BadFragment,
            Malformed::TtlZero => Self::TtlExpired,
            Malformed::BadTcpHeader => Self::BadTcpHeader,
            Malformed::BadTcpFlags => Self::BadTcpFlags,
            Malformed::BadUdpLength => Self::BadUdpLength,
            Malformed::ZeroPort => Self::ZeroPort,
            Malformed::IcmpTruncated => Self::BadIcmp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_names_unique() {
        let mut names = std::collections::HashSet::new();
        for (at, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), at + 1);
            assert!(names.insert(reason.name()), "{} twice", reason.name());
            assert!(reason.description().ends_with('.'));
        }
        assert_eq!(DropReason::COUNT, DropReason::ALL.len() + 1);
    }
}

//! ICMP errors in answer to a packet.

use core::net::Ipv4Addr;

use crate::MacAddr;
use crate::addr;
use crate::checksum;
use crate::icmp::{HEADER_LEN, icmp_type, is_error};
use crate::ipv4::{self, Ipv4Packet, Ipv4Repr, protocol};

/// Bytes of the original's payload that are quoted (RFC 792).
const QUOTED_PAYLOAD_LEN: usize = 8;

/// Length of the longest error in bytes: headers, and a quoted header with all its options.
pub const ERROR_LEN_MAX: usize =
    ipv4::HEADER_LEN + HEADER_LEN + ipv4::HEADER_LEN_MAX + QUOTED_PAYLOAD_LEN;

/// What went wrong.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    NetUnreachable,
    HostUnreachable,
    ProtocolUnreachable,
    PortUnreachable,
    /// DF was set and the next link takes `mtu` bytes (RFC 1191, 4).
    FragmentationNeeded {
        mtu: u16,
    },
    /// RFC 1812, 5.2.7.1.
    AdministrativelyProhibited,
    /// The TTL ran out on the way.
    TimeExceeded,
}

impl ErrorKind {
    /// Type, code, and the last two bytes of the header's second word.
    const fn wire(self) -> (u8, u8, u16) {
        match self {
            Self::NetUnreachable => (icmp_type::UNREACHABLE, 0, 0),
            Self::HostUnreachable => (icmp_type::UNREACHABLE, 1, 0),
            Self::ProtocolUnreachable => (icmp_type::UNREACHABLE, 2, 0),
            Self::PortUnreachable => (icmp_type::UNREACHABLE, 3, 0),
            Self::FragmentationNeeded { mtu } => (icmp_type::UNREACHABLE, 4, mtu),
            Self::AdministrativelyProhibited => (icmp_type::UNREACHABLE, 13, 0),
            Self::TimeExceeded => (icmp_type::TIME_EXCEEDED, 0, 0),
        }
    }
}

/// Whether a packet may be answered with an error at all (RFC 1122, 3.2.2; RFC 1812, 4.3.2.7): never a
/// frame to many, an ICMP error, a fragment other than the first, or a packet to or from an address that
/// names no single host. Directed broadcasts are the caller's to know.
pub fn may_answer_with_error(original_l3: &[u8], l2_dst: MacAddr) -> bool {
    !l2_dst.is_multicast()
        && ipv4::parse(original_l3).is_ok_and(|packet| is_answerable(&packet, original_l3))
}

fn is_answerable(packet: &Ipv4Packet, l3: &[u8]) -> bool {
    // An ICMP message too short to tell its type is not answered either.
    let to_error = packet.protocol == protocol::ICMP
        && packet.payload(l3).first().is_none_or(|icmp_type| is_error(*icmp_type));
    packet.fragment_offset == 0
        && !to_error
        && !addr::is_bogon_source(packet.src)
        && addr::is_unicast_destination(packet.dst)
}

/// Writes the IPv4 packet with the error `kind` from `from` about the packet in `original_l3`,
/// quoting its header and 8 bytes, and returns its length.
///
/// `None`, and nothing written, when [`may_answer_with_error`] forbids it.
pub fn error(
    kind: ErrorKind,
    original_l3: &[u8],
    from: Ipv4Addr,
    out: &mut [u8; ERROR_LEN_MAX],
) -> Option<usize> {
    let packet = ipv4::parse(original_l3).ok()?;
    if !is_answerable(&packet, original_l3) {
        return None;
    }
    let quoted_end = usize::from(packet.header_len) + QUOTED_PAYLOAD_LEN;
    let quote = original_l3.get(..quoted_end.min(usize::from(packet.total_len)))?;
    let message_len = HEADER_LEN + quote.len();
    let (icmp_type, code, extra) = kind.wire();
    let [e0, e1] = extra.to_be_bytes();

    let (l3, message) = out.split_at_mut_checked(ipv4::HEADER_LEN)?;
    let message = message.get_mut(..message_len)?;
    let (header, body) = message.split_first_chunk_mut::<HEADER_LEN>()?;
    body.copy_from_slice(quote);
    *header = [icmp_type, code, 0, 0, 0, 0, e0, e1];
    let [c0, c1] = checksum::Sum::ZERO.bytes(header).bytes(body).finish().to_be_bytes();
    *header = [icmp_type, code, c0, c1, 0, 0, e0, e1];
    let payload_len = u16::try_from(message_len).ok()?;
    l3.copy_from_slice(&Ipv4Repr::own(from, packet.src, protocol::ICMP, payload_len).emit());
    Some(ipv4::HEADER_LEN + message_len)
}

/// [`error`] with [`ErrorKind::PortUnreachable`]: the refusal of a UDP frontend.
pub fn port_unreachable(
    original_l3: &[u8],
    from: Ipv4Addr,
    out: &mut [u8; ERROR_LEN_MAX],
) -> Option<usize> {
    error(ErrorKind::PortUnreachable, original_l3, from, out)
}

/// [`error`] with [`ErrorKind::TimeExceeded`].
pub fn time_exceeded(
    original_l3: &[u8],
    from: Ipv4Addr,
    out: &mut [u8; ERROR_LEN_MAX],
) -> Option<usize> {
    error(ErrorKind::TimeExceeded, original_l3, from, out)
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build;
    use crate::testing::{CLIENT, FRONTEND, hex, host, sealed, with};
    use core::net::SocketAddrV4;
    use proptest::prelude::*;

    const STATION: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

    fn udp() -> Vec<u8> {
        build::udp(SocketAddrV4::new(CLIENT, 5353), SocketAddrV4::new(FRONTEND, 53))
            .payload(b"abc")
            .finish()
    }

    fn icmp(icmp_type: u8) -> Vec<u8> {
        with(&build::icmp_echo(CLIENT, FRONTEND, 1, 1).finish(), &[(34, icmp_type)])
    }

    #[test]
    fn a_golden_datagram_gets_the_golden_port_unreachable() {
        let mut out = [0xaa; ERROR_LEN_MAX];
        assert_eq!(port_unreachable(&udp()[14..], FRONTEND, &mut out), Some(56));
        let golden = "45000038 00004000 40017e2a ac1a3265 ac1a3201 03037e17 00000000
                      4500001f 00004000 40117e33 ac1a3201 ac1a3265 14e90035 000b69bc";
        assert_eq!(out[..56], hex(golden));
    }

    #[test]
    fn each_kind_has_its_type_code_and_mtu() {
        for (kind, expected) in [
            (ErrorKind::NetUnreachable, [3, 0, 0, 0]),
            (ErrorKind::HostUnreachable, [3, 1, 0, 0]),
            (ErrorKind::ProtocolUnreachable, [3, 2, 0, 0]),
            (ErrorKind::PortUnreachable, [3, 3, 0, 0]),
            (ErrorKind::FragmentationNeeded { mtu: 1480 }, [3, 4, 5, 200]),
            (ErrorKind::AdministrativelyProhibited, [3, 13, 0, 0]),
            (ErrorKind::TimeExceeded, [11, 0, 0, 0]),
        ] {
            let mut out = [0; ERROR_LEN_MAX];
            let len = error(kind, &udp()[14..], FRONTEND, &mut out).unwrap();
            assert_eq!([out[20], out[21], out[26], out[27]], expected, "{kind:?}");
            assert_eq!(checksum::full(&out[20..len]), 0, "{kind:?}");
        }
    }

    #[test]
    fn what_must_not_be_answered_is_not() {
        let udp = udp();
        let mut cases = vec![
            ("a later fragment", sealed(&with(&udp, &[(21, 1)]))),
            ("a source of zero", sealed(&with(&udp, &[(26, 0)]))),
            ("a source of loopback", sealed(&with(&udp, &[(26, 127)]))),
            ("a source of multicast", sealed(&with(&udp, &[(26, 225)]))),
            ("a source of broadcast", sealed(&with(&udp, &[(26, 255)]))),
            ("a destination of multicast", sealed(&with(&udp, &[(30, 224)]))),
            ("a destination of broadcast", sealed(&with(&udp, &[(30, 255)]))),
            ("a wrong header checksum", with(&udp, &[(24, 0)])),
            ("a cut frame", udp[..40].to_vec()),
            ("ICMP without a type", sealed(&with(&icmp(8), &[(17, 20)]))),
        ];
        for icmp_type in [3, 4, 5, 11, 12] {
            cases.push(("an ICMP error", icmp(icmp_type)));
        }
        for (what, frame) in cases {
            let l3 = &frame[14..];
            let mut out = [0xaa; ERROR_LEN_MAX];
            assert!(!may_answer_with_error(l3, STATION), "{what}");
            assert_eq!(port_unreachable(l3, FRONTEND, &mut out), None, "{what}");
            assert_eq!(time_exceeded(l3, FRONTEND, &mut out), None, "{what}");
            assert_eq!(out, [0xaa; ERROR_LEN_MAX], "nothing is written for {what}");
        }
    }

    #[test]
    fn a_frame_to_many_is_not_answered() {
        let frame = udp();
        assert!(may_answer_with_error(&frame[14..], STATION));
        assert!(!may_answer_with_error(&frame[14..], MacAddr::BROADCAST));
        assert!(!may_answer_with_error(&frame[14..], MacAddr([1, 0, 0x5e, 0, 0, 1])));
    }

    #[test]
    fn questions_and_first_fragments_are_answered() {
        for frame in [icmp(8), icmp(13), sealed(&with(&udp(), &[(20, 0x20), (17, 28)]))] {
            assert!(may_answer_with_error(&frame[14..], STATION), "{frame:02x?}");
        }
    }

    #[test]
    fn an_error_is_not_answered_with_an_error() {
        let mut out = [0; ERROR_LEN_MAX];
        let len = time_exceeded(&udp()[14..], FRONTEND, &mut out).unwrap();
        assert!(!may_answer_with_error(&out[..len], STATION));
    }

    #[test]
    fn the_quote_holds_options_and_eight_bytes_and_no_padding() {
        let long = build::udp(SocketAddrV4::new(CLIENT, 5353), SocketAddrV4::new(FRONTEND, 53))
            .payload(&[7; 100])
            .finish();
        let options = sealed(&with(&long, &[(14, 0x4f)]));
        let mut out = [0; ERROR_LEN_MAX];
        assert_eq!(port_unreachable(&options[14..], FRONTEND, &mut out), Some(ERROR_LEN_MAX));
        assert_eq!(out[28..], options[14..82]);
        let mut empty = sealed(&with(&udp(), &[(17, 24)]));
        empty.resize(60, 0x55);
        assert_eq!(port_unreachable(&empty[14..], FRONTEND, &mut out), Some(52));
        assert_eq!(out[28..52], empty[14..38]);
    }

    proptest! {
        #[test]
        fn both_checksums_of_every_error_verify(
            src in host(), dst in host(), from in host(), mtu: u16, payload: Vec<u8>, ttl in 1u8..
        ) {
            let frame = build::udp(SocketAddrV4::new(src, 1), SocketAddrV4::new(dst, 2))
                .payload(&payload).ttl(ttl).finish();
            let mut out = [0; ERROR_LEN_MAX];
            let kind = ErrorKind::FragmentationNeeded { mtu };
            let len = error(kind, &frame[14..], from, &mut out).unwrap();
            let packet = ipv4::parse(&out[..len]).unwrap();
            prop_assert_eq!((packet.src, packet.dst, packet.protocol), (from, src, protocol::ICMP));
            prop_assert_eq!(usize::from(packet.total_len), len);
            prop_assert_eq!(checksum::full(packet.payload(&out)), 0);
        }
    }
}

//! What a router or a backend says of a SYN of ours by ICMP (RFC 792; RFC 5927 on whom to believe).

use std::net::{Ipv4Addr, SocketAddrV4};

use spillway_control::health::ProbeError;
use spillway_packet::checksum;
use spillway_packet::icmp::{HEADER_LEN, icmp_type};
use spillway_packet::ipv4::protocol;

/// A quoted TCP segment and what became of it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreachable {
    /// Who had sent the segment.
    pub(crate) local: SocketAddrV4,
    /// To whom.
    pub(crate) remote: SocketAddrV4,
    /// Its sequence number: only who saw the segment knows it.
    pub(crate) sequence: u32,
    pub(crate) error: ProbeError,
}

/// Reads an ICMP message; `None` unless it says that a TCP segment could not be delivered.
pub(crate) fn unreachable(message: &[u8]) -> Option<Unreachable> {
    let (header, quoted) = message.split_first_chunk::<HEADER_LEN>()?;
    let [kind, code, ..] = *header;
    if kind != icmp_type::UNREACHABLE || checksum::full(message) != 0 {
        return None;
    }
    let error = match code {
        // Protocol and port unreachable: the host itself says no. This is what REJECT sends.
        2 | 3 => ProbeError::Refused,
        // Too long to be sent on: not our SYN's fate.
        4 => return None,
        _ => ProbeError::Unreachable,
    };
    // The quoted packet is cut short (RFC 792: 8 bytes of payload), so that no parser takes it.
    let &[first, _, _, _, _, _, _, _, _, proto, _, _, s0, s1, s2, s3, d0, d1, d2, d3] =
        quoted.first_chunk()?;
    if first >> 4 != 4 || proto != protocol::TCP {
        return None;
    }
    let segment = quoted.get(usize::from(first & 0x0f) * 4..)?;
    let &[p0, p1, q0, q1, n0, n1, n2, n3] = segment.first_chunk()?;
    let local = Ipv4Addr::new(s0, s1, s2, s3);
    let remote = Ipv4Addr::new(d0, d1, d2, d3);
    Some(Unreachable {
        local: SocketAddrV4::new(local, u16::from_be_bytes([p0, p1])),
        remote: SocketAddrV4::new(remote, u16::from_be_bytes([q0, q1])),
        sequence: u32::from_be_bytes([n0, n1, n2, n3]),
        error,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use spillway_packet::build;

    /// An ICMP message of type 3 that quotes the IPv4 header and 8 bytes of `l3`.
    pub(crate) fn message(code: u8, l3: &[u8]) -> Vec<u8> {
        let quoted = &l3[..28];
        let check = checksum::full(&[&[3, code, 0, 0, 0, 0, 0, 0], quoted].concat());
        let [c0, c1] = check.to_be_bytes();
        [&[3, code, c0, c1, 0, 0, 0, 0], quoted].concat()
    }

    fn syn() -> Vec<u8> {
        let (from, to) = ("10.0.1.2:61000".parse().unwrap(), "10.0.9.1:80".parse().unwrap());
        build::tcp(from, to).seq_ack(0x0102_0304, 0).finish()[14..].to_vec()
    }

    #[test]
    fn a_quoted_segment_is_read_back() {
        let read = unreachable(&message(1, &syn())).unwrap();
        assert_eq!(read.local, "10.0.1.2:61000".parse().unwrap());
        assert_eq!(read.remote, "10.0.9.1:80".parse().unwrap());
        assert_eq!((read.sequence, read.error), (0x0102_0304, ProbeError::Unreachable));
        assert_eq!(unreachable(&message(3, &syn())).unwrap().error, ProbeError::Refused);
    }

    #[test]
    fn what_says_nothing_of_a_segment_is_passed_over() {
        assert_eq!(unreachable(&message(4, &syn())), None, "too big");
        let mut broken = message(1, &syn());
        broken[20] ^= 1;
        assert_eq!(unreachable(&broken), None, "checksum");
        let mut udp = syn();
        udp[9] = 17;
        assert_eq!(unreachable(&message(1, &udp)), None, "not TCP");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = unreachable(&bytes);
        }

        #[test]
        fn a_cut_message_is_refused(len in 0_usize..36) {
            prop_assert_eq!(unreachable(&message(1, &syn())[..len]), None);
        }
    }
}

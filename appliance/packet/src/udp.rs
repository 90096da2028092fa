//! The UDP header (RFC 768).

use core::fmt;

use crate::checksum::Delta;

/// Length of the header in bytes.
pub const HEADER_LEN: usize = 8;

/// Why a header was refused.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum UdpError {
    /// Fewer than 8 bytes.
    Truncated,
    /// The length field is below 8 or beyond the datagram.
    Length,
}

impl fmt::Display for UdpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "fewer bytes than a UDP header",
            Self::Length => "the UDP length is below 8 bytes or beyond the datagram",
        })
    }
}

impl core::error::Error for UdpError {}

/// A datagram whose header and payload are all there.
#[derive(Copy, Clone, Debug)]
pub struct Udp<'a> {
    header: &'a [u8; HEADER_LEN],
    payload: &'a [u8],
}

impl<'a> Udp<'a> {
    /// Reads a datagram; `datagram` ends where the IP datagram ends. Bytes beyond the UDP length
    /// are legal and no part of the payload.
    #[inline]
    pub fn parse(datagram: &'a [u8]) -> Result<Self, UdpError> {
        let Some(header) = datagram.first_chunk::<HEADER_LEN>() else {
            return Err(UdpError::Truncated);
        };
        let &[_, _, _, _, l0, l1, ..] = header;
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        let payload = datagram.get(HEADER_LEN..len).ok_or(UdpError::Length)?;
        Ok(Self { header, payload })
    }

    #[inline]
    pub fn src_port(&self) -> u16 {
        let &[a, b, ..] = self.header;
        u16::from_be_bytes([a, b])
    }

    #[inline]
    pub fn dst_port(&self) -> u16 {
        let &[_, _, a, b, ..] = self.header;
        u16::from_be_bytes([a, b])
    }

    /// 0 when the sender computed none.
    #[inline]
    pub fn checksum(&self) -> u16 {
        let &[.., a, b] = self.header;
        u16::from_be_bytes([a, b])
    }

    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// A header in place whose ports can be changed; the checksum follows, unless it is 0.
#[derive(Debug)]
pub struct UdpMut<'a> {
    header: &'a mut [u8; HEADER_LEN],
}

impl<'a> UdpMut<'a> {
    /// Takes the header at the front of `datagram`.
    pub fn parse(datagram: &'a mut [u8]) -> Result<Self, UdpError> {
        Udp::parse(datagram)?;
        let header = datagram.first_chunk_mut().ok_or(UdpError::Truncated)?;
        Ok(Self { header })
    }

    pub fn set_src_port(&mut self, port: u16) {
        let [a, b, _, _, _, _, c0, c1] = self.header;
        replace([a, b], [c0, c1], port);
    }

    pub fn set_dst_port(&mut self, port: u16) {
        let [_, _, a, b, _, _, c0, c1] = self.header;
        replace([a, b], [c0, c1], port);
    }
}

fn replace([a, b]: [&mut u8; 2], [c0, c1]: [&mut u8; 2], new: u16) {
    let delta = Delta::NONE.replace16(u16::from_be_bytes([*a, *b]), new);
    let check = u16::from_be_bytes([*c0, *c1]);
    [*a, *b] = new.to_be_bytes();
    [*c0, *c1] = delta.apply_udp(check).to_be_bytes();
}

/// A header to be written.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct UdpRepr {
    pub sport: u16,
    pub dport: u16,
    /// In bytes; what would not fit the length field is cut to 65,527.
    pub payload_len: u16,
}

impl UdpRepr {
    /// The header's bytes with `check` in the checksum field; 0 says that none was computed.
    pub fn emit(&self, check: u16) -> [u8; HEADER_LEN] {
        let [s0, s1] = self.sport.to_be_bytes();
        let [d0, d1] = self.dport.to_be_bytes();
        let [l0, l1] = self.payload_len.saturating_add(8).to_be_bytes();
        let [c0, c1] = check.to_be_bytes();
        [s0, s1, d0, d1, l0, l1, c0, c1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::{transport_ipv4, udp_field};
    use crate::ipv4::protocol;
    use crate::testing::{CLIENT, FRONTEND, hex, with};
    use proptest::prelude::*;

    const GOLDEN: &str = "14e90035 000b69bc 616263";

    fn verifies(datagram: &[u8]) -> bool {
        transport_ipv4(CLIENT, FRONTEND, protocol::UDP, datagram) == 0
    }

    #[test]
    fn a_golden_datagram_is_read() {
        let bytes = hex(GOLDEN);
        let udp = Udp::parse(&bytes).unwrap();
        assert_eq!((udp.src_port(), udp.dst_port(), udp.checksum()), (5353, 53, 0x69bc));
        assert_eq!(udp.payload(), b"abc");
        assert!(verifies(&bytes));
    }

    #[test]
    fn a_golden_header_is_written() {
        let repr = UdpRepr { sport: 5353, dport: 53, payload_len: 3 };
        assert_eq!(repr.emit(0x69bc)[..], hex(GOLDEN)[..8]);
        assert_eq!(UdpRepr { payload_len: u16::MAX, ..repr }.emit(0)[4..6], [0xff, 0xff]);
    }

    #[test]
    fn every_truncation_is_refused() {
        let bytes = hex(GOLDEN);
        for len in 0..bytes.len() {
            let error = if len < 8 { UdpError::Truncated } else { UdpError::Length };
            assert_eq!(Udp::parse(&bytes[..len]).unwrap_err(), error, "{len} bytes");
        }
    }

    #[test]
    fn each_wrong_length_is_refused() {
        for len in [0, 1, 7, 12, 255] {
            let bytes = with(&hex(GOLDEN), &[(5, len)]);
            assert_eq!(Udp::parse(&bytes).unwrap_err(), UdpError::Length, "length {len}");
            assert_eq!(UdpMut::parse(&mut bytes.clone()).unwrap_err(), UdpError::Length);
        }
    }

    #[test]
    fn bytes_beyond_the_udp_length_are_no_payload() {
        let bytes = with(&hex(GOLDEN), &[(5, 9)]);
        assert_eq!(Udp::parse(&bytes).unwrap().payload(), b"a");
    }

    #[test]
    fn a_datagram_without_checksum_gets_none() {
        let mut bytes = with(&hex(GOLDEN), &[(6, 0), (7, 0)]);
        let mut udp = UdpMut::parse(&mut bytes).unwrap();
        udp.set_src_port(1);
        udp.set_dst_port(2);
        assert_eq!(bytes, [0, 1, 0, 2, 0, 11, 0, 0, b'a', b'b', b'c']);
    }

    #[test]
    fn a_checksum_that_becomes_zero_is_sent_as_all_ones() {
        let mut bytes = hex(GOLDEN);
        let sport = 5353u16 + 0x69bc;
        UdpMut::parse(&mut bytes).unwrap().set_src_port(sport);
        assert_eq!(Udp::parse(&bytes).unwrap().checksum(), 0xffff);
        assert!(verifies(&bytes));
    }

    proptest! {
        #[test]
        fn parse_after_emit_is_identity(sport: u16, dport: u16, check: u16, payload: Vec<u8>) {
            let payload_len = u16::try_from(payload.len()).unwrap();
            let header = UdpRepr { sport, dport, payload_len }.emit(check);
            let bytes = [&header[..], &payload].concat();
            let udp = Udp::parse(&bytes).unwrap();
            prop_assert_eq!((udp.src_port(), udp.dst_port(), udp.checksum()), (sport, dport, check));
            prop_assert_eq!(udp.payload(), &payload[..]);
        }

        #[test]
        fn setting_ports_keeps_the_checksum_right(sport: u16, dport: u16, payload: Vec<u8>) {
            let payload_len = u16::try_from(payload.len()).unwrap();
            let repr = UdpRepr { sport: 7, dport: 9, payload_len };
            let mut bytes = [&repr.emit(0)[..], &payload].concat();
            let check = udp_field(transport_ipv4(CLIENT, FRONTEND, protocol::UDP, &bytes));
            bytes[6..8].copy_from_slice(&check.to_be_bytes());
            let mut udp = UdpMut::parse(&mut bytes).unwrap();
            udp.set_src_port(sport);
            udp.set_dst_port(dport);
            prop_assert!(verifies(&bytes));
            let udp = Udp::parse(&bytes).unwrap();
            prop_assert_eq!((udp.src_port(), udp.dst_port()), (sport, dport));
            prop_assert_ne!(udp.checksum(), 0);
        }
    }
}

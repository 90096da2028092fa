//! The IPv4 header (RFC 791).

use core::fmt;
use core::net::Ipv4Addr;

use crate::checksum::Sum;

/// Length of a header without options in bytes.
pub const HEADER_LEN: usize = 20;
/// Length of the longest header in bytes.
pub const HEADER_LEN_MAX: usize = 60;
/// TTL of what the box itself sends (RFC 1700's recommendation).
pub const TTL_DEFAULT: u8 = 64;

/// Protocol numbers (IANA).
pub mod protocol {
    pub const ICMP: u8 = 1;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
}

const FLAG_RESERVED: u16 = 0x8000;
const FLAG_DONT_FRAGMENT: u16 = 0x4000;
const FLAG_MORE_FRAGMENTS: u16 = 0x2000;
const FRAGMENT_OFFSET: u16 = 0x1fff;

/// A header that [`parse`] has accepted: lengths agree with the bytes, the checksum is right.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Ipv4Packet {
    pub src: Ipv4Addr,
    pub dst: Ipv4Addr,
    pub protocol: u8,
    /// At least 1.
    pub ttl: u8,
    /// In bytes, `20..=60`.
    pub header_len: u8,
    /// Header and payload in bytes; at least `header_len`, at most what the frame holds.
    pub total_len: u16,
    pub identification: u16,
    pub dont_fragment: bool,
    pub more_fragments: bool,
    /// In units of 8 bytes, `0..=8191`.
    pub fragment_offset: u16,
}

impl Ipv4Packet {
    /// Any fragment, the first one included.
    #[inline]
    pub const fn is_fragment(&self) -> bool {
        self.more_fragments || self.fragment_offset != 0
    }

    #[inline]
    pub const fn has_options(&self) -> bool {
        self.header_len as usize > HEADER_LEN
    }

    /// Length of what follows the header in bytes.
    #[inline]
    pub const fn payload_len(&self) -> u16 {
        self.total_len.saturating_sub(self.header_len as u16)
    }

    /// What follows the header, without link padding; `l3` is what was parsed.
    #[inline]
    pub fn payload<'a>(&self, l3: &'a [u8]) -> &'a [u8] {
        l3.get(usize::from(self.header_len)..usize::from(self.total_len)).unwrap_or_default()
    }
}

/// Why a header was refused, in the order of the checks.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Ipv4Error {
    /// Fewer than 20 bytes.
    Truncated,
    /// Not version 4.
    Version,
    /// IHL below 5 words.
    HeaderLength,
    /// The frame ends within the header that IHL announces.
    HeaderTruncated,
    /// The total length is below the header length.
    TotalLengthBelowHeader,
    /// The total length is beyond the end of the frame.
    TotalLengthBeyondFrame,
    /// The header checksum is wrong.
    Checksum,
    /// The reserved bit of the flags is set.
    ReservedFlag,
    /// A fragment that is empty, whose length is no multiple of 8 though more follow, or that
    /// ends beyond the largest datagram (RFC 791, 3.2; RFC 1858).
    Fragment,
    /// TTL 0 must not be on the wire (RFC 1122, 3.2.1.7).
    TtlZero,
}

impl fmt::Display for Ipv4Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "fewer bytes than an IPv4 header",
            Self::Version => "the IP version is not 4",
            Self::HeaderLength => "the IPv4 header length is below 20 bytes",
            Self::HeaderTruncated => "the frame ends within the IPv4 header",
            Self::TotalLengthBelowHeader => "the IPv4 total length is below the header length",
            Self::TotalLengthBeyondFrame => "the IPv4 total length is beyond the end of the frame",
            Self::Checksum => "the IPv4 header checksum is wrong",
            Self::ReservedFlag => "the reserved IPv4 flag is set",
            Self::Fragment => "the IPv4 fragment's offset or length is impossible",
            Self::TtlZero => "the IPv4 TTL is 0",
        })
    }
}

impl core::error::Error for Ipv4Error {}

/// Reads and verifies the header at the front of `l3`. Bytes after the total length (Ethernet
/// padding) are legal. Addresses are not judged: see [`crate::addr`].
#[inline]
pub fn parse(l3: &[u8]) -> Result<Ipv4Packet, Ipv4Error> {
    let Some(header) = l3.first_chunk::<HEADER_LEN>() else { return Err(Ipv4Error::Truncated) };
    let &[
        ver_ihl,
        _tos,
        l0,
        l1,
        i0,
        i1,
        f0,
        f1,
        ttl,
        protocol,
        _c0,
        _c1,
        s0,
        s1,
        s2,
        s3,
        d0,
        d1,
        d2,
        d3,
    ] = header;
    if ver_ihl >> 4 != 4 {
        return Err(Ipv4Error::Version);
    }
    let header_len = (ver_ihl & 0x0f) * 4;
    let sum = Sum::ZERO.bytes(header);
    let sum = if usize::from(header_len) == HEADER_LEN {
        sum
    } else {
        sum.bytes(options(l3, header_len)?)
    };
    let total_len = u16::from_be_bytes([l0, l1]);
    if total_len < u16::from(header_len) {
        return Err(Ipv4Error::TotalLengthBelowHeader);
    }
    if usize::from(total_len) > l3.len() {
        return Err(Ipv4Error::TotalLengthBeyondFrame);
    }
    if sum.fold() != 0xffff {
        return Err(Ipv4Error::Checksum);
    }
    let flags = u16::from_be_bytes([f0, f1]);
    let packet = Ipv4Packet {
        src: Ipv4Addr::new(s0, s1, s2, s3),
        dst: Ipv4Addr::new(d0, d1, d2, d3),
        protocol,
        ttl,
        header_len,
        total_len,
        identification: u16::from_be_bytes([i0, i1]),
        dont_fragment: flags & FLAG_DONT_FRAGMENT != 0,
        more_fragments: flags & FLAG_MORE_FRAGMENTS != 0,
        fragment_offset: flags & FRAGMENT_OFFSET,
    };
    // One test for the common packet: anything but DF is rare.
    if flags & !FLAG_DONT_FRAGMENT != 0 {
        check_fragment(flags, &packet)?;
    }
    if ttl == 0 {
        return Err(Ipv4Error::TtlZero);
    }
    Ok(packet)
}

#[cold]
fn options(l3: &[u8], header_len: u8) -> Result<&[u8], Ipv4Error> {
    if usize::from(header_len) < HEADER_LEN {
        return Err(Ipv4Error::HeaderLength);
    }
    l3.get(HEADER_LEN..usize::from(header_len)).ok_or(Ipv4Error::HeaderTruncated)
}

#[cold]
fn check_fragment(flags: u16, packet: &Ipv4Packet) -> Result<(), Ipv4Error> {
    if flags & FLAG_RESERVED != 0 {
        return Err(Ipv4Error::ReservedFlag);
    }
    let len = packet.payload_len();
    // The reassembled datagram, header included, is counted by 16 bits ("ping of death").
    let end = u32::from(packet.fragment_offset) * 8 + u32::from(len) + u32::from(packet.header_len);
    let torn = packet.more_fragments && !len.is_multiple_of(8);
    if len == 0 || torn || end > u32::from(u16::MAX) {
        return Err(Ipv4Error::Fragment);
    }
    Ok(())
}

/// A header to be written: no options, no fragment.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Ipv4Repr {
    pub src: Ipv4Addr,
    pub dst: Ipv4Addr,
    pub protocol: u8,
    pub ttl: u8,
    pub identification: u16,
    pub dont_fragment: bool,
    /// Length of what follows in bytes; what would not fit the total length is cut to 65,515.
    pub payload_len: u16,
}

impl Ipv4Repr {
    /// A header as the box sends its own: TTL 64, DF, identification 0 (atomic: RFC 6864, 4.1).
    pub const fn own(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, payload_len: u16) -> Self {
        Self {
            src,
            dst,
            protocol,
            ttl: TTL_DEFAULT,
            identification: 0,
            dont_fragment: true,
            payload_len,
        }
    }

    /// The header's bytes with a right checksum.
    pub fn emit(&self) -> [u8; HEADER_LEN] {
        let [l0, l1] = self.payload_len.saturating_add(20).to_be_bytes();
        let [i0, i1] = self.identification.to_be_bytes();
        let flags = if self.dont_fragment { FLAG_DONT_FRAGMENT } else { 0 };
        let [f0, f1] = flags.to_be_bytes();
        let [s0, s1, s2, s3] = self.src.octets();
        let [d0, d1, d2, d3] = self.dst.octets();
        let (ttl, protocol) = (self.ttl, self.protocol);
        let without =
            [0x45, 0, l0, l1, i0, i1, f0, f1, ttl, protocol, 0, 0, s0, s1, s2, s3, d0, d1, d2, d3];
        let [c0, c1] = crate::checksum::full(&without).to_be_bytes();
        [0x45, 0, l0, l1, i0, i1, f0, f1, ttl, protocol, c0, c1, s0, s1, s2, s3, d0, d1, d2, d3]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum;
    use crate::testing::{CLIENT, FRONTEND, hex, with};
    use proptest::prelude::*;

    /// A header, then eleven bytes.
    const GOLDEN: &str = "4500001f 00004000 40117e33 ac1a3201 ac1a3265 14e90035 000b69bc 616263";

    /// The golden packet with changes and a right header checksum.
    fn changed(changes: &[(usize, u8)]) -> Vec<u8> {
        let mut bytes = with(&hex(GOLDEN), changes);
        let header_len = (usize::from(bytes[0] & 0xf) * 4).clamp(20, bytes.len());
        bytes[10..12].fill(0);
        let check = checksum::full(&bytes[..header_len]);
        bytes[10..12].copy_from_slice(&check.to_be_bytes());
        bytes
    }

    #[test]
    fn a_golden_header_is_read() {
        let packet = parse(&hex(GOLDEN)).unwrap();
        let golden = Ipv4Packet {
            src: CLIENT,
            dst: FRONTEND,
            protocol: 17,
            ttl: 64,
            header_len: 20,
            total_len: 31,
            identification: 0,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
        };
        assert_eq!(packet, golden);
        assert!(!packet.is_fragment() && !packet.has_options());
        assert_eq!(packet.payload(&hex(GOLDEN)), &hex(GOLDEN)[20..]);
        assert_eq!(packet.payload_len(), 11);
    }

    #[test]
    fn a_golden_header_is_written() {
        assert_eq!(Ipv4Repr::own(CLIENT, FRONTEND, 17, 11).emit()[..], hex(GOLDEN)[..20]);
    }

    #[test]
    fn every_truncation_is_refused() {
        let bytes = hex(GOLDEN);
        for len in 0..bytes.len() {
            let error =
                if len < 20 { Ipv4Error::Truncated } else { Ipv4Error::TotalLengthBeyondFrame };
            assert_eq!(parse(&bytes[..len]), Err(error), "{len} bytes");
        }
    }

    #[test]
    fn each_wrong_field_has_its_own_error() {
        for (changes, error) in [
            (&[(0, 0x65)][..], Ipv4Error::Version),
            (&[(0, 0x05)], Ipv4Error::Version),
            (&[(0, 0x44)], Ipv4Error::HeaderLength),
            (&[(0, 0x40)], Ipv4Error::HeaderLength),
            (&[(0, 0x48)], Ipv4Error::HeaderTruncated),
            (&[(0, 0x4f)], Ipv4Error::HeaderTruncated),
            (&[(3, 19)], Ipv4Error::TotalLengthBelowHeader),
            (&[(3, 0)], Ipv4Error::TotalLengthBelowHeader),
            (&[(0, 0x46), (3, 23)], Ipv4Error::TotalLengthBelowHeader),
            (&[(3, 32)], Ipv4Error::TotalLengthBeyondFrame),
            (&[(2, 0xff), (3, 0xff)], Ipv4Error::TotalLengthBeyondFrame),
            (&[(6, 0x80)], Ipv4Error::ReservedFlag),
            (&[(6, 0xc0)], Ipv4Error::ReservedFlag),
            (&[(6, 0x20)], Ipv4Error::Fragment),
            (&[(6, 0x20), (3, 20)], Ipv4Error::Fragment),
            (&[(7, 1), (3, 20)], Ipv4Error::Fragment),
            (&[(6, 0x1f), (7, 0xff)], Ipv4Error::Fragment),
            (&[(8, 0)], Ipv4Error::TtlZero),
        ] {
            assert_eq!(parse(&changed(changes)), Err(error), "{changes:?}");
        }
    }

    #[test]
    fn any_single_wrong_bit_of_the_header_is_found() {
        let golden = hex(GOLDEN);
        for bit in 0..160 {
            let bytes = with(&golden, &[(bit / 8, golden[bit / 8] ^ 1 << (bit % 8))]);
            assert!(parse(&bytes).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn link_padding_fragments_and_options_are_legal() {
        let mut padded = hex(GOLDEN);
        padded.resize(46, 0x55);
        assert_eq!(parse(&padded).unwrap().payload(&padded).len(), 11);
        let fragment = parse(&changed(&[(6, 0x20), (3, 28)])).unwrap();
        assert!(fragment.is_fragment() && fragment.more_fragments);
        let last = parse(&changed(&[(6, 0x00), (7, 1)])).unwrap();
        assert!(last.is_fragment() && last.fragment_offset == 1);
        let options = changed(&[(0, 0x46)]);
        let packet = parse(&options).unwrap();
        assert!(packet.has_options());
        assert_eq!(packet.payload(&options), &options[24..]);
    }

    #[test]
    fn a_checksum_over_options_counts_them() {
        let bytes = changed(&[(0, 0x46)]);
        assert_eq!(parse(&with(&bytes, &[(23, 0x99)])), Err(Ipv4Error::Checksum));
    }

    #[test]
    fn a_payload_beyond_the_largest_packet_is_cut() {
        let header = Ipv4Repr::own(CLIENT, FRONTEND, 17, u16::MAX).emit();
        assert_eq!(header[2..4], [0xff, 0xff]);
    }

    proptest! {
        #[test]
        fn parse_after_emit_is_identity(
            src: u32, dst: u32, protocol: u8, ttl in 1u8.., identification: u16, dont_fragment: bool,
            payload_len in 0u16..1500, padding in 0usize..40
        ) {
            let (src, dst) = (src.into(), dst.into());
            let repr =
                Ipv4Repr { src, dst, protocol, ttl, identification, dont_fragment, payload_len };
            let mut bytes = repr.emit().to_vec();
            bytes.resize(20 + usize::from(payload_len) + padding, 0);
            let packet = parse(&bytes).unwrap();
            prop_assert_eq!(packet.payload_len(), payload_len);
            let Ipv4Packet { src, dst, protocol, ttl, identification, dont_fragment, .. } = packet;
            let back = Ipv4Repr { src, dst, protocol, ttl, identification, dont_fragment, payload_len };
            prop_assert_eq!(back, repr);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, first in 0x40u8..0x50) {
            if let Ok(packet) = parse(&bytes) {
                let _ = packet.payload(&bytes[..bytes.len() / 2]);
            }
            let _ = parse(&[&[first], &bytes[..]].concat());
        }
    }
}

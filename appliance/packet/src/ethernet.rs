//! Ethernet II with at most one 802.1Q tag.

use core::fmt;

use crate::MacAddr;

/// Length of an untagged header in bytes.
pub const HEADER_LEN: usize = 14;
/// Length of a header with one 802.1Q tag in bytes.
pub const TAGGED_HEADER_LEN: usize = 18;

/// EtherType numbers (IANA, IEEE 802). Values below 0x0600 are 802.3 lengths.
pub mod ethertype {
    pub const IPV4: u16 = 0x0800;
    pub const ARP: u16 = 0x0806;
    pub const VLAN: u16 = 0x8100;
    pub const IPV6: u16 = 0x86dd;
    /// 802.1ad, the outer tag of QinQ.
    pub const QINQ: u16 = 0x88a8;
}

/// The link header of a frame.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct L2 {
    pub dst: MacAddr,
    pub src: MacAddr,
    /// The tag's VID, `1..=4094`. `None` without a tag, and with a priority tag (VID 0), which
    /// says nothing about membership (802.1Q-2018, 9.6); `header_len` tells the two apart.
    pub vlan: Option<u16>,
    pub ethertype: u16,
    /// 14 or 18.
    pub header_len: usize,
}

/// Why a link header was refused.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum EthernetError {
    /// Shorter than its header.
    Truncated,
    /// VID 4095 is reserved (802.1Q-2018, table 9-2).
    ReservedVlan,
    /// More than one tag, or an 802.1ad tag.
    DoubleTag,
    /// The source is a group address or zero.
    SourceMac,
}

impl fmt::Display for EthernetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the frame is shorter than its Ethernet header",
            Self::ReservedVlan => "VLAN 4095 is reserved",
            Self::DoubleTag => "the frame has more than one VLAN tag",
            Self::SourceMac => "the source MAC address is a group address or zero",
        })
    }
}

impl core::error::Error for EthernetError {}

/// Reads the link header.
#[inline]
pub fn parse(frame: &[u8]) -> Result<L2, EthernetError> {
    let Some(&[d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1]) =
        frame.first_chunk::<HEADER_LEN>()
    else {
        return Err(EthernetError::Truncated);
    };
    let dst = MacAddr([d0, d1, d2, d3, d4, d5]);
    let src = MacAddr([s0, s1, s2, s3, s4, s5]);
    if !src.is_station() {
        return Err(EthernetError::SourceMac);
    }
    match u16::from_be_bytes([t0, t1]) {
        ethertype::VLAN => parse_tagged(frame, dst, src),
        ethertype::QINQ => Err(EthernetError::DoubleTag),
        ethertype => Ok(L2 { dst, src, vlan: None, ethertype, header_len: HEADER_LEN }),
    }
}

#[inline]
fn parse_tagged(frame: &[u8], dst: MacAddr, src: MacAddr) -> Result<L2, EthernetError> {
    let Some(&[.., c0, c1, t0, t1]) = frame.first_chunk::<TAGGED_HEADER_LEN>() else {
        return Err(EthernetError::Truncated);
    };
    let ethertype = u16::from_be_bytes([t0, t1]);
    if matches!(ethertype, ethertype::VLAN | ethertype::QINQ) {
        return Err(EthernetError::DoubleTag);
    }
    let vlan = match u16::from_be_bytes([c0, c1]) & 0x0fff {
        0x0fff => return Err(EthernetError::ReservedVlan),
        0 => None,
        vid => Some(vid),
    };
    Ok(L2 { dst, src, vlan, ethertype, header_len: TAGGED_HEADER_LEN })
}

/// Length of the header that [`emit`] writes.
#[inline]
pub const fn header_len(vlan: Option<u16>) -> usize {
    match vlan {
        None => HEADER_LEN,
        Some(_) => TAGGED_HEADER_LEN,
    }
}

/// Writes a link header to the front of `frame` and returns its length, 14 or 18. Of `vlan` the low
/// 12 bits are written, with priority 0. A `frame` that is too short is left as it is and gives 0.
#[inline]
pub fn emit(
    frame: &mut [u8],
    dst: MacAddr,
    src: MacAddr,
    vlan: Option<u16>,
    ethertype: u16,
) -> usize {
    let MacAddr([d0, d1, d2, d3, d4, d5]) = dst;
    let MacAddr([s0, s1, s2, s3, s4, s5]) = src;
    let [t0, t1] = ethertype.to_be_bytes();
    match vlan {
        None => {
            let Some(header) = frame.first_chunk_mut::<HEADER_LEN>() else { return 0 };
            *header = [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1];
            HEADER_LEN
        }
        Some(vid) => {
            let Some(header) = frame.first_chunk_mut::<TAGGED_HEADER_LEN>() else { return 0 };
            let [v0, v1] = ethertype::VLAN.to_be_bytes();
            let [c0, c1] = (vid & 0x0fff).to_be_bytes();
            *header = [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, v0, v1, c0, c1, t0, t1];
            TAGGED_HEADER_LEN
        }
    }
}

/// Destination and source of a frame; `None` when it is too short to have them.
#[inline]
pub fn addresses(frame: &[u8]) -> Option<(MacAddr, MacAddr)> {
    let &[d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5] = frame.first_chunk::<12>()?;
    Some((MacAddr([d0, d1, d2, d3, d4, d5]), MacAddr([s0, s1, s2, s3, s4, s5])))
}

/// Rewrites destination and source and keeps tag and EtherType; false when the frame is too short.
#[inline]
pub fn set_addresses(frame: &mut [u8], dst: MacAddr, src: MacAddr) -> bool {
    let Some(header) = frame.first_chunk_mut::<12>() else { return false };
    let MacAddr([d0, d1, d2, d3, d4, d5]) = dst;
    let MacAddr([s0, s1, s2, s3, s4, s5]) = src;
    *header = [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5];
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{hex, station, with};
    use proptest::prelude::*;

    const DST: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
    const SRC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const UNTAGGED: &str = "020000000002 020000000001 0800";
    const TAGGED: &str = "020000000002 020000000001 8100 e02a 0800";

    #[test]
    fn a_golden_header_is_read() {
        let untagged =
            L2 { dst: DST, src: SRC, vlan: None, ethertype: ethertype::IPV4, header_len: 14 };
        assert_eq!(parse(&hex(UNTAGGED)), Ok(untagged));
        // Priority 7 is above the VID in the same word.
        let tagged = L2 { vlan: Some(42), header_len: 18, ..untagged };
        assert_eq!(parse(&hex(TAGGED)), Ok(tagged));
        assert_eq!(addresses(&hex(TAGGED)), Some((DST, SRC)));
    }

    #[test]
    fn a_golden_header_is_written() {
        let mut frame = [0xaa; 20];
        assert_eq!(emit(&mut frame, DST, SRC, None, ethertype::IPV4), 14);
        assert_eq!(frame[..14], hex(UNTAGGED));
        assert_eq!(frame[14..], [0xaa; 6], "bytes behind the header stay");
        assert_eq!(emit(&mut frame, DST, SRC, Some(42), ethertype::IPV4), 18);
        assert_eq!(frame[..18], with(&hex(TAGGED), &[(14, 0)]), "the priority is 0");
        assert_eq!(frame[18..], [0xaa; 2]);
    }

    #[test]
    fn every_truncation_is_refused() {
        for text in [UNTAGGED, TAGGED] {
            let bytes = hex(text);
            for len in 0..bytes.len() {
                assert_eq!(parse(&bytes[..len]), Err(EthernetError::Truncated), "{len} bytes");
            }
        }
        assert_eq!(addresses(&[0; 11]), None);
    }

    #[test]
    fn each_wrong_field_has_its_own_error() {
        let (untagged, tagged) = (hex(UNTAGGED), hex(TAGGED));
        for (bytes, error) in [
            (with(&untagged, &[(6, 3)]), EthernetError::SourceMac),
            (with(&untagged, &[(6, 0), (11, 0)]), EthernetError::SourceMac),
            (with(&untagged, &[(12, 0x88), (13, 0xa8)]), EthernetError::DoubleTag),
            (with(&tagged, &[(16, 0x81)]), EthernetError::DoubleTag),
            (with(&tagged, &[(16, 0x88), (17, 0xa8)]), EthernetError::DoubleTag),
            (with(&tagged, &[(14, 0xff), (15, 0xff)]), EthernetError::ReservedVlan),
        ] {
            assert_eq!(parse(&bytes), Err(error), "{bytes:02x?}");
        }
    }

    #[test]
    fn a_priority_tag_is_no_vlan_but_has_its_length() {
        let l2 = parse(&with(&hex(TAGGED), &[(14, 0xe0), (15, 0)])).unwrap();
        assert_eq!((l2.vlan, l2.header_len), (None, 18));
    }

    #[test]
    fn a_short_buffer_is_left_alone() {
        let mut frame = [0xaa; 17];
        assert_eq!(emit(&mut frame, DST, SRC, Some(1), ethertype::IPV4), 0);
        assert_eq!(emit(&mut frame[..13], DST, SRC, None, ethertype::IPV4), 0);
        assert!(!set_addresses(&mut frame[..11], DST, SRC));
        assert_eq!(frame, [0xaa; 17]);
    }

    proptest! {
        #[test]
        fn parse_after_emit_is_identity(
            dst: [u8; 6], src in station(), vlan in proptest::option::of(1u16..4095), ethertype: u16
        ) {
            let dst = MacAddr(dst);
            prop_assume!(!matches!(ethertype, ethertype::VLAN | ethertype::QINQ));
            let mut frame = [0; 18];
            let header_len = emit(&mut frame, dst, src, vlan, ethertype);
            prop_assert_eq!(header_len, super::header_len(vlan));
            prop_assert_eq!(parse(&frame), Ok(L2 { dst, src, vlan, ethertype, header_len }));
        }

        #[test]
        fn set_addresses_keeps_the_rest(bytes: [u8; 20], dst: [u8; 6], src: [u8; 6]) {
            let mut frame = bytes;
            prop_assert!(set_addresses(&mut frame, MacAddr(dst), MacAddr(src)));
            prop_assert_eq!(addresses(&frame), Some((MacAddr(dst), MacAddr(src))));
            prop_assert_eq!(&frame[12..], &bytes[12..]);
        }
    }
}

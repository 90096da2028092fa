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

//! Shared by the unit tests.

use core::net::Ipv4Addr;

use proptest::prelude::*;

use crate::MacAddr;

/// Client and frontend of the golden packets.
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(172, 26, 50, 1);
pub(crate) const FRONTEND: Ipv4Addr = Ipv4Addr::new(172, 26, 50, 101);

/// Bytes from hexadecimal digits; blanks are for the reader.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|c| c.to_digit(16)).map(|d| u8::try_from(d).unwrap()).collect();
    assert!(digits.len().is_multiple_of(2), "half a byte in {text:?}");
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// `bytes` with some of them replaced.
pub(crate) fn with(bytes: &[u8], changes: &[(usize, u8)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (at, value) in changes {
        bytes[*at] = *value;
    }
    bytes
}

/// `frame` with a right IPv4 header checksum, so that a test reaches what lies behind that check.
/// Frames that are too short for a header stay as they are.
pub(crate) fn sealed(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let l3 = if frame.get(12..14) == Some(&[0x81, 0]) { 18 } else { 14 };
    if frame.len() >= l3 + 20 {
        let header_len = (usize::from(frame[l3] & 0xf) * 4).clamp(20, frame.len() - l3);
        frame[l3 + 10..l3 + 12].fill(0);
        let check = crate::checksum::full(&frame[l3..l3 + header_len]);
        frame[l3 + 10..l3 + 12].copy_from_slice(&check.to_be_bytes());
    }
    frame
}

/// Addresses that one station may own.
pub(crate) fn station() -> impl Strategy<Value = MacAddr> {
    // The group bit cleared and the local bit set: neither multicast nor zero.
    any::<[u8; 6]>().prop_map(|[m0, rest @ ..]| {
        let [m1, m2, m3, m4, m5] = rest;
        MacAddr([m0 & 0xfe | 0x02, m1, m2, m3, m4, m5])
    })
}

/// Addresses that one host may have.
pub(crate) fn host() -> impl Strategy<Value = Ipv4Addr> {
    (prop_oneof![1u8..127, 128u8..224], any::<[u8; 3]>())
        .prop_map(|(a, [b, c, d])| Ipv4Addr::new(a, b, c, d))
}

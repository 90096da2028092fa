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

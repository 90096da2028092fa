//! The TCP header (RFC 9293).

mod reset;
#[cfg(test)]
mod tests;

use core::fmt;
use core::ops::BitOr;

use crate::checksum;

pub use reset::{RESET_LEN, reset};

/// Length of a header without options in bytes.
pub const HEADER_LEN: usize = 20;

/// The control bits of the header's byte 13.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TcpFlags(u8);

impl TcpFlags {
    pub const FIN: Self = Self(0x01);
    pub const SYN: Self = Self(0x02);
    pub const RST: Self = Self(0x04);
    pub const PSH: Self = Self(0x08);
    pub const ACK: Self = Self(0x10);
    pub const URG: Self = Self(0x20);
    pub const ECE: Self = Self(0x40);
    pub const CWR: Self = Self(0x80);

    #[inline]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    #[inline]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// All flags of `other` are set.
    #[inline]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    #[inline]
    pub const fn fin(self) -> bool {
        self.contains(Self::FIN)
    }

    #[inline]
    pub const fn syn(self) -> bool {
        self.contains(Self::SYN)
    }

    #[inline]
    pub const fn rst(self) -> bool {
        self.contains(Self::RST)
    }

    #[inline]
    pub const fn ack(self) -> bool {
        self.contains(Self::ACK)
    }

    /// The first segment of a connection: SYN without ACK.
    #[inline]
    pub const fn opens(self) -> bool {
        self.0 & (Self::SYN.0 | Self::ACK.0) == Self::SYN.0
    }

    /// A combination that a TCP can send: SYN, SYN+ACK, RST, RST+ACK, FIN+ACK or ACK, with PSH, ECE and
    /// CWR as they please and URG beside SYN, FIN+ACK and ACK. NULL, XMAS, SYN+FIN, SYN+RST and a FIN
    /// without ACK are not among them (the table of Linux's `nf_conntrack_proto_tcp.c`).
    #[inline]
    pub const fn is_valid(self) -> bool {
        VALID_FLAGS >> (self.0 & 0x37) & 1 == 1
    }
}

/// Bit `n` is set when the flags `n` (PSH, ECE and CWR cleared) may occur together.
const VALID_FLAGS: u64 = {
    const fn bit(flags: u8) -> u64 {
        1 << flags
    }
    const FIN: u8 = TcpFlags::FIN.0;
    const SYN: u8 = TcpFlags::SYN.0;
    const RST: u8 = TcpFlags::RST.0;
    const ACK: u8 = TcpFlags::ACK.0;
    const URG: u8 = TcpFlags::URG.0;
    bit(SYN)
        | bit(SYN | URG)
        | bit(SYN | ACK)
        | bit(RST)
        | bit(RST | ACK)
        | bit(FIN | ACK)
        | bit(FIN | ACK | URG)
        | bit(ACK)
        | bit(ACK | URG)
};

impl BitOr for TcpFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
        let mut separator = "";
        for (bit, name) in names.into_iter().enumerate() {
            if self.0 >> bit & 1 == 1 {
                write!(f, "{separator}{name}")?;
                separator = "|";
            }
        }
        if self.0 == 0 { f.write_str("NULL") } else { Ok(()) }
    }
}

/// Why a header was refused.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum TcpError {
    /// Fewer than 20 bytes.
    Truncated,
    /// The data offset is below 5 words or beyond the segment.
    DataOffset,
}

impl fmt::Display for TcpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "fewer bytes than a TCP header",
            Self::DataOffset => "the TCP data offset is below 20 bytes or beyond the segment",
        })
    }
}

impl core::error::Error for TcpError {}

/// A segment whose header is all there.
#[derive(Copy, Clone, Debug)]
pub struct Tcp<'a> {
    header: &'a [u8; HEADER_LEN],
    header_len: u8,
    payload: &'a [u8],
}

impl<'a> Tcp<'a> {
    /// Reads a segment; `segment` ends where the IP datagram ends.
    #[inline]
    pub fn parse(segment: &'a [u8]) -> Result<Self, TcpError> {
        let Some(header) = segment.first_chunk::<HEADER_LEN>() else {
            return Err(TcpError::Truncated);
        };
        let &[_, _, _, _, _, _, _, _, _, _, _, _, offset, ..] = header;
        let header_len = (offset >> 4) * 4;
        if usize::from(header_len) < HEADER_LEN {
            return Err(TcpError::DataOffset);
        }
        let payload = segment.get(usize::from(header_len)..).ok_or(TcpError::DataOffset)?;
        Ok(Self { header, header_len, payload })
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

    #[inline]
    pub fn seq(&self) -> u32 {
        let &[_, _, _, _, a, b, c, d, ..] = self.header;
        u32::from_be_bytes([a, b, c, d])
    }

    /// The acknowledgement number; only meaningful with the ACK flag.
    #[inline]
    pub fn ack(&self) -> u32 {
        let &[_, _, _, _, _, _, _, _, a, b, c, d, ..] = self.header;
        u32::from_be_bytes([a, b, c, d])
    }

    #[inline]
    pub fn flags(&self) -> TcpFlags {
        let &[_, _, _, _, _, _, _, _, _, _, _, _, _, flags, ..] = self.header;
        TcpFlags(flags)
    }

    #[inline]
    pub fn window(&self) -> u16 {
        let &[_, _, _, _, _, _, _, _, _, _, _, _, _, _, a, b, ..] = self.header;
        u16::from_be_bytes([a, b])
    }

    #[inline]
    pub fn checksum(&self) -> u16 {
        let &[.., a, b, _, _] = self.header;
        u16::from_be_bytes([a, b])
    }

    /// In bytes, `20..=60`.
    #[inline]
    pub fn header_len(&self) -> u8 {
        self.header_len
    }

    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Sequence space that the segment takes: payload, and one each for SYN and FIN (RFC 9293, 3.4).
    #[inline]
    pub fn seq_len(&self) -> u32 {
        let payload = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        let flags = self.flags();
        payload.wrapping_add(u32::from(flags.syn())).wrapping_add(u32::from(flags.fin()))
    }
}

/// A header in place whose ports can be changed; the checksum follows.
#[derive(Debug)]
pub struct TcpMut<'a> {
    header: &'a mut [u8; HEADER_LEN],
}

impl<'a> TcpMut<'a> {
    /// Takes the header at the front of `segment`.
    pub fn parse(segment: &'a mut [u8]) -> Result<Self, TcpError> {
        Tcp::parse(segment)?;
        let header = segment.first_chunk_mut().ok_or(TcpError::Truncated)?;
        Ok(Self { header })
    }

    pub fn set_src_port(&mut self, port: u16) {
        let [a, b, .., c0, c1, _, _] = self.header;
        replace([a, b], [c0, c1], port);
    }

    pub fn set_dst_port(&mut self, port: u16) {
        let [_, _, a, b, .., c0, c1, _, _] = self.header;
        replace([a, b], [c0, c1], port);
    }
}

fn replace([a, b]: [&mut u8; 2], [c0, c1]: [&mut u8; 2], new: u16) {
    let old = u16::from_be_bytes([*a, *b]);
    let check = u16::from_be_bytes([*c0, *c1]);
    [*a, *b] = new.to_be_bytes();
    [*c0, *c1] = checksum::update(check, old, new).to_be_bytes();
}

/// A header to be written: no options.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct TcpRepr {
    pub sport: u16,
    pub dport: u16,
    pub seq: u32,
    pub ack: u32,
    pub flags: TcpFlags,
    pub window: u16,
}

impl TcpRepr {
    /// The header's bytes with `check` in the checksum field.
    pub fn emit(&self, check: u16) -> [u8; HEADER_LEN] {
        let [s0, s1] = self.sport.to_be_bytes();
        let [d0, d1] = self.dport.to_be_bytes();
        let [q0, q1, q2, q3] = self.seq.to_be_bytes();
        let [a0, a1, a2, a3] = self.ack.to_be_bytes();
        let [w0, w1] = self.window.to_be_bytes();
        let [c0, c1] = check.to_be_bytes();
        let flags = self.flags.bits();
        [s0, s1, d0, d1, q0, q1, q2, q3, a0, a1, a2, a3, 0x50, flags, w0, w1, c0, c1, 0, 0]
    }
}

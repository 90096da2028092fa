//! Address and port translation of a packet where it lies.

#[cfg(test)]
mod tests;

use core::net::Ipv4Addr;

use crate::checksum::{Delta, update};
use crate::ipv4;

/// Which transport header is rewritten: they keep their checksums in different places, and UDP's may
/// be absent.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    Tcp,
    Udp,
}

/// The four values that a translation replaces.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    pub src: Ipv4Addr,
    pub dst: Ipv4Addr,
    pub sport: u16,
    pub dport: u16,
}

impl Tuple {
    /// The tuple of the answer.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self { src: self.dst, dst: self.src, sport: self.dport, dport: self.sport }
    }
}

/// The tuple to write, and what that does to the checksums.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    pub src: Ipv4Addr,
    pub dst: Ipv4Addr,
    pub sport: u16,
    pub dport: u16,
    /// Of the addresses; the TTL is accounted for by [`apply`].
    pub l3_delta: Delta,
    /// Of the addresses (pseudo header) and the ports.
    pub l4_delta: Delta,
}

impl Rewrite {
    /// The rewrite that takes packets of `from` to `to`.
    pub const fn between(from: Tuple, to: Tuple) -> Self {
        let l3_delta = Delta::NONE.replace_ipv4(from.src, to.src).replace_ipv4(from.dst, to.dst);
        let l4_delta = l3_delta.replace16(from.sport, to.sport).replace16(from.dport, to.dport);
        Self { src: to.src, dst: to.dst, sport: to.sport, dport: to.dport, l3_delta, l4_delta }
    }
}

/// Writes the tuple, decrements the TTL and corrects both checksums incrementally. A zero UDP
/// checksum stays zero.
///
/// `l3` and `l4` are offsets as [`crate::flow::parse`] gave them for this frame, whose tuple is the
/// one that the deltas start from. False, and nothing changed, when the frame is too short for the
/// offsets or the TTL is too low to be decremented (0 or 1: the packet must not be forwarded,
/// RFC 1812, 5.3.1).
#[inline]
pub fn apply(
    frame: &mut [u8],
    l3: usize,
    l4: usize,
    transport: Transport,
    rewrite: &Rewrite,
) -> bool {
    let Some((before, after)) = frame.split_at_mut_checked(l4) else { return false };
    let Some(ip) = before.get_mut(l3..).and_then(<[u8]>::first_chunk_mut::<{ ipv4::HEADER_LEN }>)
    else {
        return false;
    };
    let [_, _, _, _, _, _, _, _, ttl, _, c0, c1, addresses @ ..] = ip;
    if *ttl <= 1 {
        return false;
    }
    let written = match transport {
        Transport::Tcp => write_tcp(after, rewrite),
        Transport::Udp => write_udp(after, rewrite),
    };
    if !written {
        return false;
    }
    // TTL is the high byte of its word, so that one less is 0x0100 less, whatever the protocol.
    let check = rewrite.l3_delta.apply(u16::from_be_bytes([*c0, *c1]));
    [*c0, *c1] = update(check, 0x0100, 0).to_be_bytes();
    *ttl -= 1;
    let [s0, s1, s2, s3] = rewrite.src.octets();
    let [d0, d1, d2, d3] = rewrite.dst.octets();
    *addresses = [s0, s1, s2, s3, d0, d1, d2, d3];
    true
}

#[inline]
fn write_tcp(segment: &mut [u8], rewrite: &Rewrite) -> bool {
    let Some([s0, s1, d0, d1, .., c0, c1, _, _]) =
        segment.first_chunk_mut::<{ crate::tcp::HEADER_LEN }>()
    else {
        return false;
    };
    [*s0, *s1] = rewrite.sport.to_be_bytes();
    [*d0, *d1] = rewrite.dport.to_be_bytes();
    let check = u16::from_be_bytes([*c0, *c1]);
    [*c0, *c1] = rewrite.l4_delta.apply(check).to_be_bytes();
    true
}

#[inline]
fn write_udp(datagram: &mut [u8], rewrite: &Rewrite) -> bool {
    let Some([s0, s1, d0, d1, _, _, c0, c1]) =
        datagram.first_chunk_mut::<{ crate::udp::HEADER_LEN }>()
    else {
        return false;
    };
    [*s0, *s1] = rewrite.sport.to_be_bytes();
    [*d0, *d1] = rewrite.dport.to_be_bytes();
    let check = u16::from_be_bytes([*c0, *c1]);
    [*c0, *c1] = rewrite.l4_delta.apply_udp(check).to_be_bytes();
    true
}

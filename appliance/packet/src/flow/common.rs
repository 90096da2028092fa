//! The packets that are nearly all of the traffic, read with as few branches as will do.

use core::net::Ipv4Addr;

use super::{Kind, Parsed, TcpMeta, UdpMeta};
use crate::checksum::Sum;
use crate::ethernet::ethertype;
use crate::ipv4::protocol;
use crate::tcp::TcpFlags;

/// The lowest bit of the first byte of a MAC address in the upper 48 bits.
const GROUP_BIT: u64 = 1 << 56;

/// Reads TCP or UDP in an unfragmented, untagged IPv4 packet without options in which nothing is
/// wrong.
///
/// `None` for every other frame: [`super::parse`] reads it again with care and finds the reason. For
/// those that are read here both ways agree, which a property test holds on to.
#[inline]
pub(super) fn untagged(frame: &[u8]) -> Option<Parsed> {
    let (link, l3) = frame.split_first_chunk::<14>()?;
    let &[_, _, _, _, _, _, s0, s1, s2, s3, s4, s5, t0, t1] = link;
    // One load: the source in the upper 48 bits, the EtherType below.
    let word = u64::from_be_bytes([s0, s1, s2, s3, s4, s5, t0, t1]);
    let ethertype = u16::from_be_bytes([t0, t1]);
    if ethertype != ethertype::IPV4 || word >> 16 == 0 || word & GROUP_BIT != 0 {
        return None;
    }
    network(l3, None, 14)
}

/// The same for a packet behind one VLAN tag.
#[inline]
pub(super) fn tagged(frame: &[u8]) -> Option<Parsed> {
    let (link, l3) = frame.split_first_chunk::<18>()?;
    let &[_, _, _, _, _, _, s0, s1, s2, s3, s4, s5, v0, v1, c0, c1, t0, t1] = link;
    let word = u64::from_be_bytes([s0, s1, s2, s3, s4, s5, v0, v1]);
    let types = [u16::from_be_bytes([v0, v1]), u16::from_be_bytes([t0, t1])];
    let vid = u16::from_be_bytes([c0, c1]) & 0x0fff;
    if types != [ethertype::VLAN, ethertype::IPV4] || vid == 0 || vid == 0x0fff {
        return None;
    }
    if word >> 16 == 0 || word & GROUP_BIT != 0 {
        return None;
    }
    network(l3, Some(vid), 18)
}

#[expect(
    clippy::inline_always,
    reason = "a call returns through memory, field by field, and copying that stalls the loads"
)]
#[inline(always)]
fn network(l3: &[u8], vlan: Option<u16>, offset: u8) -> Option<Parsed> {
    // Five loads of 32 bits each serve the fields and the checksum alike.
    let (words, _) = l3.first_chunk::<20>()?.as_chunks::<4>();
    let &[first, second, third, src, dst] = words else { return None };
    let [first, second, third] = [first, second, third].map(u32::from_be_bytes);
    let [src, dst] = [src, dst].map(u32::from_be_bytes);
    let sum = Sum::ZERO.double(first).double(second).double(third).double(src).double(dst);
    let [version_ihl, _, len0, len1] = first.to_be_bytes();
    let [ttl, protocol, _, _] = third.to_be_bytes();
    // Of the flags only DF, and no offset.
    if version_ihl != 0x45 || second & 0xbfff != 0 || ttl == 0 || sum.fold() != 0xffff {
        return None;
    }
    let total_len = u16::from_be_bytes([len0, len1]);
    let segment = l3.get(20..usize::from(total_len))?;
    let &[a, b, c, d] = segment.first_chunk::<4>()?;
    let (sport, dport) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    if sport == 0 || dport == 0 {
        return None;
    }
    let (src, dst) = (Ipv4Addr::from_bits(src), Ipv4Addr::from_bits(dst));
    let kind = match protocol {
        protocol::TCP => {
            let &[_, _, _, _, _, _, _, _, _, _, _, _, offset, flags, ..] =
                segment.first_chunk::<20>()?;
            let header_len = usize::from(offset >> 4) * 4;
            let flags = TcpFlags::from_bits(flags);
            if header_len < 20 || header_len > segment.len() || !flags.is_valid() {
                return None;
            }
            Kind::Tcp(TcpMeta { src, dst, sport, dport, flags, ttl, total_len })
        }
        protocol::UDP => {
            let &[_, _, _, _, l0, l1, _, _] = segment.first_chunk::<8>()?;
            let len = usize::from(u16::from_be_bytes([l0, l1]));
            if len < 8 || len > segment.len() {
                return None;
            }
            Kind::Udp(UdpMeta { src, dst, sport, dport, ttl, total_len })
        }
        _ => return None,
    };
    Some(Parsed { kind, vlan, l3: offset, l4: offset + 20 })
}

//! A 64-byte frame in which only addresses, ports and checksums change.

use anyhow::{Context, ensure};
use spillway_lb::model::Protocol;
use spillway_packet::MacAddr;
use spillway_packet::build::{self, Builder};
use spillway_packet::checksum::{Sum, pseudo_ipv4, udp_field};
use spillway_packet::rewrite::Tuple;
use spillway_packet::tcp::TcpFlags;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Bytes of a frame, without the FCS that no driver shows.
pub(crate) const FRAME_BYTES: usize = 64;
/// TTL of the frames that arrive.
pub(crate) const TTL: u8 = 64;

const L3: usize = 14;
const L4: usize = 34;
const UDP_HEADERS: usize = L4 + 8;
const TCP_HEADERS: usize = L4 + 20;

/// The frame, and the sums of everything in it that does not change.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    frame: [u8; FRAME_BYTES],
    protocol: Protocol,
    l3: Sum,
    l4: Sum,
}

/// A whole frame, built without haste: also what the box's frames are compared with.
pub(crate) fn frame(
    protocol: Protocol,
    flags: TcpFlags,
    (from, to): (MacAddr, MacAddr),
    ttl: u8,
    tuple: Tuple,
) -> Vec<u8> {
    let source = SocketAddrV4::new(tuple.src, tuple.sport);
    let destination = SocketAddrV4::new(tuple.dst, tuple.dport);
    let (builder, headers): (Builder, usize) = match protocol {
        Protocol::Udp => (build::udp(source, destination), UDP_HEADERS),
        Protocol::Tcp => (build::tcp(source, destination).flags(flags), TCP_HEADERS),
    };
    let payload = vec![0x5a; FRAME_BYTES - headers];
    builder.macs(from, to).ttl(ttl).payload(&payload).finish()
}

impl Template {
    pub(crate) fn new(
        protocol: Protocol,
        flags: TcpFlags,
        macs: (MacAddr, MacAddr),
    ) -> anyhow::Result<Self> {
        let nobody = Ipv4Addr::UNSPECIFIED;
        let tuple = Tuple { src: nobody, dst: nobody, sport: 0, dport: 0 };
        let mut bytes = frame(protocol, flags, macs, TTL, tuple);
        ensure!(bytes.len() == FRAME_BYTES, "a frame of {} bytes", bytes.len());
        let check_at = match protocol {
            Protocol::Udp => 40..42,
            Protocol::Tcp => 50..52,
        };
        for at in [24..26, check_at] {
            bytes.get_mut(at).context("no checksum")?.fill(0);
        }
        let ip = bytes.get(L3..L4).context("no IP header")?;
        let segment = bytes.get(L4..).context("no transport header")?;
        let segment_len = u16::try_from(segment.len())?;
        let l3 = Sum::ZERO.bytes(ip);
        let l4 = pseudo_ipv4(nobody, nobody, protocol.number(), segment_len).bytes(segment);
        let frame = bytes.try_into().ok().context("not 64 bytes")?;
        Ok(Self { frame, protocol, l3, l4 })
    }

    /// Makes `frame` the template's with this tuple, and its checksums right.
    #[inline]
    pub(crate) fn stamp(&self, frame: &mut [u8], tuple: Tuple) {
        let Some(frame) = frame.first_chunk_mut::<FRAME_BYTES>() else { return };
        let Tuple { src, dst, sport, dport } = tuple;
        let (from, to) = (src.to_bits(), dst.to_bits());
        let l3 = self.l3.double(from).double(to).finish().to_be_bytes();
        let l4 = self.l4.double(from).double(to).word(sport).word(dport).finish();
        *frame = self.frame;
        frame[24..26].copy_from_slice(&l3);
        frame[26..30].copy_from_slice(&src.octets());
        frame[30..34].copy_from_slice(&dst.octets());
        frame[34..36].copy_from_slice(&sport.to_be_bytes());
        frame[36..38].copy_from_slice(&dport.to_be_bytes());
        match self.protocol {
            Protocol::Udp => frame[40..42].copy_from_slice(&udp_field(l4).to_be_bytes()),
            Protocol::Tcp => frame[50..52].copy_from_slice(&l4.to_be_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamped_frame_is_the_built_one() {
        let macs = (MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            let template = Template::new(protocol, TcpFlags::SYN, macs).unwrap();
            for n in 0..1000_u16 {
                let wide = u32::from(n);
                let tuple = Tuple {
                    src: Ipv4Addr::from_bits(wide.wrapping_mul(0x9e37_79b9)),
                    dst: Ipv4Addr::from_bits(!wide),
                    sport: n.wrapping_mul(77),
                    dport: n,
                };
                let mut stamped = [0; FRAME_BYTES];
                template.stamp(&mut stamped, tuple);
                assert_eq!(stamped[..], frame(protocol, TcpFlags::SYN, macs, TTL, tuple));
            }
        }
    }
}

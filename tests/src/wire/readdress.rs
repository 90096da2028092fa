//! What a frame would be, had it been sent from elsewhere to elsewhere: checksums computed from nothing.
//!
//! The programs under test change checksums by the difference; whoever checks them must not do the same.

use std::net::{IpAddr, SocketAddr};

use crate::error::{LabError, Result};

const ETHERNET_LEN: usize = 14;
const IPV4_LEN: usize = 20;
const IPV6_LEN: usize = 40;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// What becomes another.
#[derive(Copy, Clone, Debug)]
pub struct Readdress {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    /// Routers on the way.
    pub hops: u8,
}

/// The IP packet of an Ethernet frame, readdressed; the Ethernet header is not part of it, as every link has its own.
///
/// # Errors
/// When the frame holds no TCP or UDP over plain IPv4 or IPv6, or addresses are of another family.
pub fn readdress(frame: &[u8], to: Readdress) -> Result<Vec<u8>> {
    let odd = || LabError::Expectation(format!("no plain TCP or UDP: {frame:02x?}"));
    let packet = frame.get(ETHERNET_LEN..).ok_or_else(odd)?;
    rewrite(packet, to).ok_or_else(odd)
}

/// The IP packet of an Ethernet frame, without what pads the frame.
pub fn packet(frame: &[u8]) -> &[u8] {
    let packet = frame.get(ETHERNET_LEN..).unwrap_or_default();
    let len = match packet.first().map(|byte| byte >> 4) {
        Some(4) => word(packet, 2),
        Some(6) => word(packet, 4).map(|payload| payload.saturating_add(IPV6_LEN)),
        Some(_) | None => None,
    };
    packet.get(..len.unwrap_or(packet.len())).unwrap_or(packet)
}

/// Source and destination of a TCP or UDP frame.
pub fn addresses(frame: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let packet = frame.get(ETHERNET_LEN..)?;
    let (source, destination, ports): (IpAddr, IpAddr, _) = match packet.first()? >> 4 {
        4 => {
            let source: [u8; 4] = *packet.get(12..)?.first_chunk()?;
            let destination: [u8; 4] = *packet.get(16..)?.first_chunk()?;
            (source.into(), destination.into(), IPV4_LEN)
        }
        6 => {
            let source: [u8; 16] = *packet.get(8..)?.first_chunk()?;
            let destination: [u8; 16] = *packet.get(24..)?.first_chunk()?;
            (source.into(), destination.into(), IPV6_LEN)
        }
        _ => return None,
    };
    let port = |at: usize| packet.get(at..)?.first_chunk().map(|two| u16::from_be_bytes(*two));
    let (from, to) = (port(ports)?, port(ports.checked_add(2)?)?);
    Some((SocketAddr::new(source, from), SocketAddr::new(destination, to)))
}

fn rewrite(packet: &[u8], to: Readdress) -> Option<Vec<u8>> {
    let mut packet = packet.to_vec();
    let (head_len, protocol) = match (packet.first()?, to.source.ip(), to.destination.ip()) {
        (0x45, IpAddr::V4(source), IpAddr::V4(destination)) => {
            put(&mut packet, 12, &source.octets())?;
            put(&mut packet, 16, &destination.octets())?;
            let ttl = packet.get(8)?.checked_sub(to.hops)?;
            put(&mut packet, 8, &[ttl])?;
            put(&mut packet, 10, &[0, 0])?;
            let sum = !fold(sum(packet.get(..IPV4_LEN)?));
            put(&mut packet, 10, &sum.to_be_bytes())?;
            let len = word(&packet, 2)?;
            packet.truncate(len);
            (IPV4_LEN, *packet.get(9)?)
        }
        (first, IpAddr::V6(source), IpAddr::V6(destination)) if first >> 4 == 6 => {
            put(&mut packet, 8, &source.octets())?;
            put(&mut packet, 24, &destination.octets())?;
            let ttl = packet.get(7)?.checked_sub(to.hops)?;
            put(&mut packet, 7, &[ttl])?;
            let len = word(&packet, 4)?.checked_add(IPV6_LEN)?;
            packet.truncate(len);
            (IPV6_LEN, *packet.get(6)?)
        }
        _ => return None,
    };
    put(&mut packet, head_len, &to.source.port().to_be_bytes())?;
    put(&mut packet, head_len.checked_add(2)?, &to.destination.port().to_be_bytes())?;
    let sum_at = head_len.checked_add(match protocol {
        TCP => 16,
        UDP => 6,
        _ => return None,
    })?;
    put(&mut packet, sum_at, &[0, 0])?;
    // RFC 9293, 3.1 and RFC 8200, 8.1: addresses, length, protocol, then the segment.
    let segment = packet.get(head_len..)?;
    let pseudo = if head_len == IPV4_LEN { packet.get(12..20)? } else { packet.get(8..40)? };
    let len = u64::try_from(segment.len()).ok()?;
    let total = [sum(pseudo), sum(segment), len, u64::from(protocol)].into_iter().sum();
    let sum = match (!fold(total), protocol) {
        // RFC 768: a computed 0 is sent as 0xffff; 0 means "no checksum".
        (0, UDP) => 0xffff,
        (sum, _) => sum,
    };
    put(&mut packet, sum_at, &sum.to_be_bytes())?;
    Some(packet)
}

fn put(packet: &mut [u8], at: usize, bytes: &[u8]) -> Option<()> {
    let end = at.checked_add(bytes.len())?;
    packet.get_mut(at..end)?.copy_from_slice(bytes);
    Some(())
}

fn word(packet: &[u8], at: usize) -> Option<usize> {
    packet.get(at..)?.first_chunk().map(|two| usize::from(u16::from_be_bytes(*two)))
}

/// Sum of the words in network order; an odd octet at the end is the high one (RFC 1071).
fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.chunks(2).map(|pair| match pair {
        [high, low] => u64::from(u16::from_be_bytes([*high, *low])),
        [high] => u64::from(*high) << 8,
        _ => 0,
    });
    words.sum()
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff).saturating_add(sum >> 16);
    }
    u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::hex;

    /// A datagram as a kernel sent it: 10.0.0.71:41700 to 10.0.1.72:7777, `?`.
    const FRAME: [&str; 3] = [
        "02 73 18 00 2e 45 02 73 d7 76 fb 82 08 00",
        "45 00 00 1d 3c 3d 40 00 3f 11 ea 04 0a 00 00 47 0a 00 01 48",
        "a2 e4 1e 61 00 09 ea 07 3f",
    ];

    #[test]
    fn a_frame_that_goes_where_it_went_keeps_its_checksums() {
        let frame = hex::bytes(&FRAME).unwrap();
        let (source, destination) = addresses(&frame).unwrap();
        assert_eq!(source.to_string(), "10.0.0.71:41700");
        let same = readdress(&frame, Readdress { source, destination, hops: 0 }).unwrap();
        assert_eq!(hex::dump(&same), hex::dump(packet(&frame)));
    }

    #[test]
    fn what_is_there_and_back_is_the_same() {
        let frame = hex::bytes(&FRAME).unwrap();
        let (source, destination) = addresses(&frame).unwrap();
        let other = "192.0.2.1:9".parse().unwrap();
        let there = readdress(&frame, Readdress { source: other, destination, hops: 0 }).unwrap();
        assert_ne!(there, packet(&frame));
        let there = [&frame[..ETHERNET_LEN], &there].concat();
        let back = readdress(&there, Readdress { source, destination, hops: 0 }).unwrap();
        assert_eq!(back, packet(&frame));
    }

    #[test]
    fn what_is_no_datagram_and_what_is_cut_short_are_refused() {
        let frame = hex::bytes(&FRAME).unwrap();
        let (source, destination) = addresses(&frame).unwrap();
        let to = Readdress { source, destination, hops: 0 };
        for len in 0..ETHERNET_LEN + IPV4_LEN + 8 {
            assert!(readdress(&frame[..len], to).is_err(), "{len} octets");
        }
        let six = Readdress { source: "[::1]:1".parse().unwrap(), ..to };
        assert!(readdress(&frame, six).is_err());
    }
}

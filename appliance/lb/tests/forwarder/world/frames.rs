//! Frames of clients and backends, and what can be read off a frame.

use std::net::{Ipv4Addr, SocketAddrV4};

use spillway_lb::forward::PortIdentity;
use spillway_packet::build::{self, Builder};
use spillway_packet::ethernet::{self, ethertype};
use spillway_packet::flow::{self, Kind, TcpMeta, UdpMeta};
use spillway_packet::ipv4::{self, protocol};
use spillway_packet::rewrite::Tuple;
use spillway_packet::tcp::TcpFlags;
use spillway_packet::{MacAddr, checksum};

pub(crate) const SYN: TcpFlags = TcpFlags::SYN;
pub(crate) const ACK: TcpFlags = TcpFlags::ACK;
pub(crate) const RST: TcpFlags = TcpFlags::RST;
pub(crate) const SYN_ACK: TcpFlags = TcpFlags::from_bits(0x12);
pub(crate) const FIN_ACK: TcpFlags = TcpFlags::from_bits(0x11);
pub(crate) const RST_ACK: TcpFlags = TcpFlags::from_bits(0x14);

/// An address and port, as text or as a value.
pub(crate) trait End {
    fn end(self) -> SocketAddrV4;
}

impl End for &str {
    fn end(self) -> SocketAddrV4 {
        self.parse().unwrap()
    }
}

impl End for SocketAddrV4 {
    fn end(self) -> SocketAddrV4 {
        self
    }
}

pub(crate) fn at(text: &str) -> SocketAddrV4 {
    text.end()
}

pub(crate) fn tcp(from: impl End, to: impl End, flags: TcpFlags) -> Builder {
    build::tcp(from.end(), to.end()).flags(flags)
}

pub(crate) fn syn(from: impl End, to: impl End) -> Builder {
    tcp(from, to, SYN)
}

pub(crate) fn udp(from: impl End, to: impl End) -> Builder {
    build::udp(from.end(), to.end()).payload(b"datagram")
}

/// Hexadecimal digits with any white space between them.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    assert!(digits.len().is_multiple_of(2), "{text}");
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap()).collect()
}

/// Where the network header starts.
pub(crate) fn l3_of(frame: &[u8]) -> usize {
    if frame.get(12..14) == Some(&[0x81, 0]) { 18 } else { 14 }
}

pub(crate) fn source_of(frame: &[u8]) -> Ipv4Addr {
    let at = l3_of(frame) + 12;
    Ipv4Addr::from(<[u8; 4]>::try_from(&frame[at..at + 4]).unwrap())
}

pub(crate) fn destination_of(frame: &[u8]) -> Ipv4Addr {
    let at = l3_of(frame) + 16;
    Ipv4Addr::from(<[u8; 4]>::try_from(&frame[at..at + 4]).unwrap())
}

/// The ends of a TCP or UDP packet.
pub(crate) fn tuple_of(frame: &[u8]) -> Tuple {
    let kind = flow::parse(frame).kind;
    if let Kind::Tcp(TcpMeta { src, dst, sport, dport, .. })
    | Kind::Udp(UdpMeta { src, dst, sport, dport, .. }) = kind
    {
        return Tuple { src, dst, sport, dport };
    }
    panic!("{kind:?} has no ports")
}

pub(crate) fn from_to(tuple: Tuple) -> (SocketAddrV4, SocketAddrV4) {
    (SocketAddrV4::new(tuple.src, tuple.sport), SocketAddrV4::new(tuple.dst, tuple.dport))
}

/// The frame's IP packet with another L2 header.
pub(crate) fn with_link_header(frame: &[u8], port: PortIdentity, to: MacAddr) -> Vec<u8> {
    let mut dressed = vec![0; ethernet::header_len(port.vlan)];
    ethernet::emit(&mut dressed, to, port.mac, port.vlan, ethertype::IPV4);
    dressed.extend_from_slice(&frame[l3_of(frame)..]);
    dressed
}

/// Both checksums, recomputed in full.
pub(crate) fn assert_checksums(frame: &[u8]) {
    let l3 = &frame[l3_of(frame)..];
    let packet = ipv4::parse(l3).unwrap();
    let segment = packet.payload(l3);
    let sum = match packet.protocol {
        protocol::ICMP => checksum::full(segment),
        protocol::UDP if segment[6..8] == [0, 0] => 0,
        protocol => checksum::transport_ipv4(packet.src, packet.dst, protocol, segment),
    };
    assert_eq!(sum, 0, "the transport checksum of {frame:02x?}");
}

/// Makes the IPv4 header checksum right again after bytes were changed.
pub(crate) fn sealed(mut frame: Vec<u8>) -> Vec<u8> {
    let l3 = l3_of(&frame);
    let Some(&first) = frame.get(l3) else { return frame };
    let end = l3 + usize::from(first & 15) * 4;
    if end < l3 + 12 || end > frame.len() {
        return frame;
    }
    frame[l3 + 10..l3 + 12].fill(0);
    let check = checksum::full(&frame[l3..end]);
    frame[l3 + 10..l3 + 12].copy_from_slice(&check.to_be_bytes());
    frame
}

//! One pass over a frame: what a worker needs to know about it.

mod common;
#[cfg(test)]
mod malformed;
#[cfg(test)]
mod tests;

use core::fmt;
use core::net::Ipv4Addr;

use crate::ethernet::{self, EthernetError, ethertype};
use crate::icmp::{self, icmp_type};
use crate::ipv4::{self, Ipv4Error, Ipv4Packet, protocol};
use crate::tcp::{Tcp, TcpError, TcpFlags};
use crate::udp::{Udp, UdpError};

/// What [`parse`] found. Offsets are from the front of the frame.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    pub kind: Kind,
    /// VID of the frame's 802.1Q tag, `1..=4094`. A priority tag counts as none, though `l3` is 18.
    pub vlan: Option<u16>,
    /// Where the network header starts: 14 or 18; 0 when the link header is malformed.
    pub l3: u8,
    /// Where the transport header starts; 0 unless `kind` is a transport of IPv4.
    pub l4: u8,
}

/// A frame by what can be done with it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To be read with [`crate::arp::parse`] from `l3` on.
    Arp,
    Tcp(TcpMeta),
    Udp(UdpMeta),
    IcmpEchoRequest(EchoMeta),
    IcmpEchoReply(EchoMeta),
    IcmpOther(IcmpMeta),
    /// Another transport than TCP, UDP and ICMP.
    OtherTransport(Ipv4Meta),
    /// Any fragment, the first included: the transport was not read.
    Fragment(Ipv4Meta),
    /// The header has options: the transport was not read.
    Options(Ipv4Meta),
    /// Neither ARP nor IPv4; an EtherType, or below 0x0600 an 802.3 length (LLC).
    NotIp(u16),
    Malformed(Malformed),
}

/// A TCP segment with possible flags and no zero port.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct TcpMeta {
    pub src: Ipv4Addr,
    pub dst: Ipv4Addr,
    pub sport: u16,
    pub dport: u16,
    pub flags: TcpFlags,
    pub ttl: u8,
    /// IPv4 total length in bytes.
    pub total_len: u16,
}

/// A UDP datagram with no zero port.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct UdpMeta {
    pub src: Ipv4Addr,
    pub dst: Ipv4Addr,
    pub sport: u16,
    pub dport: u16,
    pub ttl: u8,
    /// IPv4 total length in bytes.
    pub total_len: u16,
}

/// An echo request or reply.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct EchoMeta {
    pub src: Ipv4Addr,
    pub dst: Ipv4Addr,
    pub identifier: u16,
    pub sequence: u16,
    pub ttl: u8,
    /// IPv4 total length in bytes.
    pub total_len: u16,
}

/// An ICMP message other than echo.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct IcmpMeta {
    pub src: Ipv4Addr,
    pub dst: Ipv4Addr,
    pub icmp_type: u8,
    pub code: u8,
    pub ttl: u8,
    /// IPv4 total length in bytes.
    pub total_len: u16,
}

/// An IPv4 packet whose transport was not read.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Ipv4Meta {
    pub src: Ipv4Addr,
    pub dst: Ipv4Addr,
    pub protocol: u8,
    pub ttl: u8,
    /// IPv4 total length in bytes.
    pub total_len: u16,
}

/// Why a frame cannot be what it says it is. The numbers are stable.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Malformed {
    /// Shorter than its link header, or than the 20 bytes of an IPv4 header.
    Truncated = 1,
    /// VID 4095.
    BadVlan = 2,
    /// More than one VLAN tag (QinQ).
    DoubleTag = 3,
    /// The source MAC address is a group address or zero.
    BadSourceMac = 4,
    BadIpVersion = 5,
    /// IHL below 5, or beyond the frame.
    BadIpHeaderLength = 6,
    /// Total length below the header length, or beyond the frame.
    BadIpTotalLength = 7,
    BadIpChecksum = 8,
    /// The reserved bit is set.
    BadIpFlags = 9,
    /// An impossible fragment: empty, torn, or beyond 65,535 bytes.
    BadFragment = 10,
    TtlZero = 11,
    /// Truncated, or a data offset below 5 or beyond the segment.
    BadTcpHeader = 12,
    /// Flags that no TCP sends together: see [`TcpFlags::is_valid`].
    BadTcpFlags = 13,
    /// Truncated, or a length below 8 or beyond the datagram.
    BadUdpLength = 14,
    /// Source or destination port 0.
    ZeroPort = 15,
    /// Fewer than 8 bytes of ICMP.
    IcmpTruncated = 16,
}

impl Malformed {
    pub const ALL: [Self; 16] = [
        Self::Truncated,
        Self::BadVlan,
        Self::DoubleTag,
        Self::BadSourceMac,
        Self::BadIpVersion,
        Self::BadIpHeaderLength,
        Self::BadIpTotalLength,
        Self::BadIpChecksum,
        Self::BadIpFlags,
        Self::BadFragment,
        Self::TtlZero,
        Self::BadTcpHeader,
        Self::BadTcpFlags,
        Self::BadUdpLength,
        Self::ZeroPort,
        Self::IcmpTruncated,
    ];
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Truncated => "truncated header",
            Self::BadVlan => "reserved VLAN",
            Self::DoubleTag => "more than one VLAN tag",
            Self::BadSourceMac => "impossible source MAC address",
            Self::BadIpVersion => "wrong IP version",
            Self::BadIpHeaderLength => "wrong IP header length",
            Self::BadIpTotalLength => "wrong IP total length",
            Self::BadIpChecksum => "wrong IP header checksum",
            Self::BadIpFlags => "reserved IP flag set",
            Self::BadFragment => "impossible fragment",
            Self::TtlZero => "TTL 0",
            Self::BadTcpHeader => "wrong TCP header",
            Self::BadTcpFlags => "impossible TCP flags",
            Self::BadUdpLength => "wrong UDP length",
            Self::ZeroPort => "port 0",
            Self::IcmpTruncated => "truncated ICMP message",
        })
    }
}

impl From<EthernetError> for Malformed {
    #[inline]
    fn from(error: EthernetError) -> Self {
        match error {
            EthernetError::Truncated => Self::Truncated,
            EthernetError::ReservedVlan => Self::BadVlan,
            EthernetError::DoubleTag => Self::DoubleTag,
            EthernetError::SourceMac => Self::BadSourceMac,
        }
    }
}

impl From<Ipv4Error> for Malformed {
    #[inline]
    fn from(error: Ipv4Error) -> Self {
        match error {
            Ipv4Error::Truncated => Self::Truncated,
            Ipv4Error::Version => Self::BadIpVersion,
            Ipv4Error::HeaderLength | Ipv4Error::HeaderTruncated => Self::BadIpHeaderLength,
            Ipv4Error::TotalLengthBelowHeader | Ipv4Error::TotalLengthBeyondFrame => {
                Self::BadIpTotalLength
            }
            Ipv4Error::Checksum => Self::BadIpChecksum,
            Ipv4Error::ReservedFlag => Self::BadIpFlags,
            Ipv4Error::Fragment => Self::BadFragment,
            Ipv4Error::TtlZero => Self::TtlZero,
        }
    }
}

impl From<TcpError> for Malformed {
    #[inline]
    fn from(error: TcpError) -> Self {
        match error {
            TcpError::Truncated | TcpError::DataOffset => Self::BadTcpHeader,
        }
    }
}

impl From<UdpError> for Malformed {
    #[inline]
    fn from(error: UdpError) -> Self {
        match error {
            UdpError::Truncated | UdpError::Length => Self::BadUdpLength,
        }
    }
}

/// Reads Ethernet, at most one VLAN tag, IPv4 and the front of TCP, UDP or ICMP in one pass.
///
/// The IPv4 header checksum is verified; transport checksums are not, since an incremental update
/// keeps a wrong one wrong. Addresses are not judged: see [`crate::addr`].
#[inline]
pub fn parse(frame: &[u8]) -> Parsed {
    match common::untagged(frame) {
        Some(parsed) => parsed,
        None => parse_rest(frame),
    }
}

#[inline(never)]
fn parse_rest(frame: &[u8]) -> Parsed {
    match common::tagged(frame) {
        Some(parsed) => parsed,
        None => parse_with_care(frame),
    }
}

/// Reads every frame, the common ones too, and says what is wrong with it.
#[cold]
#[inline(never)]
fn parse_with_care(frame: &[u8]) -> Parsed {
    let l2 = match ethernet::parse(frame) {
        Ok(l2) => l2,
        Err(error) => {
            return Parsed { kind: Kind::Malformed(error.into()), vlan: None, l3: 0, l4: 0 };
        }
    };
    let l3 = if l2.header_len == ethernet::HEADER_LEN { 14 } else { 18 };
    let (kind, header_len) = match l2.ethertype {
        ethertype::IPV4 => parse_ipv4(frame.get(usize::from(l3)..).unwrap_or_default()),
        ethertype::ARP => (Kind::Arp, 0),
        other => (Kind::NotIp(other), 0),
    };
    let l4 = if header_len == 0 { 0 } else { l3 + header_len };
    Parsed { kind, vlan: l2.vlan, l3, l4 }
}

/// The kind, and the header length if the transport was read.
fn parse_ipv4(l3: &[u8]) -> (Kind, u8) {
    let packet = match ipv4::parse(l3) {
        Ok(packet) => packet,
        Err(error) => return (Kind::Malformed(error.into()), 0),
    };
    if packet.is_fragment() {
        return (Kind::Fragment(unread(&packet)), 0);
    }
    if packet.has_options() {
        return (Kind::Options(unread(&packet)), 0);
    }
    let segment = packet.payload(l3);
    let kind = match packet.protocol {
        protocol::TCP => parse_tcp(&packet, segment),
        protocol::UDP => parse_udp(&packet, segment),
        protocol::ICMP => parse_icmp(&packet, segment),
        _ => return (Kind::OtherTransport(unread(&packet)), 0),
    };
    match kind {
        Ok(kind) => (kind, packet.header_len),
        Err(malformed) => (Kind::Malformed(malformed), 0),
    }
}

const fn unread(packet: &Ipv4Packet) -> Ipv4Meta {
    let &Ipv4Packet { src, dst, protocol, ttl, total_len, .. } = packet;
    Ipv4Meta { src, dst, protocol, ttl, total_len }
}

fn parse_tcp(packet: &Ipv4Packet, segment: &[u8]) -> Result<Kind, Malformed> {
    let tcp = Tcp::parse(segment)?;
    let &Ipv4Packet { src, dst, ttl, total_len, .. } = packet;
    let (sport, dport, flags) = (tcp.src_port(), tcp.dst_port(), tcp.flags());
    if !flags.is_valid() {
        return Err(Malformed::BadTcpFlags);
    }
    if sport == 0 || dport == 0 {
        return Err(Malformed::ZeroPort);
    }
    Ok(Kind::Tcp(TcpMeta { src, dst, sport, dport, flags, ttl, total_len }))
}

fn parse_udp(packet: &Ipv4Packet, datagram: &[u8]) -> Result<Kind, Malformed> {
    let udp = Udp::parse(datagram)?;
    let &Ipv4Packet { src, dst, ttl, total_len, .. } = packet;
    let (sport, dport) = (udp.src_port(), udp.dst_port());
    // RFC 768 lets a sender that wants no reply say port 0; a translator cannot serve it.
    if sport == 0 || dport == 0 {
        return Err(Malformed::ZeroPort);
    }
    Ok(Kind::Udp(UdpMeta { src, dst, sport, dport, ttl, total_len }))
}

fn parse_icmp(packet: &Ipv4Packet, message: &[u8]) -> Result<Kind, Malformed> {
    let Some(&[icmp_type, code, _, _, i0, i1, s0, s1]) =
        message.first_chunk::<{ icmp::HEADER_LEN }>()
    else {
        return Err(Malformed::IcmpTruncated);
    };
    let &Ipv4Packet { src, dst, ttl, total_len, .. } = packet;
    let identifier = u16::from_be_bytes([i0, i1]);
    let sequence = u16::from_be_bytes([s0, s1]);
    let echo = EchoMeta { src, dst, identifier, sequence, ttl, total_len };
    Ok(match (icmp_type, code) {
        (icmp_type::ECHO_REQUEST, 0) => Kind::IcmpEchoRequest(echo),
        (icmp_type::ECHO_REPLY, 0) => Kind::IcmpEchoReply(echo),
        _ => Kind::IcmpOther(IcmpMeta { src, dst, icmp_type, code, ttl, total_len }),
    })
}

//! ARP for IPv4 over Ethernet (RFC 826, RFC 5227).

use core::fmt;
use core::net::Ipv4Addr;

use crate::MacAddr;
use crate::addr;
use crate::ethernet::{self, ethertype};

/// Length of the ARP part of a frame in bytes.
pub const PACKET_LEN: usize = 28;
/// Length of the longest frame that [`Arp::emit`] writes: with a VLAN tag.
pub const FRAME_LEN_MAX: usize = ethernet::TAGGED_HEADER_LEN + PACKET_LEN;

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum ArpOp {
    Request,
    Reply,
}

/// A request or reply that can be believed in form; whether its sender may speak for
/// `sender_ip` is the caller's to decide.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Arp {
    pub op: ArpOp,
    pub sender_mac: MacAddr,
    /// 0.0.0.0 in a probe (RFC 5227, 2.1.1).
    pub sender_ip: Ipv4Addr,
    /// Meaningless in a request.
    pub target_mac: MacAddr,
    pub target_ip: Ipv4Addr,
}

/// Why a packet was refused.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum ArpError {
    /// Fewer than 28 bytes.
    Truncated,
    /// Not Ethernet.
    HardwareType,
    /// Not IPv4.
    ProtocolType,
    /// The hardware address length is not 6.
    HardwareLength,
    /// The protocol address length is not 4.
    ProtocolLength,
    /// Neither request nor reply.
    Operation,
    /// The sender's MAC is a group address or zero: believing it would poison the neighbour table.
    SenderMac,
    /// The sender's address is loopback, multicast, broadcast or in 0.0.0.0/8 (but for a probe's
    /// 0.0.0.0).
    SenderIp,
}

impl fmt::Display for ArpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "fewer bytes than an ARP packet",
            Self::HardwareType => "the ARP hardware type is not Ethernet",
            Self::ProtocolType => "the ARP protocol type is not IPv4",
            Self::HardwareLength => "the ARP hardware address length is not 6",
            Self::ProtocolLength => "the ARP protocol address length is not 4",
            Self::Operation => "the ARP operation is neither request nor reply",
            Self::SenderMac => "the ARP sender MAC address is a group address or zero",
            Self::SenderIp => "the ARP sender IP address names no host",
        })
    }
}

impl core::error::Error for ArpError {}

/// Reads the ARP packet at the front of `l3`; padding behind it is legal.
pub fn parse(l3: &[u8]) -> Result<Arp, ArpError> {
    let Some(packet) = l3.first_chunk::<PACKET_LEN>() else { return Err(ArpError::Truncated) };
    let &[h0, h1, p0, p1, hardware_len, protocol_len, o0, o1, ref addresses @ ..] = packet;
    if u16::from_be_bytes([h0, h1]) != 1 {
        return Err(ArpError::HardwareType);
    }
    if u16::from_be_bytes([p0, p1]) != ethertype::IPV4 {
        return Err(ArpError::ProtocolType);
    }
    if hardware_len != 6 {
        return Err(ArpError::HardwareLength);
    }
    if protocol_len != 4 {
        return Err(ArpError::ProtocolLength);
    }
    let op = match u16::from_be_bytes([o0, o1]) {
        1 => ArpOp::Request,
        2 => ArpOp::Reply,
        _ => return Err(ArpError::Operation),
    };
    let &[m0, m1, m2, m3, m4, m5, s0, s1, s2, s3, n0, n1, n2, n3, n4, n5, t0, t1, t2, t3] =
        addresses;
    let arp = Arp {
        op,
        sender_mac: MacAddr([m0, m1, m2, m3, m4, m5]),
        sender_ip: Ipv4Addr::new(s0, s1, s2, s3),
        target_mac: MacAddr([n0, n1, n2, n3, n4, n5]),
        target_ip: Ipv4Addr::new(t0, t1, t2, t3),
    };
    if !arp.sender_mac.is_station() {
        return Err(ArpError::SenderMac);
    }
    if addr::is_bogon_source(arp.sender_ip) && !arp.sender_ip.is_unspecified() {
        return Err(ArpError::SenderIp);
    }
    Ok(arp)
}

impl Arp {
    /// A question for the owner of `target_ip`.
    pub const fn request(sender_mac: MacAddr, sender_ip: Ipv4Addr, target_ip: Ipv4Addr) -> Self {
        Self { op: ArpOp::Request, sender_mac, sender_ip, target_mac: MacAddr::ZERO, target_ip }
    }

    /// The answer to this request: `mac` owns the address that was asked for.
    #[must_use]
    pub const fn answer(&self, mac: MacAddr) -> Self {
        Self {
            op: ArpOp::Reply,
            sender_mac: mac,
            sender_ip: self.target_ip,
            target_mac: self.sender_mac,
            target_ip: self.sender_ip,
        }
    }

    /// Writes a whole frame from `sender_mac` to `l2_dst` and returns its length, 42 or 46 bytes
    /// (padding to Ethernet's minimum is the driver's). `None` when `out` is too short:
    /// [`FRAME_LEN_MAX`] always suffices.
    pub fn emit(&self, out: &mut [u8], l2_dst: MacAddr, vlan: Option<u16>) -> Option<usize> {
        let header_len = ethernet::header_len(vlan);
        let packet = out.get_mut(header_len..)?.first_chunk_mut::<PACKET_LEN>()?;
        let [p0, p1] = ethertype::IPV4.to_be_bytes();
        let op = match self.op {
            ArpOp::Request => 1,
            ArpOp::Reply => 2,
        };
        let MacAddr([m0, m1, m2, m3, m4, m5]) = self.sender_mac;
        let [s0, s1, s2, s3] = self.sender_ip.octets();
        let MacAddr([n0, n1, n2, n3, n4, n5]) = self.target_mac;
        let [t0, t1, t2, t3] = self.target_ip.octets();
        *packet = [
            0, 1, p0, p1, 6, 4, 0, op, m0, m1, m2, m3, m4, m5, s0, s1, s2, s3, n0, n1, n2, n3, n4,
            n5, t0, t1, t2, t3,
        ];
        ethernet::emit(out, l2_dst, self.sender_mac, vlan, ethertype::ARP);
        Some(header_len + PACKET_LEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{CLIENT, FRONTEND, hex, host, station, with};
    use proptest::prelude::*;

    const SENDER: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const OWNER: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
    const GOLDEN: &str = "ffffffffffff 020000000001 0806 0001 0800 06 04 0001 020000000001 ac1a3201 000000000000 ac1a3265";

    #[test]
    fn a_golden_request_is_read_and_answered() {
        let arp = parse(&hex(GOLDEN)[14..]).unwrap();
        assert_eq!(arp, Arp::request(SENDER, CLIENT, FRONTEND));
        let mut out = [0; FRAME_LEN_MAX];
        let len = arp.answer(OWNER).emit(&mut out, SENDER, None).unwrap();
        let answer = "020000000001 020000000002 0806 0001 0800 06 04 0002
                      020000000002 ac1a3265 020000000001 ac1a3201";
        assert_eq!(out[..len], hex(answer));
    }

    #[test]
    fn a_golden_request_is_written() {
        let mut out = [0; FRAME_LEN_MAX];
        let request = Arp::request(SENDER, CLIENT, FRONTEND);
        assert_eq!(request.emit(&mut out, MacAddr::BROADCAST, None), Some(42));
        assert_eq!(out[..42], hex(GOLDEN));
        assert_eq!(request.emit(&mut out, MacAddr::BROADCAST, Some(7)), Some(46));
        assert_eq!(out[12..18], [0x81, 0, 0, 7, 8, 6]);
        assert_eq!(out[18..], hex(GOLDEN)[14..]);
    }

    #[test]
    fn every_truncation_is_refused_and_padding_is_not() {
        let mut bytes = hex(GOLDEN)[14..].to_vec();
        for len in 0..bytes.len() {
            assert_eq!(parse(&bytes[..len]), Err(ArpError::Truncated), "{len} bytes");
        }
        bytes.resize(46, 0xee);
        assert!(parse(&bytes).is_ok());
    }

    #[test]
    fn each_wrong_field_has_its_own_error() {
        let golden = hex(GOLDEN)[14..].to_vec();
        for (changes, error) in [
            (&[(1, 6)][..], ArpError::HardwareType),
            (&[(0, 1)], ArpError::HardwareType),
            (&[(2, 0x86), (3, 0xdd)], ArpError::ProtocolType),
            (&[(4, 8)], ArpError::HardwareLength),
            (&[(4, 0)], ArpError::HardwareLength),
            (&[(5, 16)], ArpError::ProtocolLength),
            (&[(7, 0)], ArpError::Operation),
            (&[(7, 3)], ArpError::Operation),
            (&[(6, 1)], ArpError::Operation),
            (&[(8, 3)], ArpError::SenderMac),
            (&[(8, 0), (13, 0)], ArpError::SenderMac),
            (&[(14, 127)], ArpError::SenderIp),
            (&[(14, 224)], ArpError::SenderIp),
            (&[(14, 255), (15, 255), (16, 255), (17, 255)], ArpError::SenderIp),
            (&[(14, 0)], ArpError::SenderIp),
        ] {
            assert_eq!(parse(&with(&golden, changes)), Err(error), "{changes:?}");
        }
    }

    #[test]
    fn a_probe_has_no_sender_address() {
        let probe = with(&hex(GOLDEN)[14..], &[(14, 0), (15, 0), (16, 0), (17, 0)]);
        assert_eq!(parse(&probe).unwrap().sender_ip, Ipv4Addr::UNSPECIFIED);
    }

    #[test]
    fn a_short_buffer_is_left_alone() {
        let mut out = [0xaa; 45];
        let request = Arp::request(SENDER, CLIENT, FRONTEND);
        assert_eq!(request.emit(&mut out[..41], OWNER, None), None);
        assert_eq!(request.emit(&mut out, OWNER, Some(7)), None);
        assert_eq!(out, [0xaa; 45]);
    }

    proptest! {
        #[test]
        fn parse_after_emit_is_identity(
            reply: bool, sender_mac in station(), target_mac: [u8; 6], sender_ip in host(), target_ip: u32,
            vlan in proptest::option::of(1u16..4095)
        ) {
            let op = if reply { ArpOp::Reply } else { ArpOp::Request };
            let (target_mac, target_ip) = (MacAddr(target_mac), target_ip.into());
            let arp = Arp { op, sender_mac, sender_ip, target_mac, target_ip };
            let mut out = [0; FRAME_LEN_MAX];
            let len = arp.emit(&mut out, MacAddr::BROADCAST, vlan).unwrap();
            let l2 = ethernet::parse(&out[..len]).unwrap();
            prop_assert_eq!((l2.vlan, l2.src, l2.dst), (vlan, sender_mac, MacAddr::BROADCAST));
            prop_assert_eq!(parse(&out[l2.header_len..len]), Ok(arp));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}

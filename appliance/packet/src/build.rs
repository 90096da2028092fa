//! Whole frames for tests and generators, with right lengths and checksums.
//!
//! ```
//! use spillway_packet::{build, flow, tcp::TcpFlags};
//! let frame = build::tcp("192.0.2.1:40000".parse()?, "198.51.100.10:80".parse()?)
//!     .flags(TcpFlags::SYN)
//!     .vlan(Some(7))
//!     .finish();
//! let parsed = flow::parse(&frame);
//! assert!(matches!(parsed.kind, flow::Kind::Tcp(meta) if meta.dport == 80));
//! assert_eq!(parsed.vlan, Some(7));
//! # Ok::<(), core::net::AddrParseError>(())
//! ```

use alloc::vec;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddrV4};

use crate::MacAddr;
use crate::checksum;
use crate::ethernet::{self, ethertype};
use crate::icmp::icmp_type;
use crate::ipv4::{self, Ipv4Repr, protocol};
use crate::tcp::{TcpFlags, TcpRepr};
use crate::udp::UdpRepr;

/// Destination of frames that say nothing else.
pub const DST_MAC: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 0x02]);
/// Source of frames that say nothing else.
pub const SRC_MAC: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 0x01]);

#[derive(Copy, Clone, Debug)]
enum Transport {
    Tcp(TcpRepr),
    Udp { sport: u16, dport: u16, checksum: bool },
    Echo { icmp_type: u8, identifier: u16, sequence: u16 },
}

/// A frame in the making; every field has a default.
#[derive(Clone, Debug)]
pub struct Builder {
    src_mac: MacAddr,
    dst_mac: MacAddr,
    vlan: Option<u16>,
    src: Ipv4Addr,
    dst: Ipv4Addr,
    ttl: u8,
    identification: u16,
    transport: Transport,
    payload: Vec<u8>,
}

fn builder(src: Ipv4Addr, dst: Ipv4Addr, transport: Transport) -> Builder {
    Builder {
        src_mac: SRC_MAC,
        dst_mac: DST_MAC,
        vlan: None,
        src,
        dst,
        ttl: ipv4::TTL_DEFAULT,
        identification: 0,
        transport,
        payload: Vec::new(),
    }
}

/// A TCP segment: by default an ACK without payload, sequence numbers 0, window 65,535.
pub fn tcp(src: SocketAddrV4, dst: SocketAddrV4) -> Builder {
    let tcp = TcpRepr {
        sport: src.port(),
        dport: dst.port(),
        seq: 0,
        ack: 0,
        flags: TcpFlags::ACK,
        window: u16::MAX,
    };
    builder(*src.ip(), *dst.ip(), Transport::Tcp(tcp))
}

/// A UDP datagram, by default empty and with a checksum.
pub fn udp(src: SocketAddrV4, dst: SocketAddrV4) -> Builder {
    let (sport, dport) = (src.port(), dst.port());
    builder(*src.ip(), *dst.ip(), Transport::Udp { sport, dport, checksum: true })
}

/// An ICMP echo request, by default without data.
pub fn icmp_echo(src: Ipv4Addr, dst: Ipv4Addr, identifier: u16, sequence: u16) -> Builder {
    let icmp_type = icmp_type::ECHO_REQUEST;
    builder(src, dst, Transport::Echo { icmp_type, identifier, sequence })
}

/// An ICMP echo reply, by default without data.
pub fn icmp_echo_reply(src: Ipv4Addr, dst: Ipv4Addr, identifier: u16, sequence: u16) -> Builder {
    let icmp_type = icmp_type::ECHO_REPLY;
    builder(src, dst, Transport::Echo { icmp_type, identifier, sequence })
}

impl Builder {
    #[must_use]
    pub fn macs(mut self, src: MacAddr, dst: MacAddr) -> Self {
        (self.src_mac, self.dst_mac) = (src, dst);
        self
    }

    /// The 802.1Q tag's VID.
    #[must_use]
    pub fn vlan(mut self, vlan: Option<u16>) -> Self {
        self.vlan = vlan;
        self
    }

    #[must_use]
    pub fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    #[must_use]
    pub fn identification(mut self, identification: u16) -> Self {
        self.identification = identification;
        self
    }

    /// Bytes after the transport header; more than fit an IPv4 packet are cut off.
    #[must_use]
    pub fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.get(..65_000).unwrap_or(payload).to_vec();
        self
    }

    /// TCP only: the control bits. Another transport ignores it, as it does the next two.
    #[must_use]
    pub fn flags(mut self, flags: TcpFlags) -> Self {
        if let Transport::Tcp(tcp) = &mut self.transport {
            tcp.flags = flags;
        }
        self
    }

    /// TCP only: sequence and acknowledgement number.
    #[must_use]
    pub fn seq_ack(mut self, seq: u32, ack: u32) -> Self {
        if let Transport::Tcp(tcp) = &mut self.transport {
            (tcp.seq, tcp.ack) = (seq, ack);
        }
        self
    }

    /// TCP only: the receive window.
    #[must_use]
    pub fn window(mut self, window: u16) -> Self {
        if let Transport::Tcp(tcp) = &mut self.transport {
            tcp.window = window;
        }
        self
    }

    /// UDP only: the sender computes no checksum (field 0).
    #[must_use]
    pub fn without_udp_checksum(mut self) -> Self {
        if let Transport::Udp { checksum, .. } = &mut self.transport {
            *checksum = false;
        }
        self
    }

    /// The frame, without link padding.
    pub fn finish(&self) -> Vec<u8> {
        let (protocol, segment) = self.segment();
        // The payload was cut, so that the length fits.
        let payload_len = u16::try_from(segment.len()).unwrap_or(u16::MAX);
        let ip = Ipv4Repr {
            src: self.src,
            dst: self.dst,
            protocol,
            ttl: self.ttl,
            identification: self.identification,
            dont_fragment: true,
            payload_len,
        };
        let mut frame = vec![0; ethernet::header_len(self.vlan)];
        ethernet::emit(&mut frame, self.dst_mac, self.src_mac, self.vlan, ethertype::IPV4);
        frame.extend_from_slice(&ip.emit());
        frame.extend_from_slice(&segment);
        frame
    }

    fn segment(&self) -> (u8, Vec<u8>) {
        let with = |header: &[u8]| [header, &self.payload].concat();
        let sum = |protocol, segment: &[u8]| {
            checksum::transport_ipv4(self.src, self.dst, protocol, segment)
        };
        match self.transport {
            Transport::Tcp(tcp) => {
                let check = sum(protocol::TCP, &with(&tcp.emit(0)));
                (protocol::TCP, with(&tcp.emit(check)))
            }
            Transport::Udp { sport, dport, checksum } => {
                let payload_len = u16::try_from(self.payload.len()).unwrap_or(u16::MAX);
                let udp = UdpRepr { sport, dport, payload_len };
                let check = if checksum {
                    checksum::udp_field(sum(protocol::UDP, &with(&udp.emit(0))))
                } else {
                    0
                };
                (protocol::UDP, with(&udp.emit(check)))
            }
            Transport::Echo { icmp_type, identifier, sequence } => {
                let [i0, i1] = identifier.to_be_bytes();
                let [s0, s1] = sequence.to_be_bytes();
                let check = checksum::full(&with(&[icmp_type, 0, 0, 0, i0, i1, s0, s1]));
                let [c0, c1] = check.to_be_bytes();
                (protocol::ICMP, with(&[icmp_type, 0, c0, c1, i0, i1, s0, s1]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::{full, transport_ipv4};
    use crate::testing::{CLIENT, FRONTEND};
    use proptest::prelude::*;

    fn ends() -> (SocketAddrV4, SocketAddrV4) {
        (SocketAddrV4::new(CLIENT, 40000), SocketAddrV4::new(FRONTEND, 30645))
    }

    #[test]
    fn what_belongs_to_tcp_changes_no_other_frame() {
        let (src, dst) = ends();
        let plain = udp(src, dst).finish();
        let odd = udp(src, dst).flags(TcpFlags::FIN).seq_ack(1, 2).window(3).finish();
        assert_eq!(plain, odd);
        assert_eq!(tcp(src, dst).without_udp_checksum().finish(), tcp(src, dst).finish());
    }

    #[test]
    fn each_setting_is_written_in_its_place() {
        let (src, dst) = ends();
        let frame = tcp(src, dst)
            .macs(MacAddr([2, 0, 0, 0, 0, 9]), MacAddr::BROADCAST)
            .vlan(Some(5))
            .ttl(3)
            .identification(0x1234)
            .flags(TcpFlags::SYN | TcpFlags::ACK)
            .seq_ack(0x0506_0708, 0x090a_0b0c)
            .window(0x0d0e)
            .payload(b"x")
            .finish();
        assert_eq!(frame[..12], [255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 9]);
        assert_eq!(frame[12..18], [0x81, 0, 0, 5, 8, 0]);
        assert_eq!((&frame[22..24], frame[26]), (&[0x12, 0x34][..], 3));
        assert_eq!(frame[42..54], [5, 6, 7, 8, 9, 10, 11, 12, 0x50, 0x12, 13, 14]);
        assert_eq!(frame[58..], *b"x");
    }

    #[test]
    fn a_udp_checksum_that_comes_out_as_zero_is_sent_as_all_ones() {
        let (src, dst) = ends();
        let without = udp(src, dst).payload(&[0, 0]).finish();
        // A word that equals the checksum brings the sum to 0xffff and the checksum to 0.
        let frame = udp(src, dst).payload(&without[40..42]).finish();
        assert_eq!(frame[40..42], [0xff, 0xff]);
    }

    #[test]
    fn a_payload_beyond_an_ip_packet_is_cut() {
        let (src, dst) = ends();
        let frame = udp(src, dst).payload(&vec![0; 70_000]).finish();
        assert_eq!(frame.len(), 14 + 20 + 8 + 65_000);
    }

    proptest! {
        #[test]
        fn every_checksum_verifies(src: u32, dst: u32, sport: u16, dport: u16, payload: Vec<u8>) {
            let (src, dst) = (Ipv4Addr::from(src), Ipv4Addr::from(dst));
            let (from, to) = (SocketAddrV4::new(src, sport), SocketAddrV4::new(dst, dport));
            let tcp = tcp(from, to).payload(&payload).finish();
            let udp = udp(from, to).payload(&payload).finish();
            let echo = icmp_echo(src, dst, sport, dport).payload(&payload).finish();
            for frame in [&tcp, &udp, &echo] {
                prop_assert_eq!(full(&frame[14..34]), 0);
            }
            prop_assert_eq!(transport_ipv4(src, dst, protocol::TCP, &tcp[34..]), 0);
            prop_assert_eq!(transport_ipv4(src, dst, protocol::UDP, &udp[34..]), 0);
            prop_assert_ne!(&udp[40..42], &[0, 0]);
            prop_assert_eq!(full(&echo[34..]), 0);
        }
    }
}

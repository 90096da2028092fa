//! Frames that must be refused, each with the reason: one line each.
use super::*;
use crate::build;
use crate::testing::{CLIENT, FRONTEND, sealed, with};
use Malformed as M;
use core::net::SocketAddrV4;

/// Offsets in an untagged frame.
const L3: usize = 14;
const L4: usize = 34;

#[derive(Copy, Clone)]
enum Base {
    Tcp,
    Udp,
    Icmp,
    TaggedTcp,
}

impl Base {
    /// Eight bytes of payload each.
    fn frame(self) -> Vec<u8> {
        let client = SocketAddrV4::new(CLIENT, 40000);
        let frontend = SocketAddrV4::new(FRONTEND, 30645);
        let builder = match self {
            Self::Tcp => build::tcp(client, frontend),
            Self::TaggedTcp => build::tcp(client, frontend).vlan(Some(7)),
            Self::Udp => build::udp(client, frontend),
            Self::Icmp => build::icmp_echo(CLIENT, FRONTEND, 1, 1),
        };
        builder.payload(b"payload!").finish()
    }
}

/// Description, valid frame, bytes to change, length to cut it to (0: whole), reason.
/// The IPv4 header checksum is made right afterwards.
type Row = (&'static str, Base, &'static [(usize, u8)], usize, M);

const ROWS: &[Row] = &[
    // Link layer.
    ("one byte", Base::Tcp, &[], 1, M::Truncated),
    ("destination MAC only", Base::Tcp, &[], 6, M::Truncated),
    ("one byte short of an Ethernet header", Base::Tcp, &[], 13, M::Truncated),
    ("tag control cut", Base::TaggedTcp, &[], 15, M::Truncated),
    ("tag without inner EtherType", Base::TaggedTcp, &[], 17, M::Truncated),
    ("VLAN 4095", Base::TaggedTcp, &[(14, 0x0f), (15, 0xff)], 0, M::BadVlan),
    ("VLAN 4095 with priority", Base::TaggedTcp, &[(14, 0xef), (15, 0xff)], 0, M::BadVlan),
    ("802.1ad outer tag", Base::TaggedTcp, &[(12, 0x88), (13, 0xa8)], 0, M::DoubleTag),
    ("two 802.1Q tags", Base::TaggedTcp, &[(16, 0x81), (17, 0x00)], 0, M::DoubleTag),
    ("802.1ad inner tag", Base::TaggedTcp, &[(16, 0x88), (17, 0xa8)], 0, M::DoubleTag),
    ("source MAC multicast", Base::Tcp, &[(6, 0x01)], 0, M::BadSourceMac),
    ("source MAC zero", Base::Tcp, &[(6, 0), (11, 0)], 0, M::BadSourceMac),
    ("source MAC zero behind a tag", Base::TaggedTcp, &[(6, 0), (11, 0)], 0, M::BadSourceMac),
    // IPv4: lengths.
    ("no IPv4 header at all", Base::Tcp, &[], 14, M::Truncated),
    ("one byte of IPv4", Base::Tcp, &[], 15, M::Truncated),
    ("IPv4 header one byte short", Base::Tcp, &[], 33, M::Truncated),
    ("IPv4 header one byte short behind a tag", Base::TaggedTcp, &[], 37, M::Truncated),
    ("version 0", Base::Tcp, &[(L3, 0x05)], 0, M::BadIpVersion),
    ("version 5", Base::Tcp, &[(L3, 0x55)], 0, M::BadIpVersion),
    ("version 6 under IPv4's EtherType", Base::Tcp, &[(L3, 0x65)], 0, M::BadIpVersion),
    ("version 15", Base::Udp, &[(L3, 0xf5)], 0, M::BadIpVersion),
    ("IHL 0", Base::Tcp, &[(L3, 0x40)], 0, M::BadIpHeaderLength),
    ("IHL 1", Base::Tcp, &[(L3, 0x41)], 0, M::BadIpHeaderLength),
    ("IHL 4", Base::Udp, &[(L3, 0x44)], 0, M::BadIpHeaderLength),
    ("IHL beyond the frame", Base::Udp, &[(L3, 0x4f)], 0, M::BadIpHeaderLength),
    ("IHL one word beyond a cut frame", Base::Tcp, &[(L3, 0x46)], 37, M::BadIpHeaderLength),
    ("total length 0", Base::Tcp, &[(L3 + 3, 0)], 0, M::BadIpTotalLength),
    ("total length 1", Base::Tcp, &[(L3 + 3, 1)], 0, M::BadIpTotalLength),
    ("total length 19", Base::Tcp, &[(L3 + 3, 19)], 0, M::BadIpTotalLength),
    ("total length inside options", Base::Tcp, &[(L3, 0x46), (L3 + 3, 20)], 0, M::BadIpTotalLength),
    ("total length one beyond the frame", Base::Tcp, &[(L3 + 3, 49)], 0, M::BadIpTotalLength),
    ("total length 65535", Base::Udp, &[(L3 + 2, 255), (L3 + 3, 255)], 0, M::BadIpTotalLength),
    ("frame one byte short", Base::Udp, &[], 49, M::BadIpTotalLength),
    ("tagged frame one byte short", Base::TaggedTcp, &[], 65, M::BadIpTotalLength),
    ("header only of three", Base::Icmp, &[], 34, M::BadIpTotalLength),
    // IPv4: flags, fragments, TTL.
    ("reserved flag", Base::Tcp, &[(L3 + 6, 0x80)], 0, M::BadIpFlags),
    ("reserved flag and DF", Base::Udp, &[(L3 + 6, 0xc0)], 0, M::BadIpFlags),
    ("all flags", Base::Icmp, &[(L3 + 6, 0xe0)], 0, M::BadIpFlags),
    ("empty first fragment", Base::Udp, &[(L3 + 3, 20), (L3 + 6, 0x20)], 0, M::BadFragment),
    ("empty last fragment", Base::Udp, &[(L3 + 3, 20), (L3 + 7, 1)], 0, M::BadFragment),
    ("torn first fragment", Base::Tcp, &[(L3 + 6, 0x20)], 0, M::BadFragment),
    ("torn middle one", Base::Udp, &[(L3 + 3, 35), (L3 + 6, 0x20), (L3 + 7, 9)], 0, M::BadFragment),
    ("ping of death", Base::Icmp, &[(L3 + 6, 0x1f), (L3 + 7, 0xff)], 0, M::BadFragment),
    ("offset that wraps", Base::Udp, &[(L3 + 6, 0x1f), (L3 + 7, 0xfd)], 0, M::BadFragment),
    ("DF, MF and torn", Base::Tcp, &[(L3 + 6, 0x60), (L3 + 3, 47)], 0, M::BadFragment),
    ("TTL 0", Base::Tcp, &[(L3 + 8, 0)], 0, M::TtlZero),
    ("TTL 0 of UDP", Base::Udp, &[(L3 + 8, 0)], 0, M::TtlZero),
    ("TTL 0 of an unknown transport", Base::Udp, &[(L3 + 8, 0), (L3 + 9, 132)], 0, M::TtlZero),
    // TCP.
    ("no TCP at all", Base::Tcp, &[(L3 + 3, 20)], 0, M::BadTcpHeader),
    ("ports only", Base::Tcp, &[(L3 + 3, 24)], 0, M::BadTcpHeader),
    ("TCP header one byte short", Base::Tcp, &[(L3 + 3, 39)], 0, M::BadTcpHeader),
    ("data offset 0", Base::Tcp, &[(L4 + 12, 0x00)], 0, M::BadTcpHeader),
    ("data offset 4", Base::Tcp, &[(L4 + 12, 0x40)], 0, M::BadTcpHeader),
    ("data offset one word beyond", Base::Tcp, &[(L4 + 12, 0x80)], 0, M::BadTcpHeader),
    ("data offset 15 of a short one", Base::Tcp, &[(L4 + 12, 0xf0)], 0, M::BadTcpHeader),
    ("options into padding", Base::Tcp, &[(L4 + 12, 0x60), (L3 + 3, 43)], 0, M::BadTcpHeader),
    ("NULL", Base::Tcp, &[(L4 + 13, 0x00)], 0, M::BadTcpFlags),
    ("SYN+FIN", Base::Tcp, &[(L4 + 13, 0x03)], 0, M::BadTcpFlags),
    ("SYN+FIN+ACK", Base::Tcp, &[(L4 + 13, 0x13)], 0, M::BadTcpFlags),
    ("SYN+RST", Base::Tcp, &[(L4 + 13, 0x06)], 0, M::BadTcpFlags),
    ("SYN+RST+ACK", Base::Tcp, &[(L4 + 13, 0x16)], 0, M::BadTcpFlags),
    ("FIN+RST", Base::Tcp, &[(L4 + 13, 0x05)], 0, M::BadTcpFlags),
    ("FIN alone", Base::Tcp, &[(L4 + 13, 0x01)], 0, M::BadTcpFlags),
    ("XMAS", Base::Tcp, &[(L4 + 13, 0x29)], 0, M::BadTcpFlags),
    ("PSH alone", Base::Tcp, &[(L4 + 13, 0x08)], 0, M::BadTcpFlags),
    ("URG alone", Base::Tcp, &[(L4 + 13, 0x20)], 0, M::BadTcpFlags),
    ("ECE and CWR alone", Base::Tcp, &[(L4 + 13, 0xc0)], 0, M::BadTcpFlags),
    ("all TCP flags", Base::TaggedTcp, &[(L4 + 4 + 13, 0xff)], 0, M::BadTcpFlags),
    ("TCP source port 0", Base::Tcp, &[(L4, 0), (L4 + 1, 0)], 0, M::ZeroPort),
    ("TCP destination port 0", Base::Tcp, &[(L4 + 2, 0), (L4 + 3, 0)], 0, M::ZeroPort),
    // UDP.
    ("no UDP at all", Base::Udp, &[(L3 + 3, 20)], 0, M::BadUdpLength),
    ("UDP header one byte short", Base::Udp, &[(L3 + 3, 27)], 0, M::BadUdpLength),
    ("UDP length 0", Base::Udp, &[(L4 + 5, 0)], 0, M::BadUdpLength),
    ("UDP length 7", Base::Udp, &[(L4 + 5, 7)], 0, M::BadUdpLength),
    ("UDP length one beyond", Base::Udp, &[(L4 + 5, 17)], 0, M::BadUdpLength),
    ("UDP length 65535", Base::Udp, &[(L4 + 4, 255), (L4 + 5, 255)], 0, M::BadUdpLength),
    ("UDP length into padding", Base::Udp, &[(L3 + 3, 35)], 0, M::BadUdpLength),
    ("UDP source port 0", Base::Udp, &[(L4, 0), (L4 + 1, 0)], 0, M::ZeroPort),
    ("UDP destination port 0", Base::Udp, &[(L4 + 2, 0), (L4 + 3, 0)], 0, M::ZeroPort),
    // ICMP.
    ("no ICMP at all", Base::Icmp, &[(L3 + 3, 20)], 0, M::IcmpTruncated),
    ("ICMP type only", Base::Icmp, &[(L3 + 3, 21)], 0, M::IcmpTruncated),
    ("ICMP one byte short", Base::Icmp, &[(L3 + 3, 27)], 0, M::IcmpTruncated),
];

#[test]
fn each_malformed_frame_has_its_reason() {
    assert!(ROWS.len() >= 60, "{} rows", ROWS.len());
    for (what, base, changes, len, reason) in ROWS {
        let mut frame = with(&base.frame(), changes);
        if *len != 0 {
            assert!(*len < frame.len(), "{what}: nothing is cut");
            frame.truncate(*len);
        }
        let frame = sealed(&frame);
        assert_eq!(common::untagged(&frame).or(common::tagged(&frame)), None, "{what}");
        assert_eq!(parse(&frame).kind, Kind::Malformed(*reason), "{what}");
    }
}

#[test]
fn without_its_fault_each_base_is_read() {
    for base in [Base::Tcp, Base::Udp, Base::Icmp, Base::TaggedTcp] {
        let parsed = parse(&sealed(&base.frame()));
        assert!(parsed.l4 != 0, "{parsed:?}");
    }
}

#[test]
fn an_empty_frame_is_truncated() {
    assert_eq!(parse(&[]).kind, Kind::Malformed(M::Truncated));
}

#[test]
fn a_wrong_bit_anywhere_in_the_ip_header_is_never_read_as_the_packet() {
    let frame = Base::Tcp.frame();
    for bit in 0..160 {
        let at = L3 + bit / 8;
        let parsed = parse(&with(&frame, &[(at, frame[at] ^ 1 << (bit % 8))]));
        assert!(matches!(parsed.kind, Kind::Malformed(_)), "bit {bit}: {parsed:?}");
    }
}

#[test]
fn a_wrong_checksum_is_named_as_such() {
    let frame = Base::Udp.frame();
    for at in [L3 + 1, L3 + 4, L3 + 9, L3 + 10, L3 + 11, L3 + 12, L3 + 19] {
        let parsed = parse(&with(&frame, &[(at, frame[at] ^ 0x10)]));
        assert_eq!(parsed.kind, Kind::Malformed(M::BadIpChecksum), "byte {at}");
    }
}

#[test]
fn every_reason_occurs() {
    for reason in M::ALL {
        let occurs = reason == M::BadIpChecksum || ROWS.iter().any(|row| row.4 == reason);
        assert!(occurs, "{reason:?} is in no row");
        assert!(!reason.to_string().is_empty());
    }
}

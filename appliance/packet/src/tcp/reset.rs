//! The RST that answers a segment of no connection.

use crate::addr;
use crate::checksum;
use crate::ipv4::{self, Ipv4Repr, protocol};
use crate::tcp::{Tcp, TcpFlags, TcpRepr};

/// Length of what [`reset`] writes in bytes: IPv4 header and TCP header.
pub const RESET_LEN: usize = ipv4::HEADER_LEN + super::HEADER_LEN;

/// Writes the IPv4 packet with the RST that RFC 9293, 3.10.7.1 sends in answer to the segment in
/// `original_l3` and returns its length.
///
/// `None`, and nothing written, when there must be no answer: the segment is itself a RST, is a
/// fragment, is not TCP, is malformed, or an address of it names no single host.
pub fn reset(original_l3: &[u8], out: &mut [u8; RESET_LEN]) -> Option<usize> {
    let packet = ipv4::parse(original_l3).ok()?;
    if packet.protocol != protocol::TCP
        || packet.is_fragment()
        || addr::is_bogon_source(packet.src)
        || !addr::is_unicast_destination(packet.dst)
    {
        return None;
    }
    let segment = Tcp::parse(packet.payload(original_l3)).ok()?;
    if segment.flags().rst() {
        return None;
    }
    let (seq, ack, flags) = if segment.flags().ack() {
        (segment.ack(), 0, TcpFlags::RST)
    } else {
        let ack = segment.seq().wrapping_add(segment.seq_len());
        (0, ack, TcpFlags::RST | TcpFlags::ACK)
    };
    let (sport, dport) = (segment.dst_port(), segment.src_port());
    let tcp = TcpRepr { sport, dport, seq, ack, flags, window: 0 };
    let check = checksum::transport_ipv4(packet.dst, packet.src, protocol::TCP, &tcp.emit(0));
    let ip = Ipv4Repr::own(packet.dst, packet.src, protocol::TCP, 20);
    let (l3, l4) = out.split_at_mut_checked(ipv4::HEADER_LEN)?;
    l3.copy_from_slice(&ip.emit());
    l4.copy_from_slice(&tcp.emit(check));
    Some(RESET_LEN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build;
    use crate::checksum::transport_ipv4;
    use crate::testing::{CLIENT, FRONTEND, hex, host, sealed, with};
    use core::net::SocketAddrV4;
    use proptest::prelude::*;

    fn frame(flags: TcpFlags) -> Vec<u8> {
        build::tcp(SocketAddrV4::new(CLIENT, 40000), SocketAddrV4::new(FRONTEND, 30645))
            .flags(flags)
            .seq_ack(0x0102_0304, 0x0a0b_0c0d)
            .payload(b"data")
            .finish()
    }

    fn answer(frame: &[u8]) -> Option<[u8; RESET_LEN]> {
        let mut out = [0xaa; RESET_LEN];
        let len = reset(&frame[14..], &mut out);
        if len.is_none() {
            assert_eq!(out, [0xaa; RESET_LEN], "nothing is written");
        }
        len.map(|len| {
            assert_eq!(len, RESET_LEN);
            out
        })
    }

    #[test]
    fn a_golden_syn_gets_the_golden_reset() {
        let syn = build::tcp(SocketAddrV4::new(CLIENT, 40000), SocketAddrV4::new(FRONTEND, 30645))
            .flags(TcpFlags::SYN)
            .seq_ack(0x0102_0304, 0)
            .finish();
        let golden = "45000028 00004000 40067e35 ac1a3265 ac1a3201
                      77b59c40 00000000 01020305 50140000 db380000";
        assert_eq!(answer(&syn).unwrap()[..], hex(golden));
    }

    #[test]
    fn sequence_numbers_follow_the_segment() {
        let [fin, syn, ack] = [TcpFlags::FIN, TcpFlags::SYN, TcpFlags::ACK];
        let seq = 0x0102_0304;
        for (flags, expected) in [
            // Without ACK: the number after everything that was sent.
            (syn, (0, seq + 5, TcpFlags::RST | ack)),
            (syn | fin, (0, seq + 6, TcpFlags::RST | ack)),
            (TcpFlags::default(), (0, seq + 4, TcpFlags::RST | ack)),
            // With ACK: the number that the sender expects.
            (ack, (0x0a0b_0c0d, 0, TcpFlags::RST)),
            (syn | ack, (0x0a0b_0c0d, 0, TcpFlags::RST)),
            (fin | ack, (0x0a0b_0c0d, 0, TcpFlags::RST)),
        ] {
            let out = answer(&frame(flags)).unwrap();
            let tcp = Tcp::parse(&out[20..]).unwrap();
            assert_eq!((tcp.seq(), tcp.ack(), tcp.flags()), expected, "answer to {flags}");
        }
    }

    #[test]
    fn padding_is_not_counted_as_data() {
        let mut padded = frame(TcpFlags::SYN);
        padded.resize(70, 0);
        assert_eq!(answer(&padded), answer(&frame(TcpFlags::SYN)));
    }

    #[test]
    fn what_must_not_be_answered_is_not() {
        let ack = frame(TcpFlags::ACK);
        for (what, frame) in [
            ("a RST", frame(TcpFlags::RST)),
            ("a RST with ACK", frame(TcpFlags::RST | TcpFlags::ACK)),
            ("UDP", sealed(&with(&ack, &[(23, 17)]))),
            ("a first fragment", sealed(&with(&ack, &[(20, 0x20)]))),
            ("a later fragment", sealed(&with(&ack, &[(21, 1)]))),
            ("a source of loopback", sealed(&with(&ack, &[(26, 127)]))),
            ("a source of multicast", sealed(&with(&ack, &[(26, 224)]))),
            ("a destination of multicast", sealed(&with(&ack, &[(30, 239)]))),
            ("a destination of broadcast", sealed(&with(&ack, &[(30, 255)]))),
            ("a wrong header checksum", with(&ack, &[(24, 0)])),
            ("a data offset beyond the segment", with(&ack, &[(46, 0xf0)])),
            ("a cut frame", ack[..50].to_vec()),
        ] {
            assert_eq!(answer(&frame), None, "{what}");
        }
    }

    #[test]
    fn a_reset_is_not_answered_with_a_reset() {
        let out = answer(&frame(TcpFlags::SYN)).unwrap();
        assert_eq!(reset(&out, &mut [0; RESET_LEN]), None);
    }

    proptest! {
        #[test]
        fn both_checksums_of_every_reset_verify(
            src in host(), dst in host(), sport: u16, dport: u16, seq: u32, ack: u32, bits: u8, payload: Vec<u8>
        ) {
            let flags = TcpFlags::from_bits(bits & !TcpFlags::RST.bits());
            let frame = build::tcp(SocketAddrV4::new(src, sport), SocketAddrV4::new(dst, dport))
                .flags(flags).seq_ack(seq, ack).payload(&payload).finish();
            let out = answer(&frame).unwrap();
            let packet = ipv4::parse(&out).unwrap();
            prop_assert_eq!((packet.src, packet.dst, packet.ttl), (dst, src, 64));
            prop_assert_eq!(transport_ipv4(dst, src, protocol::TCP, packet.payload(&out)), 0);
            let tcp = Tcp::parse(packet.payload(&out)).unwrap();
            prop_assert_eq!((tcp.src_port(), tcp.dst_port()), (dport, sport));
        }
    }
}

use super::*;
use crate::build;
use crate::testing::{CLIENT, FRONTEND, hex, with};
use core::net::SocketAddrV4;
use proptest::prelude::*;

const SYN: &str = "020000000002 020000000001 0800
    45000028 00004000 40067e35 ac1a3201 ac1a3265
    9c4077b5 01020304 00000000 5002faf0 e05a0000";

const META: TcpMeta = TcpMeta {
    src: CLIENT,
    dst: FRONTEND,
    sport: 40000,
    dport: 30645,
    flags: TcpFlags::SYN,
    ttl: 64,
    total_len: 40,
};

fn client() -> SocketAddrV4 {
    SocketAddrV4::new(CLIENT, 40000)
}

fn frontend() -> SocketAddrV4 {
    SocketAddrV4::new(FRONTEND, 30645)
}

/// A valid frame of each kind that [`build`] makes.
pub(super) fn valid_frame() -> impl Strategy<Value = Vec<u8>> {
    let vlan = proptest::option::of(1u16..4095);
    (0u8..5, vlan, proptest::collection::vec(any::<u8>(), 0..64)).prop_map(
        |(kind, vlan, payload)| {
            let builder = match kind {
                0 => build::tcp(client(), frontend()).flags(TcpFlags::SYN),
                1 => build::tcp(client(), frontend()),
                2 => build::udp(client(), frontend()),
                3 => build::udp(client(), frontend()).without_udp_checksum(),
                _ => build::icmp_echo(CLIENT, FRONTEND, 7, 1),
            };
            builder.vlan(vlan).payload(&payload).finish()
        },
    )
}

#[test]
fn a_golden_syn_is_read() {
    let parsed = parse(&hex(SYN));
    assert_eq!(parsed, Parsed { kind: Kind::Tcp(META), vlan: None, l3: 14, l4: 34 });
    let built = build::tcp(client(), frontend())
        .flags(TcpFlags::SYN)
        .seq_ack(0x0102_0304, 0)
        .window(64240)
        .finish();
    assert_eq!(built, hex(SYN), "the builder writes the golden bytes");
}

#[test]
fn a_tag_moves_the_offsets_by_four() {
    let mut frame = hex(SYN);
    frame.splice(12..12, [0x81, 0x00, 0x20, 0x07]);
    assert_eq!(parse(&frame), Parsed { kind: Kind::Tcp(META), vlan: Some(7), l3: 18, l4: 38 });
    let priority = with(&frame, &[(15, 0)]);
    assert_eq!(parse(&priority), Parsed { kind: Kind::Tcp(META), vlan: None, l3: 18, l4: 38 });
}

#[test]
fn padding_to_the_minimum_frame_changes_nothing() {
    let mut frame = hex(SYN);
    frame.resize(60, 0);
    assert_eq!(parse(&frame).kind, Kind::Tcp(META));
}

#[test]
fn udp_and_echo_are_read() {
    let udp = parse(&build::udp(client(), frontend()).payload(b"abc").ttl(3).finish());
    let meta =
        UdpMeta { src: CLIENT, dst: FRONTEND, sport: 40000, dport: 30645, ttl: 3, total_len: 31 };
    assert_eq!(udp, Parsed { kind: Kind::Udp(meta), vlan: None, l3: 14, l4: 34 });
    let echo =
        EchoMeta { src: CLIENT, dst: FRONTEND, identifier: 7, sequence: 9, ttl: 64, total_len: 28 };
    let request = parse(&build::icmp_echo(CLIENT, FRONTEND, 7, 9).finish());
    assert_eq!(request, Parsed { kind: Kind::IcmpEchoRequest(echo), vlan: None, l3: 14, l4: 34 });
    let reply = parse(&build::icmp_echo_reply(CLIENT, FRONTEND, 7, 9).finish());
    assert_eq!(reply, Parsed { kind: Kind::IcmpEchoReply(echo), vlan: None, l3: 14, l4: 34 });
}

#[test]
fn other_icmp_is_told_apart_by_type_and_code() {
    let frame = build::icmp_echo(CLIENT, FRONTEND, 7, 9).finish();
    for (icmp_type, code) in [(3, 3), (8, 1), (0, 1), (11, 0), (13, 0), (255, 255)] {
        let parsed = parse(&with(&frame, &[(34, icmp_type), (35, code)]));
        let meta = IcmpMeta { src: CLIENT, dst: FRONTEND, icmp_type, code, ttl: 64, total_len: 28 };
        assert_eq!(parsed, Parsed { kind: Kind::IcmpOther(meta), vlan: None, l3: 14, l4: 34 });
    }
}

#[test]
fn arp_and_what_is_not_ip_are_told_apart() {
    let head = |ethertype: u16| {
        let mut frame = vec![0; 60];
        crate::ethernet::emit(&mut frame, build::DST_MAC, build::SRC_MAC, None, ethertype);
        frame
    };
    let kind = |ethertype| parse(&head(ethertype)).kind;
    assert_eq!(kind(ethertype::ARP), Kind::Arp);
    for other in [ethertype::IPV6, 0x88cc, 0x0026, 0xffff] {
        assert_eq!(kind(other), Kind::NotIp(other));
    }
    assert_eq!(parse(&head(ethertype::ARP)).l3, 14);
    assert_eq!(parse(&head(ethertype::ARP)).l4, 0);
}

#[test]
fn fragments_options_and_other_transports_are_reported_unread() {
    let meta =
        |protocol, total_len| Ipv4Meta { src: CLIENT, dst: FRONTEND, protocol, ttl: 64, total_len };
    let frame = build::udp(client(), frontend()).payload(&[7; 16]).finish();
    let kind = |changes: &[(usize, u8)]| {
        let parsed = parse(&crate::testing::sealed(&with(&frame, changes)));
        assert_eq!((parsed.l3, parsed.l4), (14, 0));
        parsed.kind
    };
    assert_eq!(kind(&[(20, 0x20)]), Kind::Fragment(meta(17, 44)), "the first");
    assert_eq!(kind(&[(20, 0x20), (21, 2)]), Kind::Fragment(meta(17, 44)), "a middle one");
    assert_eq!(kind(&[(20, 0), (21, 2)]), Kind::Fragment(meta(17, 44)), "the last");
    assert_eq!(kind(&[(14, 0x46)]), Kind::Options(meta(17, 44)));

    assert_eq!(kind(&[(23, 132)]), Kind::OtherTransport(meta(132, 44)));
    let both = kind(&[(14, 0x46), (20, 0x20), (17, 40)]);
    assert_eq!(both, Kind::Fragment(meta(17, 40)), "a fragment with options is a fragment first");
}

fn malformed(malformed: Malformed) -> Kind {
    Kind::Malformed(malformed)
}

#[test]
fn what_is_parsed_per_packet_stays_small() {
    assert!(size_of::<Parsed>() <= 32, "{} bytes", size_of::<Parsed>());
}

#[test]
fn numbers_of_malformed_are_stable_and_dense() {
    let numbers = Malformed::ALL.map(|malformed| malformed as u8);
    assert_eq!(numbers.to_vec(), (1..=16).collect::<Vec<u8>>());
    assert_eq!((Malformed::Truncated as u8, Malformed::IcmpTruncated as u8), (1, 16));
}

#[test]
fn the_common_way_reads_tcp_and_udp_and_leaves_the_rest() {
    let tcp = build::tcp(client(), frontend());
    let udp = build::udp(client(), frontend());
    for common in [tcp.clone(), tcp.vlan(Some(7)), udp.clone(), udp.vlan(Some(7))] {
        let frame = common.finish();
        let read = common::untagged(&frame).or(common::tagged(&frame));
        assert_eq!(read, Some(parse_with_care(&frame)));
    }
    let echo = build::icmp_echo(CLIENT, FRONTEND, 7, 9).finish();
    assert_eq!(common::untagged(&echo).or(common::tagged(&echo)), None);
}

proptest! {
    #[test]
    fn every_frame_that_is_built_is_read_and_nothing_is_lost(
        src: u32, dst: u32, sport in 1u16.., dport in 1u16.., bits: u8, ttl in 1u8.., vlan in proptest::option::of(1u16..4095),
        payload: Vec<u8>
    ) {
        let (src, dst, flags) = (Ipv4Addr::from(src), Ipv4Addr::from(dst), TcpFlags::from_bits(bits));
        let (from, to) = (SocketAddrV4::new(src, sport), SocketAddrV4::new(dst, dport));
        let frame = build::tcp(from, to).flags(flags).ttl(ttl).vlan(vlan).payload(&payload).finish();
        let parsed = parse(&frame);
        let total_len = 40 + u16::try_from(payload.len()).unwrap();
        let tcp = Kind::Tcp(TcpMeta { src, dst, sport, dport, flags, ttl, total_len });
        let bad = malformed(Malformed::BadTcpFlags);
        prop_assert_eq!(parsed.kind, if flags.is_valid() { tcp } else { bad });
        prop_assert_eq!(parsed.vlan, vlan);
        let frame = build::udp(from, to).ttl(ttl).vlan(vlan).payload(&payload).finish();
        let total_len = total_len - 12;
        let udp = Kind::Udp(UdpMeta { src, dst, sport, dport, ttl, total_len });
        prop_assert_eq!(parse(&frame).kind, udp);
    }

    #[test]
    fn mutated_frames_never_panic_and_offsets_stay_inside(
        frame in valid_frame(), changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        cut in proptest::option::of(any::<proptest::sample::Index>()), seal: bool
    ) {
        let mut frame = frame;
        for (at, value) in changes {
            let at = at.index(frame.len());
            frame[at] = value;
        }
        if let Some(cut) = cut {
            frame.truncate(cut.index(frame.len() + 1));
        }
        if seal {
            frame = crate::testing::sealed(&frame);
        }
        let parsed = parse(&frame);
        prop_assert_eq!(parsed, parse_with_care(&frame), "both ways of reading agree");
        prop_assert!(usize::from(parsed.l3) <= frame.len());
        prop_assert!(usize::from(parsed.l4) < frame.len() || parsed.l4 == 0);
        let l3 = &frame[usize::from(parsed.l3)..];
        let _ = crate::arp::parse(l3);
        crate::tcp::reset(l3, &mut [0; crate::tcp::RESET_LEN]);
        crate::icmp::port_unreachable(l3, FRONTEND, &mut [0; crate::icmp::ERROR_LEN_MAX]);
        crate::icmp::echo_reply_in_place(&mut frame, parsed.l3.into(), parsed.l4.into());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
        let _ = parse(&bytes);
    }
}

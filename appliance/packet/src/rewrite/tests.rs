use super::*;
use crate::build::{self, Builder};
use crate::checksum::transport_ipv4;
use crate::flow::{self, Kind};
use crate::ipv4::protocol;
use core::net::SocketAddrV4;
use proptest::prelude::*;

fn tuple() -> impl Strategy<Value = Tuple> {
    (any::<u32>(), any::<u32>(), 1u16.., 1u16..).prop_map(|(src, dst, sport, dport)| Tuple {
        src: src.into(),
        dst: dst.into(),
        sport,
        dport,
    })
}

fn builder(transport: Transport, tuple: Tuple) -> Builder {
    let (src, dst) =
        (SocketAddrV4::new(tuple.src, tuple.sport), SocketAddrV4::new(tuple.dst, tuple.dport));
    match transport {
        Transport::Tcp => build::tcp(src, dst).seq_ack(7, 9),
        Transport::Udp => build::udp(src, dst),
    }
}

fn transport() -> impl Strategy<Value = Transport> {
    prop_oneof![Just(Transport::Tcp), Just(Transport::Udp)]
}

fn apply_parsed(frame: &mut [u8], transport: Transport, rewrite: &Rewrite) -> bool {
    let parsed = flow::parse(frame);
    apply(frame, parsed.l3.into(), parsed.l4.into(), transport, rewrite)
}

/// The classic flow: client to frontend becomes SNAT address to backend.
#[test]
fn the_classic_flow_is_translated_byte_by_byte() {
    let address = |text: &str| text.parse().unwrap();
    let from = Tuple {
        src: address("172.26.50.1"),
        dst: address("172.26.50.101"),
        sport: 40000,
        dport: 30645,
    };
    let to =
        Tuple { src: address("172.26.50.101"), dst: address("10.0.1.72"), sport: 31210, dport: 80 };
    let mut frame = builder(Transport::Tcp, from).payload(b"GET /").finish();
    assert!(apply_parsed(&mut frame, Transport::Tcp, &Rewrite::between(from, to)));
    let expected = builder(Transport::Tcp, to).payload(b"GET /").ttl(63).finish();
    assert_eq!(frame, expected);

    let (from, to) = (to.reversed(), from.reversed());
    let mut frame = builder(Transport::Tcp, from).payload(b"200").finish();
    assert!(apply_parsed(&mut frame, Transport::Tcp, &Rewrite::between(from, to)));
    assert_eq!(frame, builder(Transport::Tcp, to).payload(b"200").ttl(63).finish());
}

#[test]
fn a_ttl_that_has_run_out_is_not_forwarded() {
    let from = Tuple { src: [1, 1, 1, 1].into(), dst: [2, 2, 2, 2].into(), sport: 3, dport: 4 };
    let rewrite = Rewrite::between(from, from.reversed());
    let mut frame = builder(Transport::Udp, from).ttl(1).finish();
    let before = frame.clone();
    assert!(!apply(&mut frame, 14, 34, Transport::Udp, &rewrite));
    assert_eq!(frame, before);
    frame[22] = 0;
    assert!(!apply(&mut frame, 14, 34, Transport::Udp, &rewrite));
    let mut frame = builder(Transport::Udp, from).ttl(2).finish();
    assert!(apply(&mut frame, 14, 34, Transport::Udp, &rewrite));
    assert_eq!(frame, builder(Transport::Udp, from.reversed()).ttl(1).finish());
}

#[test]
fn a_frame_that_is_too_short_is_left_alone() {
    let from = Tuple { src: [1, 1, 1, 1].into(), dst: [2, 2, 2, 2].into(), sport: 3, dport: 4 };
    let rewrite = Rewrite::between(from, from.reversed());
    for (transport, len) in [(Transport::Tcp, 54), (Transport::Udp, 42)] {
        let whole = builder(transport, from).finish();
        assert_eq!(whole.len(), len);
        for cut in 0..len {
            let mut frame = whole[..cut].to_vec();
            assert!(
                !apply(&mut frame, 14, 34, transport, &rewrite),
                "{transport:?} of {cut} bytes"
            );
            assert_eq!(frame, whole[..cut]);
        }
        for (l3, l4) in [(15, 34), (34, 14), (usize::MAX, 34), (14, usize::MAX), (14, 33)] {
            let mut frame = whole.clone();
            assert!(!apply(&mut frame, l3, l4, transport, &rewrite), "{l3} {l4}");
            assert_eq!(frame, whole);
        }
    }
}

proptest! {
    #[test]
    fn a_translated_frame_is_the_frame_that_would_have_been_built(
        from in tuple(), to in tuple(), transport in transport(), ttl in 2u8.., payload: Vec<u8>,
        vlan in proptest::option::of(1u16..4095), identification: u16
    ) {
        let build = |tuple, ttl| {
            builder(transport, tuple)
                .ttl(ttl).vlan(vlan).identification(identification).payload(&payload).finish()
        };
        let mut frame = build(from, ttl);
        prop_assert!(apply_parsed(&mut frame, transport, &Rewrite::between(from, to)));
        prop_assert_eq!(frame, build(to, ttl - 1));
    }

    #[test]
    fn translation_and_its_inverse_are_identity_but_for_the_ttl(
        from in tuple(), to in tuple(), transport in transport(), ttl in 3u8.., payload: Vec<u8>
    ) {
        let there = Rewrite::between(from, to);
        let back = Rewrite { src: from.src, dst: from.dst, sport: from.sport, dport: from.dport,
            l3_delta: there.l3_delta.negated(), l4_delta: there.l4_delta.negated() };
        let mut frame = builder(transport, from).ttl(ttl).payload(&payload).finish();
        prop_assert!(apply_parsed(&mut frame, transport, &there));
        prop_assert!(apply_parsed(&mut frame, transport, &back));
        prop_assert_eq!(frame, builder(transport, from).ttl(ttl - 2).payload(&payload).finish());
    }

    #[test]
    fn a_datagram_without_checksum_gets_none(from in tuple(), to in tuple(), payload: Vec<u8>) {
        let mut frame = builder(Transport::Udp, from).without_udp_checksum().payload(&payload).finish();
        prop_assert!(apply_parsed(&mut frame, Transport::Udp, &Rewrite::between(from, to)));
        let expected =
            builder(Transport::Udp, to).without_udp_checksum().payload(&payload).ttl(63).finish();
        prop_assert_eq!(frame, expected);
    }

    #[test]
    fn a_broken_segment_leaves_broken(from in tuple(), to in tuple(), bit in 0usize..64) {
        let mut frame = builder(Transport::Tcp, from).payload(&[0x5a; 8]).finish();
        frame[54 + bit / 8] ^= 1 << (bit % 8);
        prop_assert!(apply_parsed(&mut frame, Transport::Tcp, &Rewrite::between(from, to)));
        prop_assert!(matches!(flow::parse(&frame).kind, Kind::Tcp(_)), "the IP header is right");
        prop_assert_ne!(transport_ipv4(to.src, to.dst, protocol::TCP, &frame[34..]), 0);
    }

    #[test]
    fn arbitrary_frames_and_offsets_never_panic(
        bytes: Vec<u8>, l3 in 0usize..80, l4 in 0usize..80, from in tuple(), to in tuple(), transport in transport()
    ) {
        let mut frame = bytes.clone();
        if !apply(&mut frame, l3, l4, transport, &Rewrite::between(from, to)) {
            prop_assert_eq!(frame, bytes);
        }
    }
}

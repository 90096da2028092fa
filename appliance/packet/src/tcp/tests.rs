use super::*;
use crate::checksum::transport_ipv4;
use crate::ipv4::protocol;
use crate::testing::{CLIENT, FRONTEND, hex, with};
use proptest::prelude::*;

const GOLDEN: &str = "9c4077b5 01020304 00000000 5002faf0 e05a0000";

fn verifies(segment: &[u8]) -> bool {
    transport_ipv4(CLIENT, FRONTEND, protocol::TCP, segment) == 0
}

#[test]
fn a_golden_segment_is_read() {
    let bytes = [hex(GOLDEN), b"data".to_vec()].concat();
    let tcp = Tcp::parse(&bytes).unwrap();
    assert_eq!((tcp.src_port(), tcp.dst_port()), (40000, 30645));
    assert_eq!((tcp.seq(), tcp.ack(), tcp.window()), (0x0102_0304, 0, 64240));
    assert_eq!((tcp.flags(), tcp.header_len()), (TcpFlags::SYN, 20));
    assert_eq!((tcp.checksum(), tcp.payload()), (0xe05a, &b"data"[..]));
    assert_eq!(tcp.seq_len(), 5);
    assert!(verifies(&hex(GOLDEN)));
}

#[test]
fn a_golden_header_is_written() {
    let syn = TcpRepr {
        sport: 40000,
        dport: 30645,
        seq: 0x0102_0304,
        ack: 0,
        flags: TcpFlags::SYN,
        window: 64240,
    };
    assert_eq!(syn.emit(0xe05a)[..], hex(GOLDEN));
}

#[test]
fn every_truncation_is_refused() {
    let bytes = hex(GOLDEN);
    for len in 0..bytes.len() {
        assert_eq!(Tcp::parse(&bytes[..len]).unwrap_err(), TcpError::Truncated, "{len} bytes");
    }
}

#[test]
fn each_wrong_data_offset_is_refused() {
    for offset in (0..5).chain(6..16) {
        let mut bytes = with(&hex(GOLDEN), &[(12, offset << 4)]);
        assert_eq!(Tcp::parse(&bytes).unwrap_err(), TcpError::DataOffset, "offset {offset}");
        assert_eq!(TcpMut::parse(&mut bytes).unwrap_err(), TcpError::DataOffset);
    }
}

#[test]
fn options_are_no_payload() {
    let mut bytes = with(&hex(GOLDEN), &[(12, 0x60)]);
    bytes.extend_from_slice(&[1, 1, 1, 1, b'x']);
    let tcp = Tcp::parse(&bytes).unwrap();
    assert_eq!((tcp.header_len(), tcp.payload()), (24, &b"x"[..]));
}

#[test]
fn syn_and_fin_take_one_sequence_number_each() {
    for (flags, len) in [(0x02, 1), (0x11, 1), (0x10, 0), (0x03, 2)] {
        let bytes = with(&hex(GOLDEN), &[(13, flags)]);
        assert_eq!(Tcp::parse(&bytes).unwrap().seq_len(), len, "flags {flags:#x}");
    }
}

#[test]
fn only_flags_that_a_tcp_sends_are_valid() {
    const { assert!(TcpFlags::SYN.is_valid()) };
    let [fin, syn, rst] = [TcpFlags::FIN, TcpFlags::SYN, TcpFlags::RST];
    let [psh, ack, urg] = [TcpFlags::PSH, TcpFlags::ACK, TcpFlags::URG];
    let valid =
        [syn, syn | urg, syn | ack, rst, rst | ack, fin | ack, fin | ack | urg, ack, ack | urg];
    for bits in 0..=255 {
        // PSH, ECE and CWR say nothing about the state of a connection.
        let expected = valid.contains(&TcpFlags::from_bits(bits & 0x37));
        assert_eq!(TcpFlags::from_bits(bits).is_valid(), expected, "{bits:#x}");
    }
    for wrong in [TcpFlags::default(), syn | fin, syn | rst, fin | psh | urg, fin, psh, urg] {
        assert!(!wrong.is_valid(), "{wrong}");
    }
}

#[test]
fn flags_have_names() {
    assert_eq!((TcpFlags::SYN | TcpFlags::ACK).to_string(), "SYN|ACK");
    assert_eq!(TcpFlags::default().to_string(), "NULL");
    assert!(TcpFlags::SYN.opens() && !(TcpFlags::SYN | TcpFlags::ACK).opens());
    assert!(!TcpFlags::ACK.opens() && (TcpFlags::SYN | TcpFlags::ECE).opens());
}

proptest! {
    #[test]
    fn parse_after_emit_is_identity(
        sport: u16, dport: u16, seq: u32, ack: u32, bits: u8, window: u16, check: u16, payload: Vec<u8>
    ) {
        let flags = TcpFlags::from_bits(bits);
        let repr = TcpRepr { sport, dport, seq, ack, flags, window };
        let bytes = [&repr.emit(check)[..], &payload].concat();
        let tcp = Tcp::parse(&bytes).unwrap();
        let back = TcpRepr {
            sport: tcp.src_port(),
            dport: tcp.dst_port(),
            seq: tcp.seq(),
            ack: tcp.ack(),
            flags: tcp.flags(),
            window: tcp.window(),
        };
        prop_assert_eq!((back, tcp.checksum(), tcp.payload()), (repr, check, &payload[..]));
    }

    #[test]
    fn setting_ports_keeps_the_checksum_right(sport: u16, dport: u16) {
        let mut bytes = hex(GOLDEN);
        let mut tcp = TcpMut::parse(&mut bytes).unwrap();
        tcp.set_src_port(sport);
        tcp.set_dst_port(dport);
        prop_assert!(verifies(&bytes));
        let tcp = Tcp::parse(&bytes).unwrap();
        prop_assert_eq!((tcp.src_port(), tcp.dst_port()), (sport, dport));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        if let Ok(tcp) = Tcp::parse(&bytes) {
            let _ = (tcp.seq_len(), tcp.payload());
        }
    }
}

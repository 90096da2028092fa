//! The table: a frame, where it comes from, and what becomes of it.

use std::net::{Ipv4Addr, SocketAddrV4};

use spillway_packet::tcp::TcpFlags;
use spillway_packet::{MacAddr, arp, build};

use crate::frames::{
    BACK_MAC, CLIENT, CLIENT_MAC, DESERTED, FRONT_MAC, NAMES, NAMES_NODE, NODE_MAC, SILENT, SNAT,
    WEB, WEB_NODE, at, bent, broken, cut, inserted, port_unreachable, tcp, udp,
};

/// A port of the box.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Front,
    Back,
}

/// What becomes of a frame.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    /// Leaves by the other side like this.
    Forwarded(Vec<u8>),
    /// Is answered with this, where it came from.
    Answered(Vec<u8>),
    /// Is dropped for this reason, and answered with this.
    Refused(&'static str, Vec<u8>),
    /// Is dropped for this reason, in silence.
    Dropped(&'static str),
    /// The host stack answers with this, in its own time.
    Resolved(Vec<u8>),
}

/// A frame and its fate.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) from: Side,
    pub(crate) frame: Vec<u8>,
    pub(crate) fate: Fate,
}

impl Case {
    /// The frame that the box sends because of this one, and where; ARP apart.
    pub(crate) fn output(&self) -> Option<(Side, &[u8])> {
        let across = match self.from {
            Side::Front => Side::Back,
            Side::Back => Side::Front,
        };
        match &self.fate {
            Fate::Forwarded(frame) => Some((across, frame)),
            Fate::Answered(frame) | Fate::Refused(_, frame) => Some((self.from, frame)),
            Fate::Dropped(_) | Fate::Resolved(_) => None,
        }
    }

    /// Whether the box makes a frame of its own for it, instead of changing this one.
    pub(crate) const fn is_answered_by_a_new_frame(&self) -> bool {
        matches!(self.fate, Fate::Refused(..) | Fate::Resolved(_))
    }
}

const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;
const RST: TcpFlags = TcpFlags::RST;

/// Another client on the same link, behind the same MAC address as far as the box knows.
const OTHER: SocketAddrV4 = at([198, 18, 0, 1], 10_000);

/// All of them. What makes flows is at the front and comes first: the box reads a burst from each
/// side in turn, so the flows stand when the other side's first burst is read.
pub(crate) fn all() -> Vec<Case> {
    [flows(), refusals(), answers(), strays(), malformed_links(), malformed_packets()].concat()
}

fn case(name: &'static str, frame: Vec<u8>, fate: Fate) -> Case {
    Case { name, from: Side::Front, frame, fate }
}

fn from_back(name: &'static str, frame: Vec<u8>, fate: Fate) -> Case {
    Case { name, from: Side::Back, frame, fate }
}

/// The classic flow, and its like in UDP.
fn flows() -> Vec<Case> {
    // A frame as it leaves the box: one hop further.
    let to_node = |frame: build::Builder| frame.macs(BACK_MAC, NODE_MAC).ttl(63).finish();
    let to_client = |frame: build::Builder| frame.macs(FRONT_MAC, CLIENT_MAC).ttl(63).finish();
    let node = |frame: build::Builder| frame.macs(NODE_MAC, BACK_MAC).finish();
    let data = |frame: build::Builder| frame.identification(7).payload(b"three");
    let unsummed = |frame: build::Builder| frame.without_udp_checksum();
    vec![
        case(
            "a SYN",
            tcp(CLIENT, WEB, SYN).finish(),
            Fate::Forwarded(to_node(tcp(SNAT, WEB_NODE, SYN))),
        ),
        case(
            "data in the same burst as its SYN",
            data(tcp(CLIENT, WEB, ACK)).finish(),
            Fate::Forwarded(to_node(data(tcp(SNAT, WEB_NODE, ACK)))),
        ),
        case(
            "a datagram",
            udp(CLIENT, NAMES).finish(),
            Fate::Forwarded(to_node(udp(SNAT, NAMES_NODE))),
        ),
        case(
            "a datagram without a checksum",
            unsummed(udp(CLIENT, NAMES)).finish(),
            Fate::Forwarded(to_node(unsummed(udp(SNAT, NAMES_NODE)))),
        ),
        case(
            "a datagram whose checksum is wrong stays wrong by as much",
            broken(&udp(CLIENT, NAMES).finish(), &[(42, b'D')]),
            Fate::Forwarded(broken(&to_node(udp(SNAT, NAMES_NODE)), &[(42, b'D')])),
        ),
        from_back(
            "a SYN+ACK",
            node(tcp(WEB_NODE, SNAT, SYN | ACK)),
            Fate::Forwarded(to_client(tcp(WEB, CLIENT, SYN | ACK))),
        ),
        from_back(
            "an answering datagram",
            node(udp(NAMES_NODE, SNAT)),
            Fate::Forwarded(to_client(udp(NAMES, CLIENT))),
        ),
    ]
}

/// What is dropped aloud.
fn refusals() -> Vec<Case> {
    let to_client = |frame: build::Builder| frame.macs(FRONT_MAC, CLIENT_MAC).window(0).finish();
    let datagram = udp(CLIENT, DESERTED).finish();
    let unreachable = port_unreachable(&datagram);
    vec![
        case(
            "a SYN to a service without a backend",
            tcp(CLIENT, DESERTED, SYN).finish(),
            Fate::Refused(
                "no-backend",
                // RFC 9293, 3.10.7.1: the SYN counts as one.
                to_client(tcp(DESERTED, CLIENT, RST | ACK).seq_ack(0, 1001)),
            ),
        ),
        case(
            "a datagram to a service without a backend",
            datagram,
            Fate::Refused("no-backend", unreachable),
        ),
        case(
            "a SYN when the only SNAT port is lent",
            tcp(OTHER, WEB, SYN).finish(),
            Fate::Refused(
                "snat-ports-exhausted",
                to_client(tcp(WEB, OTHER, RST | ACK).seq_ack(0, 1001)),
            ),
        ),
        case(
            "a segment of no connection",
            tcp(OTHER, WEB, ACK).payload(b"data").finish(),
            Fate::Refused("not-syn", to_client(tcp(WEB, OTHER, RST).seq_ack(2000, 0))),
        ),
        case(
            "a reset of no connection is not answered",
            tcp(OTHER, WEB, RST).finish(),
            Fate::Dropped("not-syn"),
        ),
        case(
            "a SYN to a service that keeps silent",
            tcp(CLIENT, SILENT, SYN).finish(),
            Fate::Dropped("no-backend"),
        ),
        case(
            "a datagram to a service that keeps silent",
            udp(CLIENT, SILENT).finish(),
            Fate::Dropped("no-backend"),
        ),
    ]
}

/// What the box's own addresses answer.
fn answers() -> Vec<Case> {
    let ping = |to: Ipv4Addr| {
        build::icmp_echo(*CLIENT.ip(), to, 0x1234, 1).macs(CLIENT_MAC, FRONT_MAC).payload(b"ping")
    };
    let pong = |from: Ipv4Addr| {
        let pong = build::icmp_echo_reply(from, *CLIENT.ip(), 0x1234, 1);
        pong.macs(FRONT_MAC, CLIENT_MAC).payload(b"ping").finish()
    };
    let front = *WEB.ip();
    let back = Ipv4Addr::new(10, 0, 1, 1);
    let question = arp::Arp::request(CLIENT_MAC, *CLIENT.ip(), front);
    let answer = arp::Arp {
        op: arp::ArpOp::Reply,
        sender_mac: FRONT_MAC,
        sender_ip: front,
        target_mac: CLIENT_MAC,
        target_ip: *CLIENT.ip(),
    };
    let emit = |arp: arp::Arp, to: MacAddr| {
        let mut frame = vec![0; 42];
        arp.emit(&mut frame, to, None);
        frame
    };
    vec![
        case("a ping", ping(front).finish(), Fate::Answered(pong(front))),
        case("a ping to the other port's address", ping(back).finish(), Fate::Answered(pong(back))),
        case("a ping with a short life", ping(front).ttl(3).finish(), Fate::Answered(pong(front))),
        case(
            "who has the front address",
            emit(question, MacAddr::BROADCAST),
            Fate::Resolved(emit(answer, CLIENT_MAC)),
        ),
    ]
}

/// Good packets that have no business here.
fn strays() -> Vec<Case> {
    let port = |port: u16| SocketAddrV4::new(*WEB.ip(), port);
    let dropped =
        |name, frame: build::Builder, reason| case(name, frame.finish(), Fate::Dropped(reason));
    let node = |frame: build::Builder| frame.macs(NODE_MAC, BACK_MAC).finish();
    vec![
        dropped("no frontend's port", tcp(CLIENT, port(81), SYN), "unlisted-port"),
        dropped("the other protocol", udp(CLIENT, WEB), "unlisted-port"),
        dropped("a SNAT port, from a client", tcp(CLIENT, SNAT, SYN), "no-flow"),
        dropped("somebody else's address", tcp(CLIENT, at([172, 26, 50, 99], 80), SYN), "not-ours"),
        dropped("a backend, past the box", tcp(CLIENT, WEB_NODE, SYN), "not-ours"),
        dropped("the last hop", tcp(CLIENT, WEB, ACK).ttl(1), "ttl-expired"),
        dropped("from loopback", tcp(at([127, 0, 0, 1], 9), WEB, SYN), "bogon-source"),
        dropped("from a group", tcp(at([224, 0, 0, 1], 9), WEB, SYN), "bogon-source"),
        dropped("from the very same end", tcp(WEB, WEB, SYN), "bogon-source"),
        dropped("from the box's own address", tcp(at([10, 0, 1, 1], 9), WEB, SYN), "own-source"),
        from_back(
            "a SNAT port, from another port of the backend",
            node(tcp(at([10, 0, 1, 72], 81), SNAT, SYN | ACK)),
            Fate::Dropped("no-flow"),
        ),
        from_back(
            "a SNAT port that is not lent in this protocol and state",
            node(udp(at([10, 0, 1, 73], 53), SNAT)),
            Fate::Dropped("no-flow"),
        ),
    ]
}

/// Frames that are wrong before IP begins.
fn malformed_links() -> Vec<Case> {
    let good = || tcp(CLIENT, WEB, ACK);
    let group = MacAddr([0x01, 0, 0x5e, 0, 0, 1]);
    let dropped = |name, frame: Vec<u8>, reason| case(name, frame, Fate::Dropped(reason));
    let frame = good().finish();
    let tagged = good().vlan(Some(5)).finish();
    let twice = inserted(&tagged, 12, &[0x81, 0, 0, 6]);
    let foreign = MacAddr([2, 0, 0, 0, 0, 9]);
    vec![
        dropped("a foreign MAC", good().macs(CLIENT_MAC, foreign).finish(), "not-our-mac"),
        dropped(
            "IP to everybody",
            good().macs(CLIENT_MAC, MacAddr::BROADCAST).finish(),
            "not-our-mac",
        ),
        dropped("from a group's MAC", good().macs(group, FRONT_MAC).finish(), "bad-source-mac"),
        dropped("a tag on an untagged port", tagged, "vlan-mismatch"),
        dropped("two tags", twice, "double-tag"),
        dropped("half an Ethernet header", cut(&frame, 13), "truncated"),
        dropped("IPv6", broken(&frame, &[(12, 0x86), (13, 0xdd)]), "ipv6"),
        dropped("LLDP", broken(&frame, &[(12, 0x88), (13, 0xcc)]), "unknown-ethertype"),
        dropped(
            "longer than a buffer",
            udp(CLIENT, NAMES).payload(&[0x55; 4000]).finish(),
            "not-contiguous",
        ),
    ]
}

/// Packets that are wrong in themselves.
fn malformed_packets() -> Vec<Case> {
    let frame = tcp(CLIENT, WEB, ACK).payload(b"12345678").finish();
    let datagram = udp(CLIENT, NAMES).finish();
    let optional = inserted(&datagram, 34, &[1, 1, 1, 0]);
    let tcp_with = |name, changes: &[(usize, u8)], reason| {
        case(name, bent(&frame, changes), Fate::Dropped(reason))
    };
    let udp_with = |name, changes: &[(usize, u8)], reason| {
        case(name, bent(&datagram, changes), Fate::Dropped(reason))
    };
    let total_len = |len: u8| [(16, 0), (17, len)];
    vec![
        case("half an IP header", cut(&frame, 24), Fate::Dropped("truncated")),
        case(
            "a wrong header checksum",
            broken(&frame, &[(22, 63)]),
            Fate::Dropped("bad-ip-checksum"),
        ),
        tcp_with("IP version 5", &[(14, 0x55)], "bad-ip-version"),
        tcp_with("an IP header of 16 bytes", &[(14, 0x44)], "bad-ip-header-length"),
        tcp_with("more than the frame holds", &total_len(200), "bad-ip-total-length"),
        tcp_with("less than its header", &total_len(19), "bad-ip-total-length"),
        tcp_with("a protocol that is not served", &[(23, 132)], "unknown-protocol"),
        tcp_with("a fragment of torn length", &[(20, 0x20)], "bad-fragment"),
        udp_with("a first fragment", &[(20, 0x20)], "fragment"),
        udp_with("a last fragment", &[(20, 0), (21, 2)], "fragment"),
        case("IP options", bent(&optional, &[(14, 0x46), (17, 40)]), Fate::Dropped("ip-options")),
        tcp_with("a TCP header of 16 bytes", &[(46, 0x40)], "bad-tcp-header"),
        tcp_with("a TCP header beyond its end", &[(46, 0xf0)], "bad-tcp-header"),
        tcp_with("SYN and FIN", &[(47, 0x03)], "bad-tcp-flags"),
        tcp_with("no flag at all", &[(47, 0)], "bad-tcp-flags"),
        tcp_with("TCP to port 0", &[(36, 0), (37, 0)], "zero-port"),
        udp_with("UDP from port 0", &[(34, 0), (35, 0)], "zero-port"),
        udp_with("UDP of 7 bytes", &[(38, 0), (39, 7)], "bad-udp-length"),
        udp_with("UDP beyond its end", &[(38, 0), (39, 99)], "bad-udp-length"),
    ]
}

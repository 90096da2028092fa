//! Who is who in the captures, and how frames are bent.

use std::net::{Ipv4Addr, SocketAddrV4};

use spillway_packet::ipv4::{self, Ipv4Repr, protocol};
use spillway_packet::tcp::TcpFlags;
use spillway_packet::{MacAddr, build, checksum, ethernet};

/// `net_pcap` numbers its ports: 02, "pcap", the number.
pub(crate) const FRONT_MAC: MacAddr = MacAddr([0x02, b'p', b'c', b'a', b'p', 0]);
pub(crate) const BACK_MAC: MacAddr = MacAddr([0x02, b'p', b'c', b'a', b'p', 1]);
/// Of the router that all clients are behind, and of the client on the link.
pub(crate) const CLIENT_MAC: MacAddr = MacAddr([0x02, 0, 0, 0, 0x01, 0x80]);
pub(crate) const NODE_MAC: MacAddr = MacAddr([0x02, 0, 0, 0, 0x02, 0x72]);

pub(crate) const CLIENT: SocketAddrV4 = at([172, 26, 50, 180], 10_000);
pub(crate) const WEB: SocketAddrV4 = at([172, 26, 50, 101], 30_645);
pub(crate) const NAMES: SocketAddrV4 = at([172, 26, 50, 101], 53);
/// TCP and UDP frontends without a backend that takes flows.
pub(crate) const DESERTED: SocketAddrV4 = at([172, 26, 50, 101], 8080);
/// The same, told not to say so.
pub(crate) const SILENT: SocketAddrV4 = at([172, 26, 50, 101], 8081);
pub(crate) const SNAT: SocketAddrV4 = at([172, 26, 50, 101], 31_210);
pub(crate) const WEB_NODE: SocketAddrV4 = at([10, 0, 1, 72], 80);
pub(crate) const NAMES_NODE: SocketAddrV4 = at([10, 0, 1, 72], 53);

pub(crate) const fn at(address: [u8; 4], port: u16) -> SocketAddrV4 {
    let [a, b, c, d] = address;
    SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), port)
}

/// The box's configuration, with its files in `dir`.
pub(crate) fn config(dir: &str, snat_ports: &str) -> String {
    format!(
        r#"
name = "loopback"
admin_socket = "{dir}/admin.sock"
state_dir = "{dir}/state"

[dataplane]
worker_cores = [1]
flows_max = 4096
memory = "ordinary"
memory_mib = 128
mbufs = 4096

[[port]]
name = "front"
driver = "pcap"
rx = "{dir}/front-in.pcap"
tx = "{dir}/front-out.pcap"
addresses = ["172.26.50.101/24"]
gateway = "172.26.50.1"
neighbors = {{ "172.26.50.1" = "{CLIENT_MAC}", "172.26.50.180" = "{CLIENT_MAC}" }}

[[port]]
name = "back"
driver = "pcap"
rx = "{dir}/back-in.pcap"
tx = "{dir}/back-out.pcap"
addresses = ["10.0.1.1/24"]
neighbors = {{ "10.0.1.72" = "{NODE_MAC}" }}

[snat]
addresses = ["172.26.50.101"]
ports = "{snat_ports}"

[[service]]
name = "web"
type = "NodePort"
health = {{ type = "none" }}
frontends = ["{WEB}"]
backends = ["{WEB_NODE}"]

[[service]]
name = "names"
type = "NodePort"
health = {{ type = "none" }}
frontends = ["{NAMES}/udp"]
backends = ["{NAMES_NODE}"]

[[service]]
name = "deserted"
type = "NodePort"
health = {{ type = "none" }}
frontends = ["{DESERTED}", "{DESERTED}/udp"]
backends = [{{ address = "10.0.1.72:8080", weight = 0 }}]

[[service]]
name = "silent"
type = "NodePort"
health = {{ type = "none" }}
frontends = ["{SILENT}", "{SILENT}/udp"]
backends = [{{ address = "10.0.1.72:8081", weight = 0 }}]
no_backend = "drop"
"#
    )
}

/// A segment from the clients' side.
pub(crate) fn tcp(from: SocketAddrV4, to: SocketAddrV4, flags: TcpFlags) -> build::Builder {
    build::tcp(from, to).macs(CLIENT_MAC, FRONT_MAC).flags(flags).seq_ack(1000, 2000)
}

/// A datagram from the clients' side.
pub(crate) fn udp(from: SocketAddrV4, to: SocketAddrV4) -> build::Builder {
    build::udp(from, to).macs(CLIENT_MAC, FRONT_MAC).payload(b"datagram")
}

/// The SYN of the `number`-th of many clients, all of whom are behind the router.
pub(crate) fn syn_of_client(number: u16) -> Vec<u8> {
    syn(stranger(number), WEB).macs(CLIENT_MAC, FRONT_MAC).finish()
}

/// What the backend gets of it.
pub(crate) fn translated_syn_of_client(number: u16, port: u16) -> Vec<u8> {
    let snat = SocketAddrV4::new(*SNAT.ip(), port);
    let from = syn(snat, WEB_NODE).seq_ack(u32::from(stranger(number).port()), 0);
    from.ttl(ipv4::TTL_DEFAULT - 1).macs(BACK_MAC, NODE_MAC).finish()
}

fn syn(from: SocketAddrV4, to: SocketAddrV4) -> build::Builder {
    build::tcp(from, to).flags(TcpFlags::SYN).seq_ack(from.port().into(), 0)
}

fn stranger(number: u16) -> SocketAddrV4 {
    let [hi, lo] = (number / 7).to_be_bytes();
    at([198, 18, hi, lo], 2000 + number)
}

/// The frame with some bytes replaced; its IP header checksum is right again.
pub(crate) fn bent(frame: &[u8], changes: &[(usize, u8)]) -> Vec<u8> {
    let mut frame = broken(frame, changes);
    // A header that says less than twenty bytes of itself is wrong before its checksum is read.
    let len = frame.get(14).map_or(0, |first| usize::from(first & 0xf) * 4);
    let header = frame.get_mut(14..).and_then(|l3| l3.get_mut(..len.max(20)));
    if let Some([_, _, _, _, _, _, _, _, _, _, hi, lo, ..]) = header {
        (*hi, *lo) = (0, 0);
    }
    let sum = frame.get(14..14 + len.max(20)).map_or(0, checksum::full);
    frame.splice(24..26, sum.to_be_bytes());
    frame
}

/// The frame with some bytes replaced, and nothing else.
pub(crate) fn broken(frame: &[u8], changes: &[(usize, u8)]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    for (at, value) in changes {
        if let Some(byte) = frame.get_mut(*at) {
            *byte = *value;
        }
    }
    frame
}

/// The frame with some bytes put in.
pub(crate) fn inserted(frame: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame.splice(at..at, bytes.iter().copied());
    frame
}

/// The beginning of the frame.
pub(crate) fn cut(frame: &[u8], len: usize) -> Vec<u8> {
    frame.iter().copied().take(len).collect()
}

/// RFC 792: the ICMP port unreachable that a datagram from the clients' side is answered with,
/// quoting its IP header and eight bytes.
pub(crate) fn port_unreachable(datagram: &[u8]) -> Vec<u8> {
    let quoted = datagram.get(14..42).unwrap_or_default();
    let mut message = [&[3, 3, 0, 0, 0, 0, 0, 0], quoted].concat();
    let [hi, lo] = checksum::full(&message).to_be_bytes();
    message.splice(2..4, [hi, lo]);
    let payload_len = u16::try_from(message.len()).unwrap_or_default();
    let ip = Ipv4Repr::own(*DESERTED.ip(), *CLIENT.ip(), protocol::ICMP, payload_len);
    let mut frame = vec![0; ethernet::HEADER_LEN];
    ethernet::emit(&mut frame, CLIENT_MAC, FRONT_MAC, None, ethernet::ethertype::IPV4);
    [frame, ip.emit().to_vec(), message].concat()
}

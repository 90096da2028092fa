//! A TAP interface, with this machine's own network stack at the other end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod support;

use std::net::UdpSocket;
use std::time::Duration;

use capsule::{Burst, Device, Eal, Mbuf, Mempool, Queues, RxChecksum, TxChecksum, TxL4};
use support::{in_own_network, pool, run, settings, started, wait_until};

const KERNEL: [u8; 4] = [192, 0, 2, 1];
const PEER: [u8; 4] = [192, 0, 2, 2];
const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

/// The ones' complement sum of RFC 1071, not yet complemented.
fn sum(bytes: &[u8]) -> u16 {
    let words =
        bytes.chunks(2).map(|w| u32::from(w[0]) << 8 | w.get(1).map_or(0, |b| u32::from(*b)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}

/// A UDP datagram from the peer's port 7 to the kernel's port 7000; both checksums are left to the
/// port: 0 in the IP header, the pseudo-header's sum in the UDP header.
fn datagram(kernel_mac: [u8; 6], payload: &[u8]) -> Vec<u8> {
    let udp_len = u16::try_from(8 + payload.len()).unwrap();
    let mut frame = [kernel_mac, PEER_MAC].concat();
    frame.extend([0x08, 0x00, 0x45, 0]);
    frame.extend((20 + udp_len).to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
    frame.extend([PEER, KERNEL].concat());
    frame.extend([0, 7, 0x1b, 0x58]);
    frame.extend(udp_len.to_be_bytes());
    let pseudo = [&PEER[..], &KERNEL, &[0, 17], &udp_len.to_be_bytes()].concat();
    frame.extend(sum(&pseudo).to_be_bytes());
    frame.extend(payload);
    frame
}

#[test]
fn datagrams_reach_the_kernel_and_come_back_with_good_checksums() {
    if !in_own_network("datagrams_reach_the_kernel_and_come_back_with_good_checksums") {
        return;
    }
    let device = Device::Tap { interface: "sw-tap".to_owned() };
    let eal = Eal::init(&settings(&[("tap", device)])).unwrap();
    let pool = pool(&eal, "pool", 4096);
    let (port, mut queues) = started(&eal, "tap", &pool);
    run("ip link set sw-tap up");
    run("ip addr add 192.0.2.1/24 dev sw-tap");
    run("ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:09 dev sw-tap");
    assert!(port.features().tx_ip_checksum && port.features().tx_l4_checksum);
    assert!(port.features().rx_checksum);
    let socket = UdpSocket::bind("192.0.2.1:7000").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();

    to_the_kernel(&mut queues, &pool, &socket, port.mac().0);
    from_the_kernel(&mut queues, &socket);
    drop((queues, port));
    assert_eq!(pool.in_use(), 0);
}

fn to_the_kernel(queues: &mut Queues, pool: &Mempool, socket: &UdpSocket, mac: [u8; 6]) {
    let checksums =
        TxChecksum { l2_bytes: 14, l3_bytes: 20, is_ipv6: false, ip: true, l4: TxL4::Udp };
    let mut mbuf = pool.alloc().unwrap();
    mbuf.copy_from(&[0; 41]);
    assert!(!mbuf.request_checksum(checksums), "the UDP header does not fit");
    assert!(!mbuf.request_checksum(TxChecksum { l2_bytes: 128, ..checksums }));
    // Without the request the kernel drops it: its IP checksum is wrong.
    let mut unfinished = pool.alloc().unwrap();
    unfinished.copy_from(&datagram(mac, b"never"));
    mbuf.copy_from(&datagram(mac, b"over the tap"));
    assert!(mbuf.request_checksum(checksums));
    let mut burst = Burst::new();
    burst.push(unfinished).unwrap();
    burst.push(mbuf).unwrap();
    assert_eq!(queues.tx[0].send(&mut burst), 2);
    let mut payload = [0; 64];
    let (len, from) = socket.recv_from(&mut payload).unwrap();
    assert_eq!(&payload[..len], b"over the tap");
    assert_eq!(from, "192.0.2.2:7".parse().unwrap());
}

fn from_the_kernel(queues: &mut Queues, socket: &UdpSocket) {
    socket.send_to(b"back again", "192.0.2.2:7").unwrap();
    let mut burst = Burst::new();
    let is_ours = |mbuf: &Mbuf| mbuf.data().ends_with(b"back again");
    wait_until("the datagram arrives", || {
        queues.rx[0].receive(&mut burst);
        while burst.get(0).is_some_and(|mbuf| !is_ours(mbuf)) {
            burst.take(0);
        }
        !burst.is_empty()
    });
    let mbuf = burst.pop().unwrap();
    assert_eq!(mbuf.data()[..6], PEER_MAC);
    assert_eq!(mbuf.rx_ip_checksum(), RxChecksum::Good);
    assert_eq!(mbuf.rx_l4_checksum(), RxChecksum::Good);
}

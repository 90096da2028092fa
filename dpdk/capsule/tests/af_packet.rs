//! Two ports at the two ends of a kernel cable.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod support;

use std::collections::HashMap;

use capsule::{Burst, Device, Eal, Mempool, PortSettings};
use support::{
    frame, hardware_address, in_own_network, pool, receive_frames, run, send_all, settings,
    started, started_with, veth, wait_until,
};

#[test]
fn frames_cross_a_veth_pair_and_the_link_follows_the_carrier() {
    if !in_own_network("frames_cross_a_veth_pair_and_the_link_follows_the_carrier") {
        return;
    }
    veth("sw-a", "sw-b");
    veth("sw-c", "sw-d");
    let device =
        |interface: &str, queues| Device::AfPacket { interface: interface.to_owned(), queues };
    let devices = [
        ("a", device("sw-a", 1)),
        ("b", device("sw-b", 1)),
        ("c", device("sw-c", 1)),
        ("d", device("sw-d", 2)),
    ];
    let eal = Eal::init(&settings(&devices)).unwrap();
    let pool = pool(&eal, "pool", 8192);
    let promiscuous = PortSettings { promiscuous: true, ..PortSettings::default() };
    let (a, mut a_queues) = started_with(&eal, "a", &pool, &promiscuous);
    let (b, mut b_queues) = started(&eal, "b", &pool);
    assert_eq!(a.info().driver, "net_af_packet");
    assert_eq!(a.mac().to_string(), hardware_address("sw-a"));
    assert_eq!((a.features().promiscuous, a.promiscuous()), (true, true));

    // 1,514 bytes is a full frame, 1,518 one with a VLAN tag.
    let lengths = [60, 61, 128, 1000, 1514];
    let frames: Vec<_> = (0..1000_u32).map(|n| frame(n, lengths[n as usize % 5])).collect();
    for chunk in frames.chunks(250) {
        send_all(&mut a_queues, &pool, chunk);
        assert!(receive_frames(&mut b_queues, chunk.len()) == chunk, "a to b");
        send_all(&mut b_queues, &pool, chunk);
        assert!(receive_frames(&mut a_queues, chunk.len()) == chunk, "b to a");
    }
    assert_eq!((a.stats().tx_packets, b.stats().tx_packets), (1000, 1000));

    assert!(a.link().up && b.link().up);
    run("ip link set sw-b down");
    wait_until("the carrier is gone", || !a.link().up && !b.link().up);
    run("ip link set sw-b up");
    wait_until("the carrier is back", || a.link().up && b.link().up);

    drop((a_queues, b_queues, a, b));
    assert_eq!(pool.in_use(), 0);
    several_queues(&eal, &pool);
    assert_eq!(pool.in_use(), 0);
}

/// An IPv4 datagram from the given port: what the kernel tells flows apart by.
fn datagram(source_port: u16) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 1, 0x08, 0x00, 0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0, 0]);
    frame.extend([192, 0, 2, 1, 192, 0, 2, 2]);
    frame.extend(source_port.to_be_bytes());
    frame.extend([0, 9, 0, 26, 0, 0]);
    frame.resize(60, 0xa5);
    frame
}

/// The kernel spreads flows over the queues of one port, and each flow stays on its queue.
fn several_queues(eal: &Eal, pool: &Mempool) {
    let too_much = PortSettings {
        rx_queues: 9,
        tx_queues: 9,
        rx_descriptors: 30_000,
        mtu: 9000,
        ..PortSettings::default()
    };
    let (c, mut c_queues) = started(eal, "c", pool);
    let (d, mut d_queues) = started_with(eal, "d", pool, &too_much);
    let features = d.features();
    assert_eq!((features.rx_queues, features.tx_queues), (2, 2), "what the device has");
    assert_eq!(features.mtu, 1500, "what fits a slot of the ring");
    assert!(!features.rss, "the driver has no RSS of its own");

    let frames: Vec<_> = (0..200).map(|n| datagram(1000 + n % 50)).collect();
    let mut seen = [HashMap::new(), HashMap::new()];
    send_all(&mut c_queues, pool, &frames);
    wait_until("all datagrams arrive", || {
        for (queue, seen) in d_queues.rx.iter_mut().zip(&mut seen) {
            let mut burst = Burst::new();
            queue.receive(&mut burst);
            for mbuf in &burst {
                *seen.entry(mbuf.data().to_vec()).or_insert(0) += 1;
            }
        }
        seen.iter().flat_map(HashMap::values).sum::<u32>() == 200
    });
    assert!(seen.iter().all(|flows| !flows.is_empty()), "both queues are used");
    assert_eq!(seen[0].len() + seen[1].len(), 50, "no flow is on both");
    assert!(seen.iter().flat_map(HashMap::values).all(|count| *count == 4));
    drop((c_queues, d_queues, c, d));
}

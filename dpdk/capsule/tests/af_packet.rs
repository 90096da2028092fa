//! Two ports at the two ends of a kernel cable.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod support;

use capsule::{Device, Eal, PortSettings};
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
    let device = |interface: &str| Device::AfPacket { interface: interface.to_owned(), queues: 1 };
    let eal = Eal::init(&settings(&[("a", device("sw-a")), ("b", device("sw-b"))])).unwrap();
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
}

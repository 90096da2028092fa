//! AF_XDP sockets at the two ends of a kernel cable.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod support;

use capsule::{Device, Eal, Memory};
use support::{
    frame, hardware_address, in_own_network, pool, receive_frames, send_all, settings, started,
    veth,
};

#[test]
fn frames_cross_a_veth_pair_through_xdp_sockets() {
    if !in_own_network("frames_cross_a_veth_pair_through_xdp_sockets") {
        return;
    }
    veth("sw-a", "sw-b");
    let device = |interface: &str| Device::AfXdp {
        interface: interface.to_owned(),
        queues: 1,
        busy_budget: Some(0),
        force_copy: true,
    };
    let mut settings = settings(&[("a", device("sw-a")), ("b", device("sw-b"))]);
    settings.memory = Memory::Ordinary { mib: 256 };
    let eal = Eal::init(&settings).unwrap();
    let pool = pool(&eal, "pool", 16_384);
    let (a, mut a_queues) = started(&eal, "a", &pool);
    let (b, mut b_queues) = started(&eal, "b", &pool);
    assert_eq!(a.info().driver, "net_af_xdp");
    assert_eq!(a.mac().to_string(), hardware_address("sw-a"));
    let at_rest = pool.in_use();
    let frames: Vec<_> = (0..1000_u32).map(|n| frame(n, 60 + n as usize % 1440)).collect();
    for chunk in frames.chunks(100) {
        send_all(&mut a_queues, &pool, chunk);
        assert!(receive_frames(&mut b_queues, chunk.len()) == chunk, "a to b");
        send_all(&mut b_queues, &pool, chunk);
        assert!(receive_frames(&mut a_queues, chunk.len()) == chunk, "b to a");
    }
    assert!(a.link().up && b.link().up);
    drop((a_queues, b_queues, a, b));
    // DPDK 22.11's driver does not return what waits in its fill rings at close, nor the last few
    // frames whose completion it has not seen. Lost for good are those, not what was received.
    let (kept, sent) = (pool.in_use(), 2000);
    assert!(kept <= at_rest + sent / 10, "{kept} mbufs are kept, {at_rest} were at rest");
}

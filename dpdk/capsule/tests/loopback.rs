//! The looping device: what is sent comes back, the same bytes in the same order.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod support;

use capsule::{Device, Eal, PortSettings};
use support::{frame, pool, receive_frames, send_all, settings, started_with};

#[test]
fn frames_come_back_from_the_loop_unchanged_and_in_order() {
    let eal = Eal::init(&settings(&[("loop", Device::Ring {})])).unwrap();
    let pool = pool(&eal, "pool", 4096);
    let two = PortSettings { rx_queues: 2, tx_queues: 2, ..PortSettings::default() };
    let (port, mut queues) = started_with(&eal, "loop", &pool, &two);
    assert_eq!((port.features().rx_queues, queues.rx.len(), queues.tx.len()), (2, 2, 2));

    let frames: Vec<_> = (0..500_u32).map(|n| frame(n, 60 + n as usize * 2)).collect();
    send_all(&mut queues, &pool, &frames);
    assert_eq!(queues.rx[1].receive(&mut capsule::Burst::new()), 0, "queue 1 is another loop");
    assert_eq!(receive_frames(&mut queues, frames.len()), frames);

    // What is still in the loop at the end goes back to the pool.
    send_all(&mut queues, &pool, &frames);
    drop(queues);
    assert_eq!(pool.in_use(), 500);
    drop(port);
    assert_eq!(pool.in_use(), 0);
}

//! The whole way once, over the driver that makes frames from nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod support;

use capsule::{Burst, Device, Eal, Mempool, Port, PortError, PortSettings, Tsc};
use support::{pool, settings, started};

#[test]
fn frames_from_nothing_are_received_sent_and_counted() {
    let device = Device::Null { frame_bytes: 64, copy: false };
    let eal = Eal::init(&settings(&[("nothing", device)])).unwrap();
    assert!(eal.version().starts_with("DPDK 22.11"), "{}", eal.version());
    let pool = pool(&eal, "pool", 4096);
    assert!(matches!(Port::by_name(&eal, "other"), Err(PortError::Unknown { .. })));
    let closed = Port::by_name(&eal, "nothing").unwrap();
    assert_eq!(closed.info().driver, "net_null");
    assert!(matches!(Port::by_name(&eal, "nothing"), Err(PortError::Open { .. })));
    drop(closed);

    let refused = |settings, pool: &Mempool| {
        let port = Port::by_name(&eal, "nothing").unwrap();
        port.configure(&settings).and_then(|port| port.start(pool)).unwrap_err()
    };
    let zero = PortSettings { rx_queues: 0, ..PortSettings::default() };
    assert!(matches!(refused(zero, &pool), PortError::Zero { settings: "rx_queues", .. }));
    let jumbo = PortSettings { mtu: 9000, ..PortSettings::default() };
    let text = refused(jumbo, &pool).to_string();
    assert!(text.contains("MTU 9000 need buffers of 9142 bytes"), "{text}");

    let (mut port, mut queues) = started(&eal, "nothing", &pool);
    assert!(port.take_queues().is_none(), "the queues were handed out already");
    assert!(port.link().up);
    let (rx, tx) = (&mut queues.rx[0], &mut queues.tx[0]);
    let mut burst = Burst::new();
    for _ in 0..100 {
        assert_eq!(rx.receive(&mut burst), 64);
        assert!(burst.iter().all(|mbuf| mbuf.len() == 64 && mbuf.is_contiguous()));
        assert!(burst.iter().all(|mbuf| mbuf.port() == port.id()));
        assert_eq!(tx.send(&mut burst), 64);
        assert!(burst.is_empty());
    }
    let stats = port.stats();
    assert_eq!((stats.rx_packets, stats.tx_packets), (6400, 6400));

    let monitor = port.monitor();
    drop(port);
    let watcher = std::thread::spawn(move || monitor.stats().rx_packets);
    assert_eq!(watcher.join().unwrap(), 6400, "queues keep the port open");

    let tsc = Tsc::new(&eal);
    assert!((100_000_000..10_000_000_000).contains(&tsc.hz()), "{}", tsc.hz());
}

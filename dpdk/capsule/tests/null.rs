//! The whole way once, over the driver that makes frames from nothing.

use capsule::{
    Burst, Device, Eal, EalSettings, Mempool, MempoolSettings, NamedDevice, Port, PortSettings,
};

#[test]
fn frames_from_nothing_are_received_sent_and_counted() {
    let device = Device::Null { frame_bytes: 64, copy: false };
    let mut settings = EalSettings::new(format!("sw-null-{}", std::process::id()));
    settings.devices = vec![NamedDevice::new("nothing", device).unwrap()];
    let eal = Eal::init(&settings).unwrap();
    let pool = Mempool::create(&eal, &MempoolSettings::new("pool", 4096)).unwrap();
    let port = Port::by_name(&eal, "nothing").unwrap();
    let port = port.configure(&PortSettings::default()).unwrap();
    println!("{:?} {:?}", port.info(), port.features());
    let mut port = port.start(&pool).unwrap();
    let mut queues = port.take_queues().unwrap();
    let (rx, tx) = (&mut queues.rx[0], &mut queues.tx[0]);
    let mut burst = Burst::new();
    for _ in 0..100 {
        assert_eq!(rx.receive(&mut burst), 64);
        assert!(burst.iter().all(|mbuf| mbuf.len() == 64 && mbuf.port() == port.id()));
        assert_eq!(tx.send(&mut burst), 64);
        assert!(burst.is_empty());
    }
    let stats = port.stats();
    assert_eq!((stats.rx_packets, stats.tx_packets), (6400, 6400));
}

//! What the layer itself costs: receive, touch and send frames that come from nothing.
//!
//! `cargo run --release -p capsule --example null_speed`, to be held against
//! `dpdk-testpmd --no-huge -l 0,1 --no-pci --vdev net_null0 --vdev net_null1 -- --burst=64`.
#![expect(clippy::print_stdout, reason = "a program that prints its result")]

use std::error::Error;

use capsule::{
    Burst, Device, Eal, EalSettings, Mempool, MempoolSettings, NamedDevice, Port, PortSettings, Tsc,
};

const ROUNDS: u32 = 2_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut settings = EalSettings::new(format!("sw-null-speed-{}", std::process::id()));
    let device = Device::Null { frame_bytes: 64, copy: false };
    settings.devices = vec![NamedDevice::new("nothing", device)?];
    let eal = Eal::init(&settings)?;
    let pool = Mempool::create(&eal, &MempoolSettings::new("pool", 8192))?;
    let tsc = Tsc::new(&eal);
    let port = Port::by_name(&eal, "nothing")?.configure(&PortSettings::default())?;
    let mut port = port.start(&pool)?;
    let mut queues = port.take_queues().ok_or("no queues")?;
    let (rx, tx) = (queues.rx.first_mut().ok_or("no rx")?, queues.tx.first_mut().ok_or("no tx")?);
    for touch in [false, true] {
        let mut burst = Burst::new();
        let (mut packets, mut sum) = (0_u64, 0_u64);
        let start = tsc.now();
        for _ in 0..ROUNDS {
            packets += rx.receive(&mut burst) as u64;
            if touch {
                for mbuf in &mut burst {
                    if let Some(first) = mbuf.data_mut().first_mut() {
                        *first ^= 1;
                        sum += u64::from(*first);
                    }
                }
            }
            tx.send(&mut burst);
            burst.clear();
        }
        let ticks = tsc.now() - start;
        let nanos = tsc.nanos(ticks);
        println!(
            "touch={touch} packets={packets} cycles_per_packet={}.{:02} kpps={} sum={sum}",
            ticks / packets,
            ticks * 100 / packets % 100,
            packets * 1_000_000 / nanos.max(1),
        );
    }
    Ok(())
}

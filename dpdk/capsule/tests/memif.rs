//! Shared memory between two processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod support;

use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;
use std::{env, thread};

use capsule::{Burst, Device, Eal, EalSettings, MemifRole, Memory};
use support::{
    Directory, again, frame, pool, receive_frames, role, send_all, settings, started, succeed,
    wait_until,
};

const NAME: &str = "frames_cross_a_memif_to_another_process_and_back";
const FRAMES: u32 = 1000;
const SERVER: &str = "server";
const MEMORY: &str = "SW_CAPSULE_MEMORY";
const HUGEPAGES: &str = "hugepages";
const ORDINARY: &str = "ordinary";
const SOCKET: &str = "SW_CAPSULE_SOCKET";

fn memif(role: MemifRole, socket: PathBuf) -> EalSettings {
    let secret = Some("s3cret".to_owned());
    let device = Device::Memif { role, id: 7, socket, ring_size_log2: 10, secret };
    let mut settings = settings(&[("memif", device)]);
    settings.multi_process = true;
    settings.memory = match env::var(MEMORY).unwrap().as_str() {
        HUGEPAGES => Memory::Hugepages { mib: 64 },
        _ => Memory::Ordinary { mib: 64 },
    };
    settings
}

/// Ends with the test, however that ends.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn frames_cross_a_memif_to_another_process_and_back() {
    match role().as_deref() {
        None => {
            for memory in [HUGEPAGES, ORDINARY] {
                succeed(again(NAME, SERVER).env(MEMORY, memory).status().unwrap());
            }
        }
        Some(SERVER) => send_and_compare(),
        Some(_) => reflect(),
    }
}

/// One process: listens, sends, and compares what comes back.
fn send_and_compare() {
    let directory = Directory::new();
    let socket = directory.join("memif.sock");
    let eal = Eal::init(&memif(MemifRole::Server, socket.clone())).unwrap();
    let pool = pool(&eal, "pool", 8192);
    let (port, mut queues) = started(&eal, "memif", &pool);
    assert!(!port.link().up, "nobody is there yet");
    let mut peer = Peer(again(NAME, "client").env(SOCKET, &socket).spawn().unwrap());
    // Half of the connection runs on the driver's own thread.
    for _ in 0..500 {
        thread::sleep(Duration::from_millis(10));
        if port.link().up {
            break;
        }
    }
    assert!(port.link().up, "the peer connects");
    let frames: Vec<_> = (0..FRAMES).map(|n| frame(n, 60 + n as usize % 1440)).collect();
    for chunk in frames.chunks(200) {
        send_all(&mut queues, &pool, chunk);
        assert!(receive_frames(&mut queues, chunk.len()) == chunk);
    }
    drop((queues, port));
    succeed(peer.0.wait().unwrap());
    assert_eq!(pool.in_use(), 0);
    let (run_dir, name) = ("/var/run/dpdk", support::settings(&[]).name);
    drop(pool);
    drop(eal);
    assert!(!PathBuf::from(run_dir).join(name).exists(), "the shared configuration is removed");
}

/// The other process: sends everything back.
fn reflect() {
    let socket = PathBuf::from(env::var_os(SOCKET).unwrap());
    let eal = Eal::init(&memif(MemifRole::Client, socket)).unwrap();
    let pool = pool(&eal, "pool", 8192);
    let (port, mut queues) = started(&eal, "memif", &pool);
    let mut burst = Burst::new();
    let mut reflected = 0;
    wait_until("all frames are reflected", || {
        queues.rx[0].receive(&mut burst);
        reflected += queues.tx[0].send(&mut burst);
        reflected == FRAMES as usize
    });
    // Ending now would take the last frames along: they lie in memory that this end has made.
    wait_until("the other end closes", || !port.link().up);
}

//! What the tests share. Each test is a file of its own, because DPDK starts once per process.
#![allow(dead_code, reason = "no test uses all of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};
use std::{env, fs, process};

use capsule::{
    Burst, Device, Eal, EalSettings, Mempool, MempoolSettings, NamedDevice, Port, PortSettings,
    Queues, Running,
};

/// Ethertype for local experiments (IEEE 802): the kernel sends nothing of it by itself.
const TEST_ETHERTYPE: [u8; 2] = [0x88, 0xb5];

/// Settings with a name of this process and these devices, in ordinary memory.
pub(crate) fn settings(devices: &[(&str, Device)]) -> EalSettings {
    let mut settings = EalSettings::new(format!("sw-capsule-{}", process::id()));
    settings.devices = devices
        .iter()
        .map(|(name, device)| NamedDevice::new(*name, device.clone()).unwrap())
        .collect();
    settings
}

pub(crate) fn pool(eal: &Eal, name: &str, mbufs: u32) -> Mempool {
    Mempool::create(eal, &MempoolSettings::new(name, mbufs)).unwrap()
}

/// A running port with one queue pair, and the queues.
pub(crate) fn started(eal: &Eal, name: &str, pool: &Mempool) -> (Port<Running>, Queues) {
    started_with(eal, name, pool, &PortSettings::default())
}

pub(crate) fn started_with(
    eal: &Eal,
    name: &str,
    pool: &Mempool,
    settings: &PortSettings,
) -> (Port<Running>, Queues) {
    let port = Port::by_name(eal, name).unwrap().configure(settings).unwrap();
    let mut port = port.start(pool).unwrap();
    let queues = port.take_queues().unwrap();
    (port, queues)
}

/// A broadcast frame of `len` bytes with a payload that only `number` gives.
pub(crate) fn frame(number: u32, len: usize) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([0x02, 0, 0, 0, 0, 1]);
    frame.extend(TEST_ETHERTYPE);
    frame.extend(number.to_be_bytes());
    // The golden ratio spreads neighbouring numbers apart.
    let salt = number.wrapping_mul(0x9e37_79b9);
    while frame.len() < len {
        let at = frame.len();
        frame.push(salt.to_be_bytes()[at % 4] ^ at.to_be_bytes()[7]);
    }
    frame
}

pub(crate) fn is_test_frame(bytes: &[u8]) -> bool {
    bytes.get(12..14) == Some(&TEST_ETHERTYPE)
}

/// Sends all frames, a burst at a time, and fails when the queue takes none for five seconds.
pub(crate) fn send_all(queues: &mut Queues, pool: &Mempool, frames: &[Vec<u8>]) {
    for chunk in frames.chunks(Burst::CAPACITY) {
        let mut burst = Burst::new();
        assert_eq!(pool.alloc_burst(&mut burst, chunk.len()), chunk.len());
        for (mbuf, frame) in burst.iter_mut().zip(chunk) {
            assert!(mbuf.copy_from(frame));
        }
        wait_until("the queue takes the burst", || {
            queues.tx[0].send(&mut burst);
            burst.is_empty()
        });
    }
}

/// The test frames among the next ones received, until there are `count` or five seconds pass.
pub(crate) fn receive_frames(queues: &mut Queues, count: usize) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut burst = Burst::new();
    let deadline = Instant::now() + Duration::from_secs(5);
    while frames.len() < count && Instant::now() < deadline {
        queues.rx[0].receive(&mut burst);
        frames.extend(
            burst.drain().map(|mbuf| mbuf.data().to_vec()).filter(|frame| is_test_frame(frame)),
        );
    }
    frames
}

/// Polls for up to five seconds.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
    }
}

/// The environment variable that tells a test which part of itself to play.
pub(crate) const ROLE: &str = "SW_CAPSULE_ROLE";

pub(crate) fn role() -> Option<String> {
    env::var(ROLE).ok()
}

/// This very test again, in another process, with a part to play.
pub(crate) fn again(test: &str, role: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(ROLE, role);
    command
}

/// Runs the test again in a network namespace without a name, which ends with its process: nothing
/// is left behind whatever happens. `true` in there.
pub(crate) fn in_own_network(test: &str) -> bool {
    if role().is_some() {
        return true;
    }
    let mut command = Command::new("unshare");
    command.arg("--net").arg(env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(ROLE, "inside");
    succeed(command.status().unwrap());
    false
}

pub(crate) fn succeed(status: ExitStatus) {
    assert!(status.success(), "{status}");
}

/// Runs a program, and fails with its output when it fails.
pub(crate) fn run(line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Two interfaces with a cable between them, both up, without IPv6 chatter and unfinished checksums.
pub(crate) fn veth(left: &str, right: &str) {
    run(&format!("ip link add {left} type veth peer name {right}"));
    for interface in [left, right] {
        fs::write(format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"), "1").unwrap();
        run(&format!("ip link set {interface} up"));
    }
}

/// The interface's hardware address, as the kernel shows it here.
pub(crate) fn hardware_address(interface: &str) -> String {
    let output = Command::new("ip").args(["-brief", "link", "show", interface]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().nth(2).unwrap().to_owned()
}

/// A directory of this process that goes with the value.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        let path = env::temp_dir().join(format!("sw-capsule-{}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn join(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

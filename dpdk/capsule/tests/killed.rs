//! A process that is killed leaves nothing behind that takes memory or stops the next start.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;
use std::{env, fs, thread};

use capsule::eal::hugepages_free_mib;
use capsule::{Device, Eal, EalSettings, Memory};
use support::{again, pool, role, settings, started, succeed};

const TEST: &str = "a_killed_process_leaves_no_hugepage_and_the_next_one_starts_under_its_name";
const NAME: &str = "SW_CAPSULE_NAME";
const MIB: u32 = 128;
const READY: &str = "the port runs";

fn with_hugepages(name: String, multi_process: bool) -> EalSettings {
    let mut settings = settings(&[("loop", Device::Ring {})]);
    settings.name = name;
    settings.memory = Memory::Hugepages { mib: MIB };
    settings.multi_process = multi_process;
    settings
}

/// Files of this instance in the hugepage file system.
fn hugepage_files(name: &str) -> Vec<String> {
    let entries = fs::read_dir("/dev/hugepages").unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|file| file.contains(name)).collect()
}

/// MiB of hugepages that the process has mapped.
fn mapped_mib(process: &Child) -> u32 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("HugetlbPages")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u32>().unwrap() / 1024
}

#[test]
fn a_killed_process_leaves_no_hugepage_and_the_next_one_starts_under_its_name() {
    match role().as_deref() {
        None => {}
        Some(part) => return play(part),
    }
    for mode in ["in-memory", "shared"] {
        kill_and_restart(mode);
    }
}

fn kill_and_restart(mode: &str) {
    let name = format!("sw-killed-{mode}-{}", std::process::id());
    let mut command = again(TEST, &format!("{mode} wait"));
    let mut victim = command.env(NAME, &name).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains(READY)), "{mode}: it starts");
    let mapped = mapped_mib(&victim);
    let free_before = hugepages_free_mib();
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert!(mapped >= MIB, "{mode}: {mapped} MiB of hugepages were in use");
    assert_eq!(hugepage_files(&name), Vec::<String>::new(), "{mode}");
    let leftover = format!("/var/run/dpdk/{name}");
    if mode == "in-memory" {
        assert!(!fs::exists(&leftover).unwrap(), "{leftover}");
    }
    // Other programs may take and give hugepages meanwhile: ours must show up within some seconds.
    let back = (0..100).any(|_| {
        thread::sleep(Duration::from_millis(50));
        hugepages_free_mib() >= free_before + u64::from(MIB)
    });
    assert!(back, "{mode}: {} MiB are free, {free_before} were before the kill", {
        hugepages_free_mib()
    });
    let mut command = again(TEST, &format!("{mode} end"));
    succeed(command.env(NAME, &name).status().unwrap());
    assert!(!fs::exists(&leftover).unwrap(), "{mode}: an ordinary end removes {leftover}");
    assert_eq!(hugepage_files(&name), Vec::<String>::new(), "{mode}");
}

/// The other process: starts a port, then waits to be killed or ends.
fn play(part: &str) {
    let settings = with_hugepages(env::var(NAME).unwrap(), part.starts_with("shared"));
    let eal = Eal::init(&settings).unwrap();
    let pool = pool(&eal, "pool", 1024);
    let running = started(&eal, "loop", &pool);
    println!("{READY}");
    if part.ends_with("wait") {
        thread::sleep(Duration::from_mins(1));
        panic!("nobody killed this process");
    }
    drop(running);
}

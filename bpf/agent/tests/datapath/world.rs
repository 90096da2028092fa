//! A network namespace, a mount namespace, a bpffs and a cgroup of a test's own.
#![expect(unsafe_code, reason = "two questions to bpf(2) that aya does not ask")]
#![allow(dead_code, reason = "not every test needs all of it")]

use std::fs::{self, File};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use aya::programs::{SchedClassifier, TcAttachType};
use spillway_node::datapath::{Datapath, DatapathSettings, MapSizes, TcAttach};
use spillway_node::devices::DeviceRef;
use spillway_node::pins::{Direction, Pins};

const INSIDE: &str = "SPILLWAY_TEST_WORLD";

/// Runs the test `name` again in namespaces of its own, and says whether this is that run.
pub(crate) fn enter(name: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        eprintln!("skipped: programs and namespaces need root");
        return false;
    }
    let status = Command::new("unshare")
        .args(["--mount", "--net", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{name}: {status}");
    false
}

/// Cleans up when dropped; the namespaces go with the process.
pub(crate) struct World {
    folder: PathBuf,
    pub(crate) cgroup: PathBuf,
}

impl World {
    pub(crate) fn new() -> Self {
        let id = std::process::id();
        let folder = PathBuf::from(format!("/tmp/sw-load-{id}"));
        let cgroup = cgroup_root().join(format!("sw-load-{id}"));
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(&cgroup).unwrap();
        run("ip link set lo up");
        Self { folder, cgroup }
    }

    pub(crate) fn pins(&self) -> Pins {
        Pins::new(self.folder.join("bpf/spillway"))
    }

    pub(crate) fn settings(&self, tc_attach: TcAttach) -> DatapathSettings {
        let sizes = MapSizes { conntrack: 1024, nat: 1024, affinity: 1024, ..MapSizes::default() };
        DatapathSettings { pins: self.pins(), cgroup: self.cgroup.clone(), sizes, tc_attach }
    }

    pub(crate) fn load(&self, tc_attach: TcAttach) -> Datapath {
        Datapath::load(&self.settings(tc_attach)).unwrap()
    }

    /// Puts this process into the cgroup, so that its sockets get the programs.
    pub(crate) fn join(&self) {
        fs::write(self.cgroup.join("cgroup.procs"), "0").unwrap();
    }

    /// Programs at a hook of the cgroup, by their numbers.
    pub(crate) fn at_cgroup(&self, attach_type: u32) -> Vec<u32> {
        at_cgroup(&File::open(&self.cgroup).unwrap(), attach_type)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.folder.join("bpf")).status();
        let _ = fs::remove_dir_all(&self.folder);
        let _ = fs::write(cgroup_root().join("cgroup.procs"), "0");
        let _ = fs::remove_dir(&self.cgroup);
    }
}

fn cgroup_root() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let of_version_2 = |line: &&str| line.contains(" - cgroup2 ");
    let line = mounts.lines().find(of_version_2).expect("a cgroup of version 2 is mounted");
    line.split(' ').nth(4).unwrap().into()
}

pub(crate) fn run(command: &str) {
    let mut words = command.split(' ');
    let status = Command::new(words.next().unwrap()).args(words).status().unwrap();
    assert!(status.success(), "{command}: {status}");
}

pub(crate) fn output(command: &str) -> String {
    let mut words = command.split(' ');
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// One end of a new veth pair, whose other end is `NAMEp`.
pub(crate) fn veth(name: &str) -> DeviceRef {
    run(&format!("ip link add {name} type veth peer name {name}p"));
    run(&format!("ip link set {name} up"));
    run(&format!("ip link set {name}p up"));
    let ifindex = fs::read_to_string(format!("/sys/class/net/{name}/ifindex"));
    // The sysfs that is mounted may be of another network namespace.
    let listed = output(&format!("ip -o link show {name}"));
    let ifindex = ifindex.unwrap_or(listed.split(':').next().unwrap().to_owned());
    DeviceRef { ifindex: ifindex.trim().parse().unwrap(), name: name.to_owned() }
}

/// Programs at a device by TCX, by their names, in their order.
pub(crate) fn at_tcx(device: &str, direction: Direction) -> Vec<String> {
    let at = match direction {
        Direction::Ingress => TcAttachType::Ingress,
        Direction::Egress => TcAttachType::Egress,
    };
    // A program may go between its number and its name.
    let seen = (0..10).find_map(|_| SchedClassifier::query_tcx(device, at).ok());
    let (_, programs) = seen.unwrap();
    programs.iter().map(|program| program.name_as_str().unwrap().to_owned()).collect()
}

/// tc filters of a device, as tc tells them.
pub(crate) fn at_clsact(device: &str, direction: Direction) -> String {
    output(&format!("tc filter show dev {device} {}", direction.name()))
}

#[repr(C)]
struct Query {
    target: u32,
    attach_type: u32,
    flags: u32,
    attach_flags: u32,
    programs: u64,
    count: u32,
    pad: u32,
}

pub(crate) fn at_cgroup(folder: &File, attach_type: u32) -> Vec<u32> {
    let mut programs = [0_u32; 64];
    let mut query = Query {
        target: folder.as_raw_fd().cast_unsigned(),
        attach_type,
        flags: 0,
        attach_flags: 0,
        programs: programs.as_mut_ptr() as u64,
        count: 64,
        pad: 0,
    };
    // SAFETY: BPF_PROG_QUERY (16) of kernel 4.15 writes into `query` and at most 64 numbers into `programs`.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, 16, &raw mut query, size_of::<Query>()) };
    assert_eq!(answer, 0, "{}", std::io::Error::last_os_error());
    programs[..query.count as usize].to_vec()
}

/// `bpftool link detach pinned PATH`.
pub(crate) fn detach_link(pin: &Path) {
    let path = std::ffi::CString::new(pin.to_str().unwrap()).unwrap();
    let mut get = [path.as_ptr() as u64, 0];
    // SAFETY: BPF_OBJ_GET (7) reads the address of a path and two zeros.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, 7, get.as_mut_ptr(), 16) };
    assert!(fd >= 0, "{}: {}", pin.display(), std::io::Error::last_os_error());
    // SAFETY: new, and nobody else's.
    let link = unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).unwrap()) };
    let mut raw = link.as_raw_fd().cast_unsigned();
    // SAFETY: BPF_LINK_DETACH (34) reads a descriptor.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, 34, &raw mut raw, 4) };
    assert_eq!(answer, 0, "{}", std::io::Error::last_os_error());
}

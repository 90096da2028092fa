//! A node of its own for one test: network namespace, bpffs, cgroup, programs, maps, pods that answer.

use std::fs::{self, File};
use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use aya::maps::lpm_trie::Key;
use aya::maps::{Array, HashMap, LpmTrie, Map, MapData, PerCpuArray};
use aya::programs::{CgroupAttachMode, Program};
use aya::{Ebpf, EbpfLoader};
use nix::sched::{CloneFlags, unshare};
use spillway_lb::model::Protocol;
use spillway_node::layout::{
    self, Affinity, AffinityKey, BACKEND_ACTIVE, BACKEND_FREE, Backend, COUNTERS, Frontend,
    FrontendKey, SCOPE_INTERNAL, Settings, SourceRange,
};
use spillway_node::pins::Pins;
use spillway_node::{namespaces, objects};

use crate::client::Client;

pub(crate) const ECONNREFUSED: &str = "errno 111";
pub(crate) const EHOSTUNREACH: &str = "errno 113";
pub(crate) const ENETUNREACH: &str = "errno 101";
pub(crate) const EADDRINUSE: &str = "errno 98";
pub(crate) const EACCES: &str = "errno 13";
pub(crate) const EPERM: &str = "errno 1";
pub(crate) const ECONNABORTED: &str = "errno 103";
/// Nothing came in time.
pub(crate) const EAGAIN: &str = "errno 11";

/// Where pods listen, on both protocols; what they answer is the last digit of their address.
pub(crate) const POD_PORT: u16 = 8080;
pub(crate) const PODS_V4: [&str; 3] = ["10.244.0.1", "10.244.0.2", "10.244.0.3"];
pub(crate) const PODS_V6: [&str; 3] = ["fd00:244::1", "fd00:244::2", "fd00:244::3"];
pub(crate) const NODE_V4: &str = "192.0.2.10";
pub(crate) const NODE_V6: &str = "2001:db8::10";

static WORLDS: AtomicU32 = AtomicU32::new(0);

pub(crate) struct World {
    bpf: Option<Ebpf>,
    cgroup: PathBuf,
    pub(crate) settings: Settings,
    next: u32,
}

/// What a frontend may have beside its backends.
#[derive(Copy, Clone, Default)]
pub(crate) struct Extra {
    pub(crate) flags: u16,
    pub(crate) kind: u8,
    pub(crate) affinity_s: u32,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::of_kernel(1)
    }

    /// With `HAS_SET_RETVAL` as the loader would set it.
    pub(crate) fn of_kernel(has_set_retval: u8) -> Self {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).unwrap();
        run("mount --make-rprivate /");
        run("mount -t bpf bpf /sys/fs/bpf");
        run("ip link set lo up");
        for address in PODS_V4.iter().chain([&NODE_V4]) {
            run(&format!("ip address add {address}/32 dev lo"));
        }
        for address in PODS_V6.iter().chain([&NODE_V6]) {
            run(&format!("ip address add {address}/128 dev lo nodad"));
        }
        for pod in PODS_V4.iter().chain(&PODS_V6) {
            serve(SocketAddr::new(pod.parse().unwrap(), POD_PORT));
        }
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let cgroup = format!("/sys/fs/cgroup/unified/sw-sock-{}-{number}", std::process::id());
        fs::create_dir(&cgroup).unwrap();
        let settings = Settings {
            node_ipv4: address(NODE_V4),
            node_ipv6: address(NODE_V6),
            host_netns: namespaces::cookie().unwrap().unwrap(),
            node_port_min: 30000,
            node_port_max: 32767,
            ..Settings::default()
        };
        let mut world = Self { bpf: None, cgroup: cgroup.into(), settings, next: 1 };
        world.load(has_set_retval);
        world.apply_settings();
        world
    }

    pub(crate) fn pins() -> Pins {
        Pins::new("/sys/fs/bpf/sw-sock")
    }

    fn load(&mut self, has_set_retval: u8) {
        fs::create_dir_all(Self::pins().maps()).unwrap();
        let mut loader = EbpfLoader::new();
        loader.default_map_pin_directory(Self::pins().maps());
        loader.override_global("HAS_SET_RETVAL", &has_set_retval, true);
        for lru in ["affinity", "conntrack", "nat"] {
            loader.map_max_entries(lru, 1024);
        }
        let mut bpf = loader.load(objects::SOCK).unwrap();
        let cgroup = File::open(&self.cgroup).unwrap();
        for (name, program) in bpf.programs_mut() {
            // No flag: a link of a cgroup is always one of several, and refuses to be told so.
            let mode = CgroupAttachMode::Single;
            match program {
                Program::CgroupSockAddr(hook) => {
                    hook.load().unwrap_or_else(|error| panic!("{name}: {error}"));
                    hook.attach(&cgroup, mode).unwrap();
                }
                Program::CgroupSock(hook) => {
                    hook.load().unwrap_or_else(|error| panic!("{name}: {error}"));
                    hook.attach(&cgroup, mode).unwrap();
                }
                other => panic!("{name} is {:?}", other.prog_type()),
            }
        }
        self.bpf = Some(bpf);
    }

    /// Takes the programs away; sockets are as they were.
    pub(crate) fn unload(&mut self) {
        self.bpf = None;
    }

    fn map(&mut self, name: &str) -> &mut Map {
        self.bpf.as_mut().unwrap().map_mut(name).unwrap()
    }

    fn array<V: aya::Pod>(&mut self, name: &str) -> Array<&mut MapData, V> {
        Array::try_from(self.map(name)).unwrap()
    }

    pub(crate) fn hash<K: aya::Pod, V: aya::Pod>(
        &mut self,
        name: &str,
    ) -> HashMap<&mut MapData, K, V> {
        HashMap::try_from(self.map(name)).unwrap()
    }

    pub(crate) fn apply_settings(&mut self) {
        let settings = self.settings;
        self.array("settings").set(0, settings, 0).unwrap();
    }

    /// A service over pods; returns its number. Its backends' rows are the number of the service times ten, and up.
    pub(crate) fn service(&mut self, protocol: Protocol, at: &str, pods: &[&str]) -> u32 {
        self.service_with(protocol, at, pods, Extra::default())
    }

    pub(crate) fn service_with(
        &mut self,
        protocol: Protocol,
        at: &str,
        pods: &[&str],
        extra: Extra,
    ) -> u32 {
        let service = self.next;
        self.next += 1;
        let rows: Vec<u32> = (0..).zip(pods).map(|(n, _)| service * 10 + n).collect();
        for (row, pod) in rows.iter().zip(pods) {
            self.backend(*row, service, pod, BACKEND_ACTIVE);
        }
        self.frontend(protocol, at, service, &rows, extra);
        service
    }

    pub(crate) fn backend(&mut self, row: u32, service: u32, pod: &str, state: u8) {
        let backend = Backend {
            address: address(pod),
            port: POD_PORT.into(),
            state,
            flags: 0,
            service,
            pad: 0,
        };
        self.array("backends").set(row, backend, 0).unwrap();
    }

    pub(crate) fn free(&mut self, row: u32) {
        let nobody = Backend { state: BACKEND_FREE, ..Backend::default() };
        self.array("backends").set(row, nobody, 0).unwrap();
    }

    /// Writes or replaces a frontend with this list of rows to choose from.
    pub(crate) fn frontend(
        &mut self,
        protocol: Protocol,
        at: &str,
        service: u32,
        rows: &[u32],
        extra: Extra,
    ) {
        let at: SocketAddr = at.parse().unwrap();
        // Fresh places, as the contract has it.
        let first = self.next * 2000;
        self.next += 1;
        let mut choices = self.array::<u32>("choices");
        for (place, row) in (first..).zip(rows) {
            choices.set(place, *row, 0).unwrap();
        }
        let frontend = Frontend {
            id: service,
            service,
            first,
            count: u32::try_from(rows.len()).unwrap(),
            affinity_s: extra.affinity_s,
            flags: extra.flags,
            kind: extra.kind,
            pad: 0,
        };
        self.hash("frontends").insert(key(protocol, at), frontend, 0).unwrap();
    }

    /// Whom the sockets of a namespace are.
    pub(crate) fn client_is(&mut self, cookie: u64, ipv4: &str, ipv6: &str) {
        let client = layout::Client { ipv4: address(ipv4), ipv6: address(ipv6) };
        self.hash("clients").insert(cookie, client, 0).unwrap();
    }

    pub(crate) fn allow_source(&mut self, service: u32, source: &str, bits: u32) {
        let data = SourceRange { service, source: address(source) };
        let mut ranges: LpmTrie<_, SourceRange, u8> =
            LpmTrie::try_from(self.map("source_ranges")).unwrap();
        ranges.insert(&Key::new(32 + bits, data), 1, 0).unwrap();
    }

    pub(crate) fn affinity(&mut self) -> HashMap<&mut MapData, AffinityKey, Affinity> {
        self.hash("affinity")
    }

    pub(crate) fn counter(&mut self, name: &str) -> u64 {
        let at = COUNTERS.iter().position(|it| *it == name).unwrap();
        self.sum("counters", at)
    }

    pub(crate) fn drops(&mut self, reason: spillway_lb::verdict::DropReason) -> u64 {
        self.sum("drops", reason as usize)
    }

    fn sum(&mut self, map: &str, at: usize) -> u64 {
        let rows: PerCpuArray<_, u64> = PerCpuArray::try_from(self.map(map)).unwrap();
        rows.get(&u32::try_from(at).unwrap(), 0).unwrap().iter().sum()
    }

    /// A process of the host, in a cgroup below ours: pods and services are there, the programs are above.
    pub(crate) fn host(&self) -> Client {
        Client::start(&self.group("host"), false)
    }

    /// A process that the programs do not see.
    pub(crate) fn outsider() -> Client {
        Client::start(Path::new("/sys/fs/cgroup/unified"), false)
    }

    /// A process in a network namespace of its own, 10.244.9.2 and fd00:9::2.
    pub(crate) fn pod(&self) -> Client {
        let client = Client::start(&self.group("pod"), true);
        let pid = client.pid();
        run(&format!("ip link add sw-pod type veth peer name eth0 netns {pid}"));
        run("ip address add 10.244.9.1/24 dev sw-pod");
        run("ip address add fd00:9::1/64 dev sw-pod nodad");
        run("ip link set sw-pod up");
        for inside in [
            "link set lo up",
            "address add 10.244.9.2/24 dev eth0",
            "address add fd00:9::2/64 dev eth0 nodad",
            "link set eth0 up",
            "route add default via 10.244.9.1",
            "-6 route add default via fd00:9::1",
        ] {
            run(&format!("nsenter --net=/proc/{pid}/ns/net ip {inside}"));
        }
        client
    }

    fn group(&self, name: &str) -> PathBuf {
        let group = self.cgroup.join(name);
        fs::create_dir_all(&group).unwrap();
        group
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.bpf = None;
        for name in ["host", "pod", ""] {
            let _ = fs::remove_dir(self.cgroup.join(name));
        }
    }
}

pub(crate) fn address(text: &str) -> layout::Address {
    text.parse::<IpAddr>().unwrap().into()
}

fn key(protocol: Protocol, at: SocketAddr) -> FrontendKey {
    FrontendKey {
        address: at.ip().into(),
        port: at.port().into(),
        protocol: match protocol {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
        },
        scope: SCOPE_INTERNAL,
    }
}

/// A pod that says who it is. Its threads end with the process; they are in the namespace of the caller.
pub(crate) fn serve(at: SocketAddr) {
    let name = at.ip().to_string();
    let name = name[name.len() - 1..].to_owned();
    let tcp = TcpListener::bind(at).unwrap();
    let greeting = name.clone();
    thread::spawn(move || {
        let mut open = Vec::new();
        for stream in tcp.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(greeting.as_bytes());
            let _ = stream.shutdown(std::net::Shutdown::Write);
            // The last ones stay half open, so that a client may hold a connection.
            open.push(stream);
            if open.len() > 8 {
                open.remove(0);
            }
        }
    });
    let udp = UdpSocket::bind(at).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, from)) = udp.recv_from(&mut buffer) {
            let _ = udp.send_to(name.as_bytes(), from);
        }
    });
}

/// Runs a command in the namespaces of the calling thread.
pub(crate) fn run(command: &str) {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {stderr}");
}

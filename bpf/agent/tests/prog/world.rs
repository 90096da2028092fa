//! A node that exists in the kernel alone: its devices, routes and neighbours in a network namespace of the test's thread,
//! the programs, and the maps filled by hand.

use std::borrow::BorrowMut;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aya::maps::{Array, HashMap, LpmTrie, MapData, PerCpuArray, PerCpuValues, lpm_trie::Key};
use aya::programs::{SchedClassifier, TestRun, TestRunOptions};
use aya::{Ebpf, EbpfLoader, Pod};
use spillway_lb::model::ServiceKind;
use spillway_lb::verdict::DropReason;
use spillway_node::layout::{
    self, Address, Affinity, AffinityKey, Backend, COUNTERS, Conntrack, Device, Frontend,
    FrontendKey, Nat, Settings, SourceRange, Tuple,
};
use spillway_node::objects;

use crate::frame::Frame;

pub(crate) const ETH0_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x01];
pub(crate) const WORLD_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x80];
pub(crate) const POD_HOST_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x10];
pub(crate) const POD_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x72];

/// TC_ACT_UNSPEC: the packet goes on.
const NEXT: u32 = u32::MAX;
const SHOT: u32 = 2;
const REDIRECT: u32 = 7;

/// eth0 leads to the clients and to the other node, sw-pod to a pod of this node.
const NODE: &str = "
link set lo up
link add eth0 address 02:00:00:00:00:01 type veth peer name world address 02:00:00:00:00:80
link add sw-pod address 02:00:00:00:00:10 type veth peer name inside address 02:00:00:00:00:72
link set eth0 up
link set world up
link set sw-pod up
link set inside up
address add 172.26.50.101/24 dev eth0
address add 2001:db8:50::101/64 dev eth0 nodad
route add 10.0.0.0/24 dev sw-pod
route add fd00:0::/64 dev sw-pod
neighbor add 172.26.50.102 lladdr 02:00:00:00:00:02 dev eth0
neighbor add 172.26.50.180 lladdr 02:00:00:00:00:80 dev eth0
neighbor add 2001:db8:50::102 lladdr 02:00:00:00:00:02 dev eth0
neighbor add 2001:db8:50::180 lladdr 02:00:00:00:00:80 dev eth0
neighbor add 10.0.0.72 lladdr 02:00:00:00:00:72 dev sw-pod
neighbor add fd00::72 lladdr 02:00:00:00:00:72 dev sw-pod
route add 10.0.1.0/24 via 172.26.50.102
route add fd00:0:0:1::/64 via 2001:db8:50::102
";

const MAPS: &str = "/sys/fs/bpf/sw-maps";

/// A program, by its name.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    FromNetdev,
    ToNetdev,
    FromContainer,
    ToContainer,
}

/// What a program made of a frame.
#[derive(Debug)]
pub(crate) struct Outcome {
    verdict: u32,
    bytes: Vec<u8>,
    drops: Vec<(DropReason, u64)>,
}

/// A frontend as a test says it.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    at: SocketAddr,
    protocol: u8,
    scope: u8,
    row: Frontend,
}

/// Loaded once: the verifier takes longer than all the tests.
static OBJECTS: Mutex<Option<[Ebpf; 2]>> = Mutex::new(None);

/// One test's at a time.
pub(crate) struct World {
    objects: MutexGuard<'static, Option<[Ebpf; 2]>>,
    eth0: u32,
    pod_device: u32,
    choices: u32,
    backends: u32,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut objects = OBJECTS.lock().unwrap_or_else(PoisonError::into_inner);
        own_namespaces();
        if objects.is_none() {
            *objects = Some(load());
        }
        let mut world = Self {
            objects,
            eth0: ifindex("eth0"),
            pod_device: ifindex("sw-pod"),
            choices: 0,
            backends: 1,
        };
        world.forget_everything();
        world.settings(|_| {});
        world
    }

    fn netdev(&mut self) -> &mut Ebpf {
        let [netdev, _] = self.objects.as_mut().unwrap();
        netdev
    }

    fn forget_everything(&mut self) {
        self.forget::<FrontendKey, Frontend>("frontends");
        self.forget::<AffinityKey, Affinity>("affinity");
        self.forget::<u32, Device>("devices");
        self.forget::<Tuple, Conntrack>("conntrack");
        self.forget::<Tuple, Nat>("nat");
        let rows: Vec<_> = self.source_ranges().keys().map(Result::unwrap).collect();
        for row in rows {
            self.source_ranges().remove(&row).unwrap();
        }
        self.forget::<[u8; 40], u32>("fragments");
        let zeros = vec![0; aya::util::nr_cpus().unwrap()];
        let map = self.netdev().map_mut("counters").unwrap();
        let mut counters = PerCpuArray::<_, u64>::try_from(map).unwrap();
        for row in 0..counters.len() {
            counters.set(row, PerCpuValues::try_from(zeros.clone()).unwrap(), 0).unwrap();
        }
    }

    fn forget<K: Pod, V: Pod>(&mut self, map: &str) {
        let rows: Vec<_> = self.hash::<K, V>(map).keys().map(Result::unwrap).collect();
        for row in rows {
            self.hash::<K, V>(map).remove(&row).unwrap();
        }
    }

    fn source_ranges(&mut self) -> LpmTrie<&mut MapData, SourceRange, u8> {
        LpmTrie::try_from(self.netdev().map_mut("source_ranges").unwrap()).unwrap()
    }

    fn hash<K: Pod, V: Pod>(&mut self, name: &str) -> HashMap<&mut MapData, K, V> {
        HashMap::try_from(self.netdev().map_mut(name).unwrap()).unwrap()
    }

    fn array<V: Pod>(&mut self, name: &str) -> Array<&mut MapData, V> {
        Array::try_from(self.netdev().map_mut(name).unwrap()).unwrap()
    }

    /// The classic node, with one SNAT port to make it easy to say, and `change`.
    pub(crate) fn settings(&mut self, change: impl FnOnce(&mut Settings)) {
        let mut settings = Settings {
            node_ipv4: address("172.26.50.101"),
            node_ipv6: address("2001:db8:50::101"),
            snat_port_min: 31210,
            snat_port_max: 31210,
            ..Settings::default()
        };
        change(&mut settings);
        self.array("settings").set(0, settings, 0).unwrap();
    }

    /// How packets get to the pod of this node.
    pub(crate) fn way(&mut self, way: u8) {
        let device = self.pod_device;
        self.hash("devices").insert(device, Device { way, pad: [0; 7] }, 0).unwrap();
    }

    /// Writes backends and returns the rows that they are in.
    pub(crate) fn backends(&mut self, service: u32, ends: &[&str]) -> Vec<u32> {
        ends.iter()
            .map(|end| {
                let end: SocketAddr = end.parse().unwrap();
                let is_local = matches!(end.ip().to_string().as_str(), "10.0.0.72" | "fd00::72");
                let row = Backend {
                    address: end.ip().into(),
                    port: end.port().into(),
                    state: layout::BACKEND_ACTIVE,
                    flags: if is_local { layout::BACKEND_LOCAL } else { 0 },
                    service,
                    pad: 0,
                };
                let index = self.backends;
                self.backends += 1;
                self.array("backends").set(index, row, 0).unwrap();
                index
            })
            .collect()
    }

    pub(crate) fn change_backend(&mut self, index: u32, change: impl FnOnce(&mut Backend)) {
        let mut backends = self.array::<Backend>("backends");
        let mut row = backends.get(&index, 0).unwrap();
        change(&mut row);
        backends.set(index, row, 0).unwrap();
    }

    /// Writes a frontend with these choices; `service` is that of the backends.
    pub(crate) fn frontend(&mut self, mut spec: Spec, choices: &[u32]) {
        spec.row.first = self.choices;
        spec.row.count = u32::try_from(choices.len()).unwrap();
        for choice in choices {
            let place = self.choices;
            self.choices += 1;
            self.array("choices").set(place, *choice, 0).unwrap();
        }
        self.hash("frontends").insert(spec.key(), spec.row, 0).unwrap();
    }

    pub(crate) fn remove_frontend(&mut self, spec: &Spec) {
        self.hash::<FrontendKey, Frontend>("frontends").remove(&spec.key()).unwrap();
    }

    /// A frontend of service 7, and its backends.
    pub(crate) fn serve(&mut self, spec: Spec, backends: &[&str]) -> Vec<u32> {
        let rows = self.backends(spec.row.service, backends);
        self.frontend(spec, &rows);
        rows
    }

    pub(crate) fn allow(&mut self, service: u32, prefix: &str, bits: u32) {
        let row = Key::new(32 + bits, SourceRange { service, source: address(prefix) });
        self.source_ranges().insert(&row, 1, 0).unwrap();
    }

    /// Runs a program over a frame.
    pub(crate) fn run(&mut self, hook: Hook, frame: &Frame) -> Outcome {
        self.run_bytes(hook, &frame.bytes(), |_| {})
    }

    /// The same over octets, with a `struct __sk_buff` of the test's own.
    pub(crate) fn run_bytes(
        &mut self,
        hook: Hook,
        frame: &[u8],
        change: impl FnOnce(&mut [u8; 192]),
    ) -> Outcome {
        let before = self.drops();
        let mut context = [0; 192];
        let ifindex = match hook {
            Hook::FromNetdev | Hook::ToNetdev => self.eth0,
            Hook::FromContainer | Hook::ToContainer => self.pod_device,
        };
        context[40..44].copy_from_slice(&ifindex.to_ne_bytes());
        change(&mut context);
        let mut out = vec![0; 128 * 1024];
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.data_out = Some(&mut out);
        options.ctx_in = Some(&context);
        let result = self.program(hook).test_run(options).unwrap();
        out.truncate(usize::try_from(result.data_size_out).unwrap());
        let after = self.drops();
        let drops = DropReason::ALL
            .iter()
            .map(|reason| (*reason, after[reason.index()] - before[reason.index()]))
            .filter(|(_, times)| *times > 0)
            .collect();
        Outcome { verdict: result.return_value, bytes: out, drops }
    }

    fn program(&self, hook: Hook) -> &SchedClassifier {
        let [netdev, pod] = self.objects.as_ref().unwrap();
        let program = match hook {
            Hook::FromNetdev => netdev.program("from_netdev"),
            Hook::ToNetdev => netdev.program("to_netdev"),
            Hook::FromContainer => pod.program("from_container"),
            Hook::ToContainer => pod.program("to_container"),
        };
        program.unwrap().try_into().unwrap()
    }

    fn drops(&mut self) -> Vec<u64> {
        sums(self.netdev().map_mut("drops").unwrap(), DropReason::COUNT)
    }

    /// A counter, by its name in metrics.
    pub(crate) fn counter(&mut self, name: &str) -> u64 {
        let at = COUNTERS.iter().position(|counter| *counter == name).unwrap();
        sums(self.netdev().map_mut("counters").unwrap(), COUNTERS.len())[at]
    }

    pub(crate) fn conntrack(&mut self, key: &Tuple) -> Option<Conntrack> {
        self.hash::<Tuple, Conntrack>("conntrack").get(key, 0).ok()
    }

    pub(crate) fn change_conntrack(&mut self, key: &Tuple, change: impl FnOnce(&mut Conntrack)) {
        let mut row = self.conntrack(key).unwrap();
        change(&mut row);
        self.hash("conntrack").insert(*key, row, 0).unwrap();
    }

    pub(crate) fn forget_conntrack(&mut self, key: &Tuple) {
        self.hash::<Tuple, Conntrack>("conntrack").remove(key).unwrap();
    }

    pub(crate) fn nat(&mut self, key: &Tuple) -> Option<Nat> {
        self.hash::<Tuple, Nat>("nat").get(key, 0).ok()
    }

    pub(crate) fn set_nat(&mut self, key: &Tuple, end: &str) {
        let end: SocketAddr = end.parse().unwrap();
        let row =
            Nat { last_seen_ns: 1, address: end.ip().into(), port: end.port().into(), pad: [0; 3] };
        self.hash("nat").insert(*key, row, 0).unwrap();
    }

    pub(crate) fn forget_nat(&mut self, key: &Tuple) {
        self.hash::<Tuple, Nat>("nat").remove(key).unwrap();
    }

    /// Rows of `conntrack` and of `nat`.
    pub(crate) fn rows(&mut self) -> (usize, usize) {
        (
            self.hash::<Tuple, Conntrack>("conntrack").keys().count(),
            self.hash::<Tuple, Nat>("nat").keys().count(),
        )
    }
}

impl Spec {
    /// Answers to packets from outside.
    pub(crate) fn external(at: &str, kind: ServiceKind) -> Self {
        Self {
            at: at.parse().unwrap(),
            protocol: 6,
            scope: layout::SCOPE_EXTERNAL,
            row: Frontend { id: 3, service: 7, kind: kind as u8, ..Frontend::default() },
        }
    }

    pub(crate) fn node_port(at: &str) -> Self {
        Self::external(at, ServiceKind::NodePort)
    }

    /// Answers to packets of pods.
    pub(crate) fn cluster_ip(at: &str) -> Self {
        Self { scope: layout::SCOPE_INTERNAL, ..Self::external(at, ServiceKind::ClusterIp) }
    }

    pub(crate) fn udp(mut self) -> Self {
        self.protocol = 17;
        self
    }

    pub(crate) fn row(mut self, change: impl FnOnce(&mut Frontend)) -> Self {
        change(&mut self.row);
        self
    }

    fn key(&self) -> FrontendKey {
        FrontendKey {
            address: self.at.ip().into(),
            port: self.at.port().into(),
            protocol: self.protocol,
            scope: self.scope,
        }
    }
}

impl Outcome {
    fn expect(&self, verdict: u32, frame: &[u8]) {
        assert_eq!(self.drops, [], "drops");
        assert_eq!(self.verdict, verdict, "verdict");
        assert_eq!(hex(&self.bytes), hex(frame), "frame");
    }

    /// The packet goes on, as it came.
    #[track_caller]
    pub(crate) fn untouched(&self, frame: &Frame) {
        self.expect(NEXT, &frame.bytes());
    }

    /// The packet goes on as `frame`.
    #[track_caller]
    pub(crate) fn passed_as(&self, frame: &Frame) {
        self.expect(NEXT, &frame.bytes());
    }

    /// The packet is sent past the stack as `frame`.
    #[track_caller]
    pub(crate) fn redirected_as(&self, frame: &Frame) {
        self.expect(REDIRECT, &frame.bytes());
    }

    /// The packet goes on, these very octets.
    #[track_caller]
    pub(crate) fn untouched_bytes(&self, bytes: &[u8]) {
        self.expect(NEXT, bytes);
    }

    #[track_caller]
    pub(crate) fn dropped(&self, reason: DropReason) {
        assert_eq!(self.drops, [(reason, 1)], "drops");
        assert_eq!(self.verdict, SHOT, "verdict");
    }
}

/// Rows of octets, so that a difference can be read.
fn hex(bytes: &[u8]) -> Vec<String> {
    bytes
        .chunks(16)
        .map(|row| row.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "))
        .collect()
}

fn sums(map: impl BorrowMut<aya::maps::Map>, rows: usize) -> Vec<u64> {
    let mut map = map;
    let array = PerCpuArray::<_, u64>::try_from(map.borrow_mut()).unwrap();
    (0..u32::try_from(rows).unwrap()).map(|row| array.get(&row, 0).unwrap().iter().sum()).collect()
}

pub(crate) fn address(text: &str) -> Address {
    text.parse::<std::net::IpAddr>().unwrap().into()
}

/// The tuple of a packet, as a key.
fn tuple(protocol: u8, source: &str, destination: &str, direction: u8) -> Tuple {
    let (source, destination): (SocketAddr, SocketAddr) =
        (source.parse().unwrap(), destination.parse().unwrap());
    Tuple {
        source: source.ip().into(),
        destination: destination.ip().into(),
        source_port: source.port().into(),
        destination_port: destination.port().into(),
        protocol,
        direction,
        pad: 0,
    }
}

pub(crate) fn original(protocol: u8, source: &str, destination: &str) -> Tuple {
    tuple(protocol, source, destination, layout::DIRECTION_ORIGINAL)
}

pub(crate) fn reply(protocol: u8, source: &str, destination: &str) -> Tuple {
    tuple(protocol, source, destination, layout::DIRECTION_REPLY)
}

fn ifindex(name: &str) -> u32 {
    let text = command("cat", &[&format!("/sys/class/net/{name}/ifindex")]);
    text.trim().parse().unwrap()
}

/// The programs, with maps of their own that both objects share.
fn load() -> [Ebpf; 2] {
    [objects::NETDEV, objects::POD].map(|object| {
        let mut loader = EbpfLoader::new();
        loader.default_map_pin_directory(MAPS);
        for map in ["conntrack", "nat", "affinity", "fragments"] {
            loader.map_max_entries(map, 1024);
        }
        let mut object = loader.load(object).unwrap();
        for (name, program) in object.programs_mut() {
            let program: &mut SchedClassifier = program.try_into().unwrap();
            // The verifier gives up when a signal arrives.
            while let Err(error) = program.load() {
                let text = format!("{error:?}");
                assert!(text.contains("WouldBlock"), "{name}: {text}");
            }
        }
        object
    })
}

/// Gives the calling thread a network namespace with [`NODE`] in it and a mount namespace with a bpffs, both of which go
/// with it.
fn own_namespaces() {
    // SAFETY: takes a number and changes nothing but what the calling thread sees of the system.
    let result = unsafe { libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS) };
    assert_eq!(result, 0, "unshare: {}; these tests run as root", std::io::Error::last_os_error());
    // The first fails in a chroot; mounts are shared with nobody there. /sys shows the new namespace's devices.
    let script = "mount --make-rprivate / 2>/dev/null
        mount -t sysfs sysfs /sys && mount --make-private /sys
        mount -t bpf bpf /sys/fs/bpf && mkdir -m 700 /sys/fs/bpf/sw-maps
        sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.forwarding=1";
    command("sh", &["-ec", script]);
    let mut batch = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    batch.stdin.take().unwrap().write_all(NODE.as_bytes()).unwrap();
    assert!(batch.wait().unwrap().success(), "ip -batch");
}

pub(crate) fn command(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

//! A node between three namespaces, with the programs where the agent attaches them.
//!
//! ```text
//! client ── eth0 ┐        ┌ sw-pod ── near   10.0.0.72, a pod of this node
//!                ├─ node ─┤
//!                          └ eth1 ──── far    10.0.1.72, a pod of another node
//! ```

use std::net::SocketAddr;

use aya::maps::{Array, HashMap, MapData};
use aya::programs::SchedClassifier;
use aya::programs::tc::TcAttachType;
use aya::{Ebpf, EbpfLoader, Pod};
use spillway_node::layout::{
    self, Address, BACKEND_ACTIVE, BACKEND_LOCAL, Backend, Device, Frontend, FrontendKey, Settings,
};
use spillway_node::objects;

use crate::place::{Place, commands, leave};
use crate::talk;

const MAPS: &str = "/sys/fs/bpf/sw-maps";
const PORT: u16 = 8080;

/// Of the address family that a test is about.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) client: &'static str,
    pub(crate) node: &'static str,
    pub(crate) service: &'static str,
    pub(crate) near: &'static str,
    pub(crate) far: &'static str,
    pub(crate) port: u16,
}

pub(crate) const FAMILIES: [Ends; 2] = [
    Ends {
        client: "192.0.2.2",
        node: "192.0.2.1",
        service: "10.96.0.10",
        near: "10.0.0.72",
        far: "10.0.1.72",
        port: PORT,
    },
    Ends {
        client: "2001:db8:1::2",
        node: "2001:db8:1::1",
        service: "fd00:96::10",
        near: "fd00::72",
        far: "fd00:0:0:1::72",
        port: PORT + 1,
    },
];

pub(crate) const NODE_PORT: u16 = 30645;

pub(crate) struct Node {
    netdev: Ebpf,
    _pod: Ebpf,
    pub(crate) client: Place,
    pub(crate) near: Place,
    choices: u32,
    _far: Place,
}

impl Node {
    pub(crate) fn new() -> Self {
        leave(libc::CLONE_NEWNET | libc::CLONE_NEWNS);
        let (client, near, far) = (Place::new(), Place::new(), Place::new());
        wire(&client, &near, &far);
        for pod in [&near, &far] {
            pod.run(|| talk::serve(PORT));
        }
        let [mut netdev, mut pod] = [objects::NETDEV, objects::POD].map(load);
        for device in ["eth0", "eth1"] {
            attach(&mut netdev, "from_netdev", device, TcAttachType::Ingress);
            attach(&mut netdev, "to_netdev", device, TcAttachType::Egress);
        }
        attach(&mut pod, "from_container", "sw-pod", TcAttachType::Ingress);
        attach(&mut pod, "to_container", "sw-pod", TcAttachType::Egress);
        let mut node = Self { netdev, _pod: pod, client, near, choices: 0, _far: far };
        let settings = Settings {
            node_ipv4: address(FAMILIES[0].node),
            node_ipv6: address(FAMILIES[1].node),
            snat_port_min: 61000,
            snat_port_max: 65535,
            ..Settings::default()
        };
        node.array("settings").set(0, settings, 0).unwrap();
        node
    }

    fn hash<K: Pod, V: Pod>(&mut self, name: &str) -> HashMap<&mut MapData, K, V> {
        HashMap::try_from(self.netdev.map_mut(name).unwrap()).unwrap()
    }

    fn array<V: Pod>(&mut self, name: &str) -> Array<&mut MapData, V> {
        Array::try_from(self.netdev.map_mut(name).unwrap()).unwrap()
    }

    pub(crate) fn way(&mut self, way: u8) {
        let text = std::fs::read_to_string("/sys/class/net/sw-pod/ifindex").unwrap();
        let device: u32 = text.trim().parse().unwrap();
        self.hash("devices").insert(device, Device { way, pad: [0; 7] }, 0).unwrap();
    }

    /// Serves `at` by one backend, over TCP and UDP.
    pub(crate) fn serve(&mut self, at: SocketAddr, scope: u8, backend: SocketAddr) {
        self.choices += 1;
        let row = self.choices;
        let is_local = FAMILIES.iter().any(|ends| ends.near.parse() == Ok(backend.ip()));
        let backend = Backend {
            address: backend.ip().into(),
            port: backend.port().into(),
            state: BACKEND_ACTIVE,
            flags: if is_local { BACKEND_LOCAL } else { 0 },
            service: row,
            pad: 0,
        };
        self.array("backends").set(row, backend, 0).unwrap();
        self.array("choices").set(row, row, 0).unwrap();
        for protocol in [6, 17] {
            let key =
                FrontendKey { address: at.ip().into(), port: at.port().into(), protocol, scope };
            let kind = u8::from(scope == layout::SCOPE_EXTERNAL); // a NodePort; a ClusterIP
            let frontend = Frontend {
                id: row,
                service: row,
                first: row,
                count: 1,
                kind,
                ..Frontend::default()
            };
            self.hash("frontends").insert(key, frontend, 0).unwrap();
        }
    }
}

fn address(text: &str) -> Address {
    text.parse::<std::net::IpAddr>().unwrap().into()
}

fn load(object: &[u8]) -> Ebpf {
    EbpfLoader::new().default_map_pin_directory(MAPS).load(object).unwrap()
}

fn attach(object: &mut Ebpf, name: &str, device: &str, at: TcAttachType) {
    let program: &mut SchedClassifier = object.program_mut(name).unwrap().try_into().unwrap();
    while program.fd().is_err() {
        if let Err(error) = program.load() {
            // The verifier gives up when a signal arrives.
            let text = format!("{error:?}");
            assert!(text.contains("WouldBlock"), "{name}: {text}");
        }
    }
    program.attach(device, at).unwrap();
}

/// Devices, addresses, routes, and the sysctls of a node that runs pods.
fn wire(client: &Place, near: &Place, far: &Place) {
    commands(&format!(
        "mount --make-rprivate / 2>/dev/null || true
        mount -t sysfs sysfs /sys && mount --make-private /sys
        mount -t bpf bpf /sys/fs/bpf && mkdir -m 700 {MAPS}
        ip link set lo up
        sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=1
        ip link add eth0 type veth peer name eth0 netns {}
        ip link add sw-pod type veth peer name eth0 netns {}
        ip link add eth1 type veth peer name eth0 netns {}
        for device in eth0 sw-pod eth1; do ip link set $device up; done
        ip address add 192.0.2.1/24 dev eth0
        ip address add 2001:db8:1::1/64 dev eth0 nodad
        ip address add 10.0.0.1/24 dev sw-pod
        ip address add fd00::1/64 dev sw-pod nodad
        ip address add 203.0.113.1/24 dev eth1
        ip address add 2001:db8:2::1/64 dev eth1 nodad",
        client.thread, near.thread, far.thread
    ));
    let inside = |addresses: &str, gateway: [&str; 2]| {
        format!(
            "ip link set lo up
            ip link set eth0 up
            for address in {addresses}; do
                case $address in *:*) dad=nodad ;; *) dad= ;; esac
                ip address add $address dev eth0 $dad
            done
            ip route add default via {}
            ip route add default via {}",
            gateway[0], gateway[1]
        )
    };
    client.commands(&inside("192.0.2.2/24 2001:db8:1::2/64", ["192.0.2.1", "2001:db8:1::1"]));
    near.commands(&inside("10.0.0.72/24 fd00::72/64", ["10.0.0.1", "fd00::1"]));
    far.commands(&inside(
        "203.0.113.2/24 2001:db8:2::2/64 10.0.1.72/32 fd00:0:0:1::72/128",
        // UDP answers from where it was asked only if that is the route's own source.
        ["203.0.113.1 src 10.0.1.72", "2001:db8:2::1 src fd00:0:0:1::72"],
    ));
    commands(
        "ip route add 10.0.1.0/24 via 203.0.113.2
        ip route add fd00:0:0:1::/64 via 2001:db8:2::2",
    );
}

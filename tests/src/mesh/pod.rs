//! A pod: a network namespace and a cgroup, and how both hang on the node.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::Command;

use crate::error::{LabError, Result};
use crate::lab::namespace::Namespace;
use crate::mesh::node::{Node, UPLINK, inside};
use crate::mesh::{self, DNS_PORT, ECHO_PORT, HTTP_PORT};
use crate::process::{Process, output};
use crate::programs;

/// Room for the outer headers of VXLAN over IPv4: what flannel sets.
const MTU: u16 = 1450;
/// A router that is at the other end of every pod's link: Calico's choice.
const ROUTER: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// The same in IPv6.
const ROUTER_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// The bridge of flannel's CNI plugin.
const BRIDGE: &str = "cni0";
/// Last number of the bridge's own address.
const BRIDGE_HOST: u8 = 1;

/// How a pod hangs on its node.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// A veth pair and a route to its end, as Calico does it.
    Routed,
    /// A veth pair into a bridge, as flannel does it.
    Bridged,
    /// A part of the node's own device: the pod's device has no end on the node.
    Ipvlan(IpvlanMode),
}

/// Where an ipvlan device hands over to its master.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum IpvlanMode {
    L2,
    L3,
}

/// A pod. Dropping it ends its server.
#[derive(Debug)]
pub struct Pod {
    node: u8,
    host: u8,
    dir: PathBuf,
    cgroup: PathBuf,
    server: Option<Process>,
    namespace: Namespace,
}

impl Pod {
    pub(crate) fn create(node: &Node, host: u8) -> Result<Self> {
        let cgroup = node.cgroup().join(format!("pod-{host}"));
        std::fs::create_dir_all(&cgroup)
            .map_err(LabError::io(format!("create {}", cgroup.display())))?;
        let name = format!("{}-pod{host}", node.namespace().name());
        let pod = Self {
            node: node.number(),
            host,
            dir: node.dir().to_owned(),
            cgroup,
            server: None,
            namespace: mesh::host(name)?,
        };
        match node.attachment() {
            Attachment::Routed => pod.route(node)?,
            Attachment::Bridged => pod.bridge(node)?,
            Attachment::Ipvlan(mode) => pod.share(node, mode)?,
        }
        Ok(pod)
    }

    /// Last number of its address.
    pub fn host(&self) -> u8 {
        self.host
    }

    /// What its server calls itself.
    pub fn name(&self) -> String {
        format!("pod{}-{}", self.node, self.host)
    }

    /// Its address.
    pub fn address(&self) -> Ipv4Addr {
        mesh::pod_address(self.node, self.host)
    }

    /// Its other address.
    pub fn address_v6(&self) -> Ipv6Addr {
        mesh::pod_address_v6(self.node, self.host)
    }

    /// Its network.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Name of its link's end on the node; with ipvlan there is none.
    pub fn host_device(&self) -> String {
        host_device(self.host)
    }

    /// A command that will run in the pod.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        inside(&self.cgroup, &self.namespace, program)
    }

    /// Runs a program in the pod, to its end, and returns its stdout.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        let Some((program, arguments)) = words.split_first() else {
            return Err(LabError::Expectation("a command has at least one word".to_owned()));
        };
        output(self.command(program).args(arguments))
    }

    /// Starts its server, HTTP, UDP echo and DNS on both its addresses, and waits until it listens.
    pub fn serve(&mut self) -> Result<()> {
        let mut command = self.command(programs::path(programs::LAB_TOOL)?);
        command.args(["serve", "--name", &self.name()]);
        for address in [IpAddr::V4(self.address()), IpAddr::V6(self.address_v6())] {
            command.args(["--address", &address.to_string()]);
        }
        for (flag, port) in [("--http", HTTP_PORT), ("--udp", ECHO_PORT), ("--dns", DNS_PORT)] {
            command.args([flag, &port.to_string()]);
        }
        let mut server = Process::spawn(&self.name(), &self.dir, &mut command)?;
        server.line()?;
        self.server = Some(server);
        Ok(())
    }

    /// `kill -9` of its server.
    pub fn kill_server(&mut self) -> Result<()> {
        let missing = LabError::Expectation(format!("{} runs no server", self.name()));
        self.server.take().ok_or(missing)?.kill()
    }

    fn route(&self, node: &Node) -> Result<()> {
        let end = self.link(node)?;
        self.namespace.ip(&format!("route add {ROUTER} dev eth0 scope link"))?;
        let mac = link_address(node.namespace(), &end)?;
        for (family, router) in [("-4", ROUTER.into()), ("-6", IpAddr::V6(ROUTER_V6))] {
            self.namespace
                .ip(&format!("neigh add {router} lladdr {mac} dev eth0 nud permanent"))?;
            self.namespace.ip(&format!("{family} route add default via {router} dev eth0"))?;
        }
        for (family, address) in
            [("-4", self.address().into()), ("-6", IpAddr::V6(self.address_v6()))]
        {
            node.namespace().ip(&format!("{family} route add {address} dev {end}"))?;
        }
        self.own_addresses(32, 128)
    }

    fn bridge(&self, node: &Node) -> Result<()> {
        let end = self.link(node)?;
        node.namespace().ip(&format!("link set {end} master {BRIDGE}"))?;
        self.own_addresses(24, 64)?;
        let router = mesh::pod_address(self.node, BRIDGE_HOST);
        let router_v6 = mesh::pod_address_v6(self.node, BRIDGE_HOST);
        self.namespace.ip(&format!("route add default via {router}"))?;
        self.namespace.ip(&format!("-6 route add default via {router_v6}"))
    }

    /// A veth pair; returns the name of the node's end. Both are up.
    fn link(&self, node: &Node) -> Result<String> {
        let end = self.host_device();
        mesh::pair(&self.namespace, "eth0", node.namespace(), &end)?;
        for (namespace, link) in [(&self.namespace, "eth0"), (node.namespace(), end.as_str())] {
            namespace.ip(&format!("link set {link} mtu {MTU} up"))?;
        }
        Ok(end)
    }

    /// The CNI plugin's way: the device is made on the node and then moved. Such a pod and its own node cannot reach
    /// each other, which is ipvlan's nature.
    fn share(&self, node: &Node, mode: IpvlanMode) -> Result<()> {
        let mode = match mode {
            IpvlanMode::L2 => "l2",
            IpvlanMode::L3 => "l3",
        };
        let name = self.namespace.name();
        node.namespace().ip(&format!("link add ipvl link {UPLINK} type ipvlan mode {mode}"))?;
        node.namespace().ip(&format!("link set ipvl netns {name}"))?;
        self.namespace.ip("link set ipvl name eth0")?;
        self.namespace.ip("link set eth0 up")?;
        self.own_addresses(32, 128)?;
        self.namespace.ip("-4 route add default dev eth0")?;
        self.namespace.ip("-6 route add default dev eth0")
    }

    fn own_addresses(&self, len: u8, len_v6: u8) -> Result<()> {
        self.namespace.ip(&format!("addr add {}/{len} dev eth0", self.address()))?;
        self.namespace.ip(&format!("addr add {}/{len_v6} dev eth0", self.address_v6()))
    }
}

/// What a node has before its first pod.
pub(crate) fn prepare(node: &Node) -> Result<()> {
    let namespace = node.namespace();
    match node.attachment() {
        Attachment::Bridged => {
            namespace.ip(&format!("link add {BRIDGE} type bridge stp_state 0 mcast_snooping 0"))?;
            namespace.ip(&format!("link set {BRIDGE} mtu {MTU} up"))?;
            let address = mesh::pod_address(node.number(), BRIDGE_HOST);
            let address_v6 = mesh::pod_address_v6(node.number(), BRIDGE_HOST);
            namespace.ip(&format!("addr add {address}/24 dev {BRIDGE}"))?;
            namespace.ip(&format!("addr add {address_v6}/64 dev {BRIDGE}"))
        }
        // Each pod has a neighbor entry of its own for the router that nobody is.
        Attachment::Routed | Attachment::Ipvlan(_) => Ok(()),
    }
}

fn host_device(host: u8) -> String {
    format!("veth{host}")
}

fn link_address(namespace: &Namespace, link: &str) -> Result<String> {
    let text = namespace.run(&["cat", &format!("/sys/class/net/{link}/address")])?;
    Ok(text.trim().to_owned())
}

//! Cluster nodes with pods on them, one network segment, and a client beside them.
//!
//! ```text
//!              172.26.50.0/24, fd26:50::/64
//!   client .180 ──┬── switch ──┬── node0 .101 ─ pods 10.0.0.0/24, fd10::/64
//!                              ├── node1 .102 ─ pods 10.0.1.0/24, fd10:0:0:1::/64
//!                              └── node2 .103 ─ pods 10.0.2.0/24, fd10:0:0:2::/64
//! ```
//! A node is a network namespace, a cgroup and a bpffs of its own; a pod is a namespace and a cgroup below the
//! node's. What a cluster has and this has not: a firewall, masquerading of what pods send to the world, kube-proxy.
//!
//! Set on nodes as on real ones: `ip_forward` and `forwarding`; `rp_filter` 2, as systemd's `50-default.conf` has
//! it. `accept_dad` is 0 everywhere, so that addresses are there at once. The segment's links have their offloads
//! off, as bytes on a wire have no half checksums; the pods' links have them, as pods' links do.

pub mod agent;
pub mod capture;
pub mod cgroup;
pub mod join;
pub mod kube;
pub mod node;
pub mod pod;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use crate::error::{LabError, Result, ensure};
use crate::lab::fresh_id;
use crate::lab::namespace::Namespace;
use cgroup::Cgroups;
use join::Join;
use node::Node;
use pod::Attachment;

/// The client's addresses.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(172, 26, 50, 180);
/// The same in IPv6.
pub const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0xfd26, 0x50, 0, 0, 0, 0, 0, 0x180);
/// The segment's own machine: the API server runs there.
pub const MANAGEMENT: Ipv4Addr = Ipv4Addr::new(172, 26, 50, 1);
/// Nodes that there are addresses for.
pub const NODES_MAX: u8 = 9;

/// TCP port of the servers in pods.
pub const HTTP_PORT: u16 = 80;
/// UDP port of the servers in pods.
pub const ECHO_PORT: u16 = 7777;
/// UDP port of the name servers in pods.
pub const DNS_PORT: u16 = 53;

/// How a mesh is made.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    pub nodes: u8,
    /// How pods of different nodes reach each other.
    pub join: Join,
    /// How a pod hangs on its node.
    pub attachment: Attachment,
}

impl Shape {
    /// Nodes joined as flannel does it.
    pub const fn vxlan(nodes: u8) -> Self {
        Self { nodes, join: Join::Vxlan, attachment: Attachment::Routed }
    }

    /// Nodes that know the ways to each other's pods.
    pub const fn routes(nodes: u8) -> Self {
        Self { join: Join::Routes, ..Self::vxlan(nodes) }
    }

    /// The same with pods that hang on their nodes in another way.
    #[must_use]
    pub const fn attached(self, attachment: Attachment) -> Self {
        Self { attachment, ..self }
    }
}

/// A mesh. Dropping it ends everything that runs in it and deletes the rest.
#[derive(Debug)]
pub struct Mesh {
    id: String,
    dir: PathBuf,
    shape: Shape,
    // What runs goes before what it runs in.
    nodes: Vec<Node>,
    client: Namespace,
    switch: Namespace,
    cgroups: Cgroups,
}

impl Mesh {
    /// Builds namespaces, links and routes; no pod is there yet.
    pub fn build(shape: Shape) -> Result<Self> {
        ensure((1..=NODES_MAX).contains(&shape.nodes), || {
            format!("a mesh has 1 to {NODES_MAX} nodes, not {}", shape.nodes)
        })?;
        let id = fresh_id()?;
        let dir = PathBuf::from(format!("/run/sw-{id}"));
        fs::create_dir_all(&dir).map_err(LabError::io(format!("create {}", dir.display())))?;
        let mut mesh = Self {
            cgroups: Cgroups::create(&dir, &id)?,
            client: host(format!("sw-{id}-client"))?,
            switch: Namespace::create(format!("sw-{id}-switch"))?,
            nodes: Vec::new(),
            id,
            dir,
            shape,
        };
        mesh.switch.ip("link add br0 type bridge stp_state 0 mcast_snooping 0")?;
        mesh.switch.ip("link set br0 up")?;
        mesh.switch.ip(&format!("addr add {MANAGEMENT}/24 dev br0"))?;
        mesh.plug(&mesh.client, "eth0", "client")?;
        mesh.client.ip(&format!("addr add {CLIENT}/24 dev eth0"))?;
        mesh.client.ip(&format!("addr add {CLIENT_V6}/64 dev eth0"))?;
        // Ten thousand connections from one address: see `Lab`.
        mesh.client.sysctl("net.ipv4.ip_local_port_range", "1024 65535")?;
        for number in 0..shape.nodes {
            let node = Node::create(&mesh, number)?;
            mesh.nodes.push(node);
        }
        for node in &mesh.nodes {
            join::connect(node, &mesh.nodes, shape.join)?;
        }
        Ok(mesh)
    }

    /// Short and unique among the labs of this machine.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Logs, sockets and state; gone with the sandbox.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How it was made.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Where clients from outside run.
    pub fn client(&self) -> &Namespace {
        &self.client
    }

    /// Where the segment's links meet, with [`MANAGEMENT`]'s address.
    pub fn switch(&self) -> &Namespace {
        &self.switch
    }

    /// A place for the box: its port `link` in the segment is the daemon's alone, and its management lies beside.
    pub fn add_box(&self, link: &str) -> Result<Namespace> {
        let namespace = Namespace::create(format!("sw-{}-box", self.id))?;
        self.plug(&namespace, link, "box")?;
        pair(&namespace, "mgmt", &self.switch, "mgmt")?;
        for (namespace, address) in [(&namespace, "172.26.60.2"), (&self.switch, "172.26.60.1")] {
            namespace.ip("link set mgmt up")?;
            namespace.ip(&format!("addr add {address}/24 dev mgmt"))?;
        }
        // The kernel must not answer in the box's place.
        namespace.sysctl(&format!("net.ipv4.conf.{link}.arp_ignore"), "8")?;
        namespace.ip(&format!("route add {MANAGEMENT} via 172.26.60.1"))?;
        Ok(namespace)
    }

    /// A node, counted from 0.
    ///
    /// # Errors
    /// When there are not so many.
    pub fn node(&self, number: u8) -> Result<&Node> {
        let missing = || LabError::Expectation(format!("this mesh has no node {number}"));
        self.nodes.get(usize::from(number)).ok_or_else(missing)
    }

    /// The same, for those who add pods.
    pub fn node_mut(&mut self, number: u8) -> Result<&mut Node> {
        let missing = || LabError::Expectation(format!("this mesh has no node {number}"));
        self.nodes.get_mut(usize::from(number)).ok_or_else(missing)
    }

    /// All nodes, from the first to the last.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A link from a namespace into the segment, under the name `link`.
    pub fn plug(&self, namespace: &Namespace, link: &str, socket: &str) -> Result<()> {
        pair(namespace, link, &self.switch, socket)?;
        for (namespace, link) in [(namespace, link), (&self.switch, socket)] {
            namespace.quiet(link)?;
            namespace.ip(&format!("link set {link} up"))?;
        }
        self.switch.ip(&format!("link set {socket} master br0"))
    }

    pub(crate) fn cgroups(&self) -> &Cgroups {
        &self.cgroups
    }
}

/// Where a node is in the segment.
pub const fn node_address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(172, 26, 50, number.saturating_add(101))
}

/// The same in IPv6, with the same digits.
pub const fn node_address_v6(number: u8) -> Ipv6Addr {
    // 0x101 and on: what people read is the number they know.
    Ipv6Addr::new(0xfd26, 0x50, 0, 0, 0, 0, 0, 0x101_u16.saturating_add(number as u16))
}

/// A pod's address on a node.
pub const fn pod_address(node: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, node, host)
}

/// The same in IPv6.
pub const fn pod_address_v6(node: u8, host: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd10, 0, 0, node as u16, 0, 0, 0, host as u16)
}

/// The network of a node's pods, in both families.
pub fn pod_cidrs(node: u8) -> [String; 2] {
    [format!("{}/24", pod_address(node, 0)), format!("{}/64", pod_address_v6(node, 0))]
}

/// As `ip -6` wants to be called, or `ip`.
pub(crate) const fn family(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "-4",
        IpAddr::V6(_) => "-6",
    }
}

/// A namespace with IPv6 in which addresses are there at once.
pub(crate) fn host(name: String) -> Result<Namespace> {
    let namespace = Namespace::create(name)?;
    for scope in ["all", "default", "lo"] {
        namespace.sysctl(&format!("net.ipv6.conf.{scope}.disable_ipv6"), "0")?;
    }
    for scope in ["all", "default"] {
        namespace.sysctl(&format!("net.ipv6.conf.{scope}.accept_dad"), "0")?;
        namespace.sysctl(&format!("net.ipv6.conf.{scope}.accept_ra"), "0")?;
    }
    Ok(namespace)
}

/// A veth pair between two namespaces; its ends are down.
pub(crate) fn pair(a: &Namespace, a_link: &str, b: &Namespace, b_link: &str) -> Result<()> {
    let mac = |namespace: &Namespace, link: &str| {
        crate::lab::mac(&format!("{}/{link}", namespace.name()))
    };
    let (a_mac, b_mac) = (mac(a, a_link), mac(b, b_link));
    let (a, b) = (a.name(), b.name());
    let words = format!(
        "link add {a_link} address {a_mac} netns {a} type veth peer name {b_link} address {b_mac} netns {b}"
    );
    crate::process::run("ip", &words.split_whitespace().collect::<Vec<_>>())
}

//! A client, some nodes, the box's links, and the servers on the nodes.
//!
//! ```text
//!   two arms                                    one arm
//!   client ──veth── box ──veth── switch ─┬─ n1    client ──┐
//!                                        ├─ n2       box ──┤ switch
//!                                        └─ n3     n1..n3 ─┘
//! ```
//! The box's ends lie in a namespace without a single address: they are the daemon's alone.

pub mod namespace;
pub mod topology;
mod vlan;

use std::fs::{self, File};
use std::io::Read;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{LabError, Result, ensure};
use crate::process::{Process, run};
use crate::programs;
use namespace::Namespace;
use topology::{Arms, BACK, CLIENT, FRONT, NODES, NODES_MAX, NodeId, Tags, Topology};

/// TCP port of the servers on the nodes.
pub const HTTP_PORT: u16 = 80;
/// UDP port of the servers on the nodes.
pub const ECHO_PORT: u16 = 7777;

/// TCP port of the servers in pods.
pub const POD_PORT: u16 = 8080;

/// `spec.healthCheckNodePort` of the lab's one Service with policy Local; the nodes answer it themselves.
pub const HEALTH_CHECK_NODE_PORT: u16 = 31_999;

/// A pod: where it runs and what its server calls itself.
#[derive(Copy, Clone, Debug)]
pub struct Pod<'a> {
    pub node: NodeId,
    pub name: &'a str,
    pub address: Ipv4Addr,
}

/// A lab. Dropping it ends its servers and deletes its namespaces.
#[derive(Debug)]
pub struct Lab {
    id: String,
    dir: PathBuf,
    topology: Topology,
    // Servers go before the namespaces that they run in.
    servers: Vec<(NodeId, Process)>,
    client: Namespace,
    middle: Namespace,
    nodes: Vec<(NodeId, Namespace)>,
    /// Beside the first: another way from another client to the same nodes.
    second: Option<Namespace>,
    switch: Namespace,
}

impl Lab {
    /// Builds the namespaces and links; no server runs yet.
    pub fn build(topology: Topology) -> Result<Self> {
        ensure((1..=NODES_MAX).contains(&topology.nodes), || {
            format!("a lab has 1 to {NODES_MAX} nodes, not {}", topology.nodes)
        })?;
        let id = fresh_id()?;
        let dir = PathBuf::from(format!("/run/sw-{id}"));
        fs::create_dir_all(&dir).map_err(LabError::io(format!("create {}", dir.display())))?;
        let create = |what: &str| Namespace::create(format!("sw-{id}-{what}"));
        let mut nodes = Vec::new();
        for node in (1..=topology.nodes).map(NodeId::new) {
            nodes.push((node, create(&node.name())?));
        }
        let lab = Self {
            client: create("client")?,
            middle: create("box")?,
            switch: create("sw")?,
            servers: Vec::new(),
            second: None,
            id,
            dir,
            topology,
            nodes,
        };
        lab.wire()?;
        Ok(lab)
    }

    /// Builds it and starts a server on every node.
    pub fn with_servers(topology: Topology) -> Result<Self> {
        programs::path(programs::LAB_TOOL)?;
        let mut lab = Self::build(topology)?;
        for node in (1..=topology.nodes).map(NodeId::new) {
            lab.start_server(node)?;
        }
        Ok(lab)
    }

    /// Short and unique among the labs of this machine.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Logs, sockets and state; gone with the sandbox.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its shape.
    pub fn topology(&self) -> Topology {
        self.topology
    }

    /// Where clients run.
    pub fn client(&self) -> &Namespace {
        &self.client
    }

    /// Where the box runs.
    pub fn middle(&self) -> &Namespace {
        &self.middle
    }

    /// A second pair of links for a second box in the same place, and a client of its own that has the
    /// first one's address: as if routers sent the one client's packets here or there.
    pub fn add_second_box(&mut self) -> Result<()> {
        let client = Namespace::create(format!("sw-{}-client2", self.id))?;
        let front = self.second_front_interface();
        pair(End(&front, &self.middle), End(&self.link("c2"), &client))?;
        self.plug(&self.second_back_interface(), &self.middle, "sb2")?;
        client.ip(&format!("addr add {CLIENT}/24 dev {}", self.link("c2")))?;
        self.second = Some(client);
        Ok(())
    }

    /// The second box's client.
    pub fn second_client(&self) -> Result<&Namespace> {
        let missing = || LabError::Expectation("this lab has no second box".to_owned());
        self.second.as_ref().ok_or_else(missing)
    }

    /// Name of the second box's interface towards its client.
    pub fn second_front_interface(&self) -> String {
        self.link("f2")
    }

    /// Name of the second box's interface towards the nodes.
    pub fn second_back_interface(&self) -> String {
        self.link("b2")
    }

    /// Starts a server on a pod's address: it lies on the node's loopback, and the node is its router.
    pub fn start_pod(&self, pod: Pod<'_>) -> Result<Process> {
        let Pod { node, name, address } = pod;
        let namespace = self.node(node)?;
        namespace.ip(&format!("addr replace {address}/32 dev lo"))?;
        let words = format!("serve --name {name} --address {address} --http {POD_PORT}");
        let mut command = Self::tool(namespace, &words)?;
        let mut server = Process::spawn(&format!("pod-{name}"), &self.dir, &mut command)?;
        server.line()?;
        Ok(server)
    }

    /// Starts what kube-proxy answers on a node; see `sw-lab-tool node-health --help`.
    pub fn start_node_health(&self, node: NodeId, service_port: Option<u16>) -> Result<Process> {
        let service = service_port.map(|port| format!(" --service {port}")).unwrap_or_default();
        let mut command = Self::tool(self.node(node)?, &format!("node-health{service}"))?;
        let name = format!("health-{}", node.name());
        let mut process = Process::spawn(&name, &self.dir, &mut command)?;
        process.line()?;
        Ok(process)
    }

    /// Makes every NodePort of a node lead to its server, as kube-proxy's rules lead to a local pod.
    pub fn open_node_ports(&self, node: NodeId) -> Result<()> {
        let rules = format!(
            "table ip nat {{\n chain prerouting {{\n type nat hook prerouting priority -100\n \
             tcp dport != {HEALTH_CHECK_NODE_PORT} tcp dport 30000-32767 redirect to :{HTTP_PORT}\n \
             udp dport 30000-32767 redirect to :{ECHO_PORT}\n }}\n}}\n"
        );
        self.node(node)?.run(&["nft", &rules]).map(drop)
    }

    /// All nodes, from the first to the last.
    pub fn node_ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes.iter().map(|(node, _)| *node)
    }

    /// Where one node's servers run.
    pub fn node(&self, node: NodeId) -> Result<&Namespace> {
        let found = self.nodes.iter().find(|(id, _)| *id == node);
        found
            .map(|(_, namespace)| namespace)
            .ok_or_else(|| LabError::Expectation(format!("this lab has no node {}", node.number())))
    }

    /// Name of the box's interface towards clients; with one arm the only one.
    pub fn front_interface(&self) -> String {
        format!("sw-{}-front", self.id)
    }

    /// Name of the box's interface towards nodes; with one arm the front again.
    pub fn back_interface(&self) -> String {
        match self.topology.arms {
            Arms::One => self.front_interface(),
            Arms::Two => format!("sw-{}-back", self.id),
        }
    }

    /// A command of the lab's tool in a namespace; words are separated by blanks.
    pub fn tool(namespace: &Namespace, words: &str) -> Result<Command> {
        let mut command = namespace.command(programs::path(programs::LAB_TOOL)?);
        command.args(words.split_whitespace());
        Ok(command)
    }

    /// Starts a client program beside the test; see `sw-lab-tool client --help`.
    pub fn start_client(&self, words: &str) -> Result<Process> {
        let name = words.split_whitespace().next().unwrap_or("client");
        let mut command = Self::tool(&self.client, &format!("client {words}"))?;
        Process::spawn(name, &self.dir, &mut command)
    }

    /// Starts the HTTP and UDP servers of a node and waits until they listen.
    pub fn start_server(&mut self, node: NodeId) -> Result<()> {
        let name = node.name();
        let words = format!("serve --name {name} --http {HTTP_PORT} --udp {ECHO_PORT}");
        let mut command = Self::tool(self.node(node)?, &words)?;
        let mut server = Process::spawn(&format!("server-{name}"), &self.dir, &mut command)?;
        server.line()?;
        self.servers.push((node, server));
        Ok(())
    }

    /// `kill -9` of a node's servers: the kernel resets their connections and refuses new ones.
    pub fn kill_server(&mut self, node: NodeId) -> Result<()> {
        let Some(at) = self.servers.iter().position(|(id, _)| *id == node) else {
            return Err(LabError::Expectation(format!("{} runs no server", node.name())));
        };
        let (_, mut server) = self.servers.swap_remove(at);
        server.kill()
    }

    /// SIGSTOP: the kernel still completes handshakes, but nobody answers.
    pub fn pause_server(&self, node: NodeId) -> Result<()> {
        self.signal_server(node, "STOP")
    }

    /// Ends [`Self::pause_server`].
    pub fn resume_server(&self, node: NodeId) -> Result<()> {
        self.signal_server(node, "CONT")
    }

    fn signal_server(&self, node: NodeId, signal: &str) -> Result<()> {
        let server = self.servers.iter().find(|(id, _)| *id == node);
        match server {
            Some((_, server)) => server.signal(signal),
            None => Err(LabError::Expectation(format!("{} runs no server", node.name()))),
        }
    }

    /// Lets the kernel route between client and nodes, in place of a box: proves the lab itself.
    pub fn route_by_kernel(&self) -> Result<()> {
        self.middle.ip(&format!("addr add {FRONT}/24 dev {}", self.front_interface()))?;
        self.middle.ip(&format!("addr add {BACK}/24 dev {}", self.back_interface()))?;
        self.middle.sysctl("net.ipv4.conf.all.arp_ignore", "0")?;
        self.middle.sysctl("net.ipv4.ip_forward", "1")?;
        self.client.ip(&format!("route add {NODES} via {FRONT}"))
    }

    /// Tags the box's own ends: for a box that knows no VLANs, such as the kernel's router.
    pub fn tag_middle(&self, tags: Tags) -> Result<()> {
        vlan::tag(&self.middle, &self.front_interface(), tags.front, &self.dir)?;
        vlan::tag(&self.middle, &self.back_interface(), tags.back, &self.dir)
    }

    fn wire(&self) -> Result<()> {
        let switch = &self.switch;
        switch.ip("link add br0 type bridge stp_state 0 mcast_snooping 0")?;
        switch.ip("link set br0 up")?;
        let front = self.front_interface();
        match self.topology.arms {
            Arms::Two => {
                let back = self.back_interface();
                pair(End(&front, &self.middle), End(&self.link("c"), &self.client))?;
                self.plug(&back, &self.middle, "sb")?;
            }
            Arms::One => {
                self.plug(&front, &self.middle, "sb")?;
                self.plug(&self.link("c"), &self.client, "sc")?;
            }
        }
        for (node, namespace) in &self.nodes {
            let name = self.link(&node.name());
            self.plug(&name, namespace, &format!("s{}", node.number()))?;
            namespace.ip(&format!("addr add {}/24 dev {name}", node.address()))?;
            namespace.ip(&format!("route add default via {BACK}"))?;
        }
        self.client.ip(&format!("addr add {CLIENT}/24 dev {}", self.link("c")))?;
        // Ten thousand connections from one address need more than the usual 28,000 ports, because
        // each rests for a minute after its end.
        self.client.sysctl("net.ipv4.ip_local_port_range", "1024 65535")?;
        // The kernel must not answer in the box's place.
        self.middle.sysctl("net.ipv4.conf.all.arp_ignore", "8")?;
        self.middle.sysctl("net.ipv4.ip_forward", "0")?;
        self.tag_links()
    }

    fn tag_links(&self) -> Result<()> {
        let Some(tags) = self.topology.tags else { return Ok(()) };
        vlan::tag(&self.client, &self.link("c"), tags.front, &self.dir)?;
        for (node, namespace) in &self.nodes {
            vlan::tag(namespace, &self.link(&node.name()), tags.back, &self.dir)?;
        }
        Ok(())
    }

    fn link(&self, what: &str) -> String {
        format!("sw-{}-{what}", self.id)
    }

    /// A link from a namespace into the switch.
    fn plug(&self, link: &str, namespace: &Namespace, socket: &str) -> Result<()> {
        let socket = self.link(socket);
        pair(End(link, namespace), End(&socket, &self.switch))?;
        self.switch.ip(&format!("link set {socket} master br0"))
    }
}

/// An end of a link: its name and where it goes.
#[derive(Copy, Clone)]
struct End<'a>(&'a str, &'a Namespace);

fn pair(a: End<'_>, b: End<'_>) -> Result<()> {
    run("ip", &["link", "add", a.0, "type", "veth", "peer", "name", b.0])?;
    a.1.adopt(a.0, &mac(a.0))?;
    b.1.adopt(b.0, &mac(b.0))
}

/// A locally administered address that is the same for the same name: captures stay readable.
pub(crate) fn mac(link: &str) -> String {
    let mut digest = crate::pattern::Digest::default();
    digest.update(link.as_bytes());
    let [a, b, c, d, ..] = digest.value().to_le_bytes();
    format!("02:73:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// Four characters: interface names hold fifteen, and `sw-` and the role need the rest.
pub(crate) fn fresh_id() -> Result<String> {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut random = [0; 4];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut random))
        .map_err(LabError::io("read /dev/urandom"))?;
    let letter = |byte: u8| ALPHABET.get(usize::from(byte % 32)).copied().map_or('x', char::from);
    Ok(random.into_iter().map(letter).collect())
}

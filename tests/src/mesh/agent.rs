//! `spillway-node` on a node of the mesh.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use serde::Deserialize;

use crate::error::{LabError, Result};
use crate::mesh::node::{Node, UPLINK};
use crate::process::{Process, output, until};
use crate::programs;

/// Prefixes of ClusterIPs.
pub const CLUSTER_CIDRS: [&str; 2] = ["10.96.0.0/16", "fd10:96::/112"];

/// The verifier takes its time on an emulated machine.
const READY_TIMEOUT: Duration = Duration::from_mins(3);
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// A `[[service]]` of the static file.
#[derive(Clone, Debug)]
pub struct Service {
    name: String,
    kind: &'static str,
    frontends: Vec<String>,
    /// With the number of the node that each runs on.
    backends: Vec<(SocketAddr, u8)>,
    lines: Vec<String>,
}

impl Service {
    /// A Service with one ClusterIP, such as `10.96.0.80:80/tcp`.
    pub fn cluster_ip(name: &str, frontend: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: "ClusterIP",
            frontends: vec![frontend.to_owned()],
            backends: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// A Service with a NodePort, such as `30645/tcp`, on all the node's addresses.
    pub fn node_port(name: &str, port: &str) -> Self {
        let frontend = format!("*:{port}");
        Self { kind: "NodePort", ..Self::cluster_ip(name, &frontend) }
    }

    /// One backend more, on a node.
    #[must_use]
    pub fn backend(mut self, at: impl Into<SocketAddr>, node: u8) -> Self {
        self.backends.push((at.into(), node));
        self
    }

    /// One line more, such as `scheduler = "maglev"`.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// As the agent of a node is to read it.
    fn to_toml(&self, node: u8) -> String {
        let (name, kind, frontends) = (&self.name, self.kind, &self.frontends);
        let mut text =
            format!("[[service]]\nname = {name:?}\ntype = {kind:?}\nfrontends = {frontends:?}\n");
        for line in &self.lines {
            let _ = writeln!(text, "{line}");
        }
        text.push_str("backends = [\n");
        for (at, on) in &self.backends {
            let _ = writeln!(text, "  {{ address = \"{at}\", local = {} }},", *on == node);
        }
        text.push_str("]\n");
        text
    }
}

/// A running agent. Dropping it kills it; what it left in the kernel goes on serving.
#[derive(Debug)]
pub struct Agent {
    process: Process,
    place: Place,
}

/// Where the agent of a node has its things.
#[derive(Clone, Debug)]
pub struct Place {
    node: u8,
    config: PathBuf,
    pins: PathBuf,
    state: PathBuf,
    settings: Vec<String>,
}

/// What the agent says of itself, as much of it as matters here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Status {
    pub synced_at: Option<u64>,
    pub attached: Vec<String>,
    pub services: u64,
    /// What is not served, and why.
    pub failed: Vec<String>,
    pub warnings: Vec<String>,
    pub sockets_closed: u64,
    pub attach_lost: u64,
    pub kernel: Vec<String>,
}

impl Status {
    fn is_serving(&self) -> bool {
        self.synced_at.is_some() && self.attached.len() > 1
    }
}

impl Place {
    /// On a node. `settings` are `key=value`, on top of what the mesh itself says.
    pub fn on(node: &Node, settings: &[&str]) -> Self {
        Self {
            node: node.number(),
            config: node.dir().join("node.toml"),
            pins: node.bpffs().join("spillway"),
            state: node.dir().join("state"),
            settings: settings.iter().map(|setting| (*setting).to_owned()).collect(),
        }
    }

    /// Folder that everything of the agent is pinned below.
    pub fn pins(&self) -> &std::path::Path {
        &self.pins
    }

    /// Writes the configuration, anew as a whole.
    pub fn configure(&self, node: &Node, services: &[Service]) -> Result<()> {
        let own: String = services.iter().map(|service| service.to_toml(self.node)).collect();
        let (name, state, pins) = (node.name(), self.state.display(), self.pins.display());
        let (cgroup, address) = (node.cgroup().display(), node.address());
        let address_v6 = node.address_v6();
        let text = format!(
            "name = \"{name}\"\nstate_dir = \"{state}\"\n\
             [node_ports]\naddresses = [\"{address}/32\", \"{address_v6}/128\"]\n\
             [cluster_ips]\nprefixes = {CLUSTER_CIDRS:?}\n\
             [datapath]\ncgroup = \"{cgroup}\"\npins = \"{pins}\"\n\
             [devices]\nnetdevs = [\"{UPLINK}\"]\n{own}"
        );
        fs::write(&self.config, text)
            .map_err(LabError::io(format!("write {}", self.config.display())))
    }

    /// What `spillway-node WORDS` prints; it works without an agent.
    pub fn ask(&self, node: &Node, words: &str) -> Result<String> {
        let mut command = node.command(programs::path(programs::NODE)?);
        command.args(words.split_whitespace());
        command.arg("--pins").arg(&self.pins).arg("--state-dir").arg(&self.state);
        output(&mut command)
    }

    /// Starts the agent and waits until it serves.
    pub fn start(&self, node: &Node) -> Result<Agent> {
        let mut command = node.command(programs::path(programs::NODE)?);
        command.arg("run").arg("--config").arg(&self.config);
        for setting in &self.settings {
            command.arg("--set").arg(setting);
        }
        // The last word of the one before.
        let _ = fs::remove_file(self.status_file());
        let process = Process::spawn("spillway-node", node.dir(), &mut command)?;
        let mut agent = Agent { process, place: self.clone() };
        agent.wait_for("being served", READY_TIMEOUT, Status::is_serving)?;
        Ok(agent)
    }

    /// What the agent last said of itself; nothing if it has not yet.
    pub fn status(&self) -> Result<Status> {
        match fs::read_to_string(self.status_file()) {
            Ok(text) => serde_json::from_str(&text).map_err(LabError::json("status.json")),
            Err(_) => Ok(Status::default()),
        }
    }

    fn status_file(&self) -> PathBuf {
        self.state.join("status.json")
    }
}

impl Agent {
    /// Configures and starts the agent of a node.
    pub fn serve(node: &Node, services: &[Service], settings: &[&str]) -> Result<Self> {
        let place = Place::on(node, settings);
        place.configure(node, services)?;
        place.start(node)
    }

    /// Where it has its things.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Its process: to be stopped or killed.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What `spillway-node WORDS` prints.
    pub fn ask(&self, node: &Node, words: &str) -> Result<String> {
        self.place.ask(node, words)
    }

    /// Stops it in good order; what it left in the kernel goes on serving.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.process.signal("TERM")?;
        self.process.wait(STOP_TIMEOUT)
    }

    /// Waits until it says something of itself.
    pub fn wait_for(
        &mut self,
        what: &str,
        after: Duration,
        is_so: impl Fn(&Status) -> bool,
    ) -> Result<Status> {
        let waited = until(what, after, || {
            self.process.ensure_running()?;
            let status = self.place.status()?;
            Ok(is_so(&status).then_some(status))
        });
        waited.map_err(|error| {
            let status = self.place.status().unwrap_or_default();
            LabError::Expectation(format!("{error}: {status:?}\n{}", self.process.log_tail()))
        })
    }
}

//! A Kubernetes cluster for the lab: an API server of the tests' own, driven by the real `kubectl`.
//!
//! The server runs where the box does, on loopback: the management network. Nodes are the lab's.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::error::{LabError, Result};
use crate::lab::topology::NodeId;
use crate::lab::{Lab, POD_PORT, namespace::Namespace};
use crate::process::{Process, output, until};
use crate::programs;

/// Where the API server listens, in the box's namespace.
const API: &str = "127.0.0.1:6443";
/// Its port, wherever it listens.
pub const API_PORT: u16 = 6443;
/// Where it takes orders from the tests.
const CONTROL: &str = "127.0.0.1:6444";
/// `kubectl` that waits for a server that is not there is no help.
const REQUEST_TIMEOUT: &str = "--request-timeout=10s";

/// A running API server. Dropping it kills it.
#[derive(Debug)]
pub struct Cluster<'l> {
    place: Place<'l>,
    server: Process,
    kubeconfig: PathBuf,
}

/// Where an API server runs and keeps its files.
#[derive(Copy, Clone, Debug)]
pub struct Place<'l> {
    pub namespace: &'l Namespace,
    pub dir: &'l Path,
}

impl<'l> Cluster<'l> {
    /// Starts the server, with the lab's nodes in it.
    pub fn start(lab: &'l Lab) -> Result<Self> {
        let nodes: Vec<Value> = lab.node_ids().map(node).collect();
        Self::start_with(lab, &nodes)
    }

    /// Starts the server with these objects.
    pub fn start_with(lab: &'l Lab, objects: &[Value]) -> Result<Self> {
        Self::start_at(Place { namespace: lab.middle(), dir: lab.dir() }, API, objects)
    }

    /// Starts the server somewhere else.
    pub fn start_at(place: Place<'l>, api: &str, objects: &[Value]) -> Result<Self> {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        let Place { namespace, dir } = place;
        let path = dir.join("objects.json");
        std::fs::write(&path, list.to_string()).map_err(LabError::io("write the objects"))?;
        let kubeconfig = dir.join("kubeconfig");
        let mut command = namespace.command(programs::path(programs::API_SERVER)?);
        command.args(["--listen", api, "--admin", CONTROL]).arg("--pki").arg(dir.join("pki"));
        command.arg("--kubeconfig").arg(&kubeconfig).arg("--load").arg(&path);
        let mut server = Process::spawn("apiserver", dir, &mut command)?;
        server.line()?;
        Ok(Self { place, server, kubeconfig })
    }

    /// The API server is gone, with every connection to it; what is in etcd stays.
    pub fn go_down(&self) -> Result<()> {
        self.control("down", "true")
    }

    /// Ends [`Self::go_down`].
    pub fn come_back(&self) -> Result<()> {
        self.control("down", "false")
    }

    /// An order to the server's control port.
    fn control(&self, order: &str, body: &str) -> Result<()> {
        let url = format!("http://{CONTROL}/{order}");
        let words = ["curl", "-sS", "--fail", "--max-time", "5", "-d", body, &url];
        self.place.namespace.run(&words).map(drop)
    }

    /// Credentials of an administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The server's process: to be stopped, continued or killed.
    pub fn server(&mut self) -> &mut Process {
        &mut self.server
    }

    /// What `kubectl WORDS` prints.
    pub fn kubectl(&self, words: &str) -> Result<String> {
        output(self.command().args(words.split_whitespace()))
    }

    /// `kubectl apply -f -`.
    pub fn apply(&self, manifest: &str) -> Result<()> {
        self.feed("apply", manifest)
    }

    /// `kubectl create -f -`.
    pub fn create(&self, manifest: &str) -> Result<()> {
        self.feed("create", manifest)
    }

    fn feed(&self, verb: &str, manifest: &str) -> Result<()> {
        let mut command = self.command();
        command.args([verb, "-f", "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(LabError::io("start kubectl"))?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(manifest.as_bytes()).map_err(LabError::io("write to kubectl"))?;
        }
        let out = child.wait_with_output().map_err(LabError::io("wait for kubectl"))?;
        if out.status.success() {
            return Ok(());
        }
        Err(LabError::Command {
            command: format!("kubectl {verb} -f -"),
            status: out.status.to_string(),
            stderr: format!("{}\n{manifest}", String::from_utf8_lossy(&out.stderr).trim()),
        })
    }

    /// The address that `kubectl get service` shows; `None` while it is pending.
    pub fn address_of(&self, service: &str) -> Result<Option<Ipv4Addr>> {
        let path = "jsonpath={.status.loadBalancer.ingress[0].ip}";
        let text = self.kubectl(&format!("get service {service} -o {path}"))?;
        Ok(text.trim().parse().ok())
    }

    /// Waits for [`Self::address_of`].
    pub fn wait_for_address(&self, service: &str, after: Duration) -> Result<Ipv4Addr> {
        until(&format!("an address for {service}"), after, || self.address_of(service))
    }

    fn command(&self) -> Command {
        let mut command = self.place.namespace.command("kubectl");
        command.arg("--kubeconfig").arg(&self.kubeconfig).arg(REQUEST_TIMEOUT);
        // What it caches is this server's alone.
        command.arg("--cache-dir").arg(self.place.dir.join("kubectl"));
        command
    }
}

/// The network of a node's pods.
pub fn pod_cidr(node: NodeId) -> String {
    format!("10.244.{}.0/24", node.number())
}

/// A pod's address on a node.
pub const fn pod_address(node: NodeId, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 244, node.number(), host)
}

/// A Node object of the lab.
pub fn node(id: NodeId) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": id.name(), "labels": {"kubernetes.io/hostname": id.name()}},
        "spec": {"podCIDR": pod_cidr(id), "podCIDRs": [pod_cidr(id)]},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": id.address().to_string()},
                {"type": "Hostname", "address": id.name()},
            ],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    })
}

/// One endpoint of a slice.
#[derive(Copy, Clone, Debug)]
pub struct Endpoint {
    pub node: NodeId,
    pub address: Ipv4Addr,
    pub ready: bool,
    pub terminating: bool,
}

impl Endpoint {
    /// Ready, and not about to go.
    pub const fn ready(node: NodeId, host: u8) -> Self {
        Self { node, address: pod_address(node, host), ready: true, terminating: false }
    }

    /// On its way out, still answering.
    #[must_use]
    pub const fn terminating(self) -> Self {
        Self { ready: false, terminating: true, ..self }
    }
}

/// The EndpointSlice `SERVICE-1` of a Service whose one port is called `http`.
pub fn slice(service: &str, endpoints: &[Endpoint]) -> String {
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|endpoint| {
            json!({
                "addresses": [endpoint.address.to_string()],
                "nodeName": endpoint.node.name(),
                "conditions": {
                    "ready": endpoint.ready,
                    "serving": endpoint.ready || endpoint.terminating,
                    "terminating": endpoint.terminating,
                },
            })
        })
        .collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{service}-1"), "namespace": "default",
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "protocol": "TCP", "port": POD_PORT}],
        "endpoints": endpoints,
    })
    .to_string()
}

/// A Service of type LoadBalancer with one port, `http`, 80; `more` are further lines of its spec.
pub fn load_balancer(name: &str, more: &[&str]) -> String {
    let mut text = format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  type: LoadBalancer\n  \
         loadBalancerClass: spillway.io/box\n  selector: {{app: {name}}}\n  ports:\n  \
         - {{name: http, port: 80, targetPort: {POD_PORT}}}\n"
    );
    for line in more {
        let _ = writeln!(text, "  {line}");
    }
    text
}

/// `GET /` from a client, once; the first word is the server's name.
pub fn ask(client: &Namespace, address: impl std::fmt::Display) -> Result<String> {
    let url = format!("http://{address}/");
    let text = client.run(&["curl", "-sS", "--max-time", "5", &url])?;
    Ok(text.split_whitespace().next().unwrap_or_default().to_owned())
}

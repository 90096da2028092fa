//! A cluster node: a network namespace, a cgroup, a bpffs, and the pods on it.

use std::ffi::OsStr;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{LabError, Result};
use crate::lab::namespace::Namespace;
use crate::mesh::pod::{self, Attachment, Pod};
use crate::mesh::{self, Mesh};
use crate::process::{output, run};

/// The device that a node reaches the segment by.
pub const UPLINK: &str = "eth0";

/// A node.
#[derive(Debug)]
pub struct Node {
    number: u8,
    dir: PathBuf,
    cgroup: PathBuf,
    bpffs: PathBuf,
    attachment: Attachment,
    // Pods go before what they hang on.
    pods: Vec<Pod>,
    namespace: Namespace,
}

impl Node {
    pub(crate) fn create(mesh: &Mesh, number: u8) -> Result<Self> {
        let name = format!("node{number}");
        let dir = mesh.dir().join(&name);
        let bpffs = dir.join("bpf");
        fs::create_dir_all(&bpffs).map_err(LabError::io(format!("create {}", bpffs.display())))?;
        run("mount", &["-t", "bpf", "sw-bpf", &bpffs.display().to_string()])?;
        let node = Self {
            number,
            dir,
            bpffs,
            cgroup: mesh.cgroups().folder(&name)?,
            attachment: mesh.shape().attachment,
            pods: Vec::new(),
            namespace: mesh::host(format!("sw-{}-{name}", mesh.id()))?,
        };
        let namespace = &node.namespace;
        namespace.sysctl("net.ipv4.ip_forward", "1")?;
        namespace.sysctl("net.ipv6.conf.all.forwarding", "1")?;
        for scope in ["all", "default"] {
            namespace.sysctl(&format!("net.ipv4.conf.{scope}.rp_filter"), "2")?;
        }
        mesh.plug(namespace, UPLINK, &name)?;
        namespace.ip(&format!("addr add {}/24 dev {UPLINK}", node.address()))?;
        namespace.ip(&format!("addr add {}/64 dev {UPLINK}", node.address_v6()))?;
        pod::prepare(&node)?;
        Ok(node)
    }

    /// Counted from 0.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// As Kubernetes calls it.
    pub fn name(&self) -> String {
        format!("node{}", self.number)
    }

    /// In the segment.
    pub fn address(&self) -> Ipv4Addr {
        mesh::node_address(self.number)
    }

    /// In the segment.
    pub fn address_v6(&self) -> Ipv6Addr {
        mesh::node_address_v6(self.number)
    }

    /// Logs and files of this node's programs.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The root of the node's cgroups: its pods lie below.
    pub fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// A bpffs that no other node has.
    pub fn bpffs(&self) -> &Path {
        &self.bpffs
    }

    /// Its network.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// How pods hang on it.
    pub fn attachment(&self) -> Attachment {
        self.attachment
    }

    /// A command that will run on the host: in its network, and in its cgroup but in no pod's.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        inside(&self.cgroup, &self.namespace, program)
    }

    /// Runs a program on the host, to its end, and returns its stdout.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        let Some((program, arguments)) = words.split_first() else {
            return Err(LabError::Expectation("a command has at least one word".to_owned()));
        };
        output(self.command(program).args(arguments))
    }

    /// Adds a pod with the addresses 10.0.NODE.`host` and its like in IPv6.
    pub fn add_pod(&mut self, host: u8) -> Result<&mut Pod> {
        let pod = Pod::create(self, host)?;
        self.pods.push(pod);
        self.pod_mut(host)
    }

    /// Removes a pod with everything that runs in it.
    pub fn remove_pod(&mut self, host: u8) -> Result<()> {
        let at = self.pods.iter().position(|pod| pod.host() == host);
        let at = at.ok_or_else(|| self.no_pod(host))?;
        drop(self.pods.swap_remove(at));
        Ok(())
    }

    /// A pod by the last number of its address.
    pub fn pod(&self, host: u8) -> Result<&Pod> {
        self.pods.iter().find(|pod| pod.host() == host).ok_or_else(|| self.no_pod(host))
    }

    /// The same, for those who start servers.
    pub fn pod_mut(&mut self, host: u8) -> Result<&mut Pod> {
        let missing = self.no_pod(host);
        self.pods.iter_mut().find(|pod| pod.host() == host).ok_or(missing)
    }

    fn no_pod(&self, host: u8) -> LabError {
        LabError::Expectation(format!("{} has no pod {host}", self.name()))
    }
}

/// A command in a cgroup and a network namespace, and everything else as it is here.
///
/// Not by `ip netns exec`, which gives its program another /sys, without the mounts in it.
pub(crate) fn inside(cgroup: &Path, network: &Namespace, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", r#"echo 0 >"$1/cgroup.procs" && shift && exec "$@""#, "sh"]);
    command.arg(cgroup).arg("nsenter").arg(format!("--net=/run/netns/{}", network.name()));
    command.arg("--").arg(program);
    command
}

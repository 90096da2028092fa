//! One named network namespace.

use std::ffi::OsStr;
use std::process::Command;

use crate::error::{LabError, Result};
use crate::process::{output, run};

/// A network namespace that is deleted on drop. Loopback is up, IPv6 is off.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Creates the namespace and quiets it: nothing leaves it that nobody asked for.
    pub fn create(name: String) -> Result<Self> {
        run("ip", &["netns", "add", &name])?;
        let namespace = Self { name };
        namespace.ip("link set lo up")?;
        namespace.sysctl("net.ipv6.conf.all.disable_ipv6", "1")?;
        namespace.sysctl("net.ipv6.conf.default.disable_ipv6", "1")?;
        Ok(namespace)
    }

    /// As `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that will run inside.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        // It replaces itself by the program, so signals and exit codes are the program's own.
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// `ip ARGUMENTS` inside; words are separated by blanks.
    pub fn ip(&self, arguments: &str) -> Result<()> {
        let mut command = Command::new("ip");
        command.args(["-n", &self.name]).args(arguments.split_whitespace());
        output(&mut command).map(drop)
    }

    /// Sets a kernel parameter of this namespace.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let mut command = self.command("sysctl");
        output(command.args(["-q", "-w", &format!("{key}={value}")])).map(drop)
    }

    /// Runs a program inside, to its end, and returns its stdout.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        let Some((program, arguments)) = words.split_first() else {
            return Err(LabError::Expectation("a command has at least one word".to_owned()));
        };
        output(self.command(program).args(arguments))
    }

    /// Takes one end of a veth pair in, under its final name, and makes it behave like a wire.
    pub fn adopt(&self, link: &str, mac: &str) -> Result<()> {
        run("ip", &["link", "set", link, "netns", &self.name])?;
        self.ip(&format!("link set {link} address {mac}"))?;
        self.quiet(link)?;
        self.ip(&format!("link set {link} up"))
    }

    /// Makes a link behave like a wire.
    ///
    /// Offloads go off, because a frame that never sees hardware would otherwise arrive with half a
    /// checksum, or as a 64 KiB giant that no wire carries.
    pub fn quiet(&self, link: &str) -> Result<()> {
        let features = "tx off rx off sg off tso off gso off gro off txvlan off rxvlan off";
        let mut command = self.command("ethtool");
        command.args(["-K", link]).args(features.split_whitespace());
        output(&mut command).map(drop)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The sandbox takes it away anyway; a lab that ends earlier leaves room for the next one.
        let _ = run("ip", &["netns", "del", &self.name]);
    }
}

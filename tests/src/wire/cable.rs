//! A cable from the box to the test: a veth pair without a kernel that talks.

use std::process::Command;

use crate::error::Result;
use crate::lab::namespace::Namespace;
use crate::process::{output, run};

/// One end of a cable.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Plug<'a> {
    pub interface: &'a str,
    pub mac: &'a str,
}

/// Lays a cable from `near`, in the box's namespace, to `far`, in the test's own.
///
/// No end has an IP address, so the kernel answers nothing by itself. Offloads are off: frames cross
/// as they were written.
pub fn lay(namespace: &Namespace, near: Plug<'_>, far: Plug<'_>) -> Result<()> {
    for family in ["all", "default"] {
        run("sysctl", &["-q", "-w", &format!("net.ipv6.conf.{family}.disable_ipv6=1")])?;
    }
    let end = far.interface;
    run("ip", &["link", "add", near.interface, "type", "veth", "peer", "name", end])?;
    namespace.adopt(near.interface, near.mac)?;
    run("ip", &["link", "set", end, "address", far.mac])?;
    let features = "tx off rx off sg off tso off gso off gro off txvlan off rxvlan off";
    output(Command::new("ethtool").args(["-K", end]).args(features.split_whitespace()))?;
    run("ip", &["link", "set", end, "up"])
}

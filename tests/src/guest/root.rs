//! What is in the machine: the test program, what it starts, the tools of the lab, and the libraries of all.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{LabError, Result};
use crate::guest::archive::Archive;
use crate::guest::kernel::Kernel;
use crate::process::output;
use crate::programs;

/// Loaded in this order: each needs those before it only.
const MODULES: [&str; 14] = [
    "veth",
    "llc",
    "stp",
    "bridge",
    "ipvlan",
    "udp_tunnel",
    "ip6_udp_tunnel",
    "vxlan",
    "cls_bpf",
    "sch_ingress",
    "inet_diag",
    "tcp_diag",
    "udp_diag",
    "dummy",
];

/// Tools that busybox has not, or not with what the lab asks of them.
const TOOLS: [&str; 6] = ["ip", "bridge", "tc", "ethtool", "nsenter", "bpftool"];

/// Where the programs are, as `programs::path` looks for them: beside the test program.
const HOME: &str = "/spillway";

/// First process of the machine: makes a Debian of it, runs the test, and turns the power off.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/spillway:/usr/sbin:/usr/bin:/sbin:/bin HOME=/ SPILLWAY_SANDBOX=yes
mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t devtmpfs dev /dev && mount -t tmpfs tmp /tmp
mount -t cgroup2 cgroup /sys/fs/cgroup && mount -t bpf bpf /sys/fs/bpf
for module in $(cat /modules); do insmod "/lib/modules/$module.ko" || echo "guest: no $module"; done
read up rest </proc/uptime
echo "guest: $(uname -r) is up after $up s"
cd /spillway && ./test "$(cat /test)" --exact --nocapture --include-ignored 2>&1
echo "guest: done $?"
poweroff -f
"#;

/// Writes the initramfs.
pub(super) fn build(kernel: &Kernel, test: &str, path: &Path) -> Result<()> {
    let mut archive = Archive::create(path)?;
    for folder in ["proc", "sys", "dev", "tmp", "run", "mnt", "root"] {
        archive.folder(folder)?;
    }
    archive.script("/init", INIT)?;
    archive.script("/test", test)?;
    archive.script("/modules", &MODULES.join(" "))?;
    archive.file("/bin/busybox", Path::new("/bin/busybox"))?;
    for module in MODULES {
        archive.file(&format!("/lib/modules/{module}.ko"), &kernel.module(module)?)?;
    }
    for tool in TOOLS {
        let at = locate(tool)?;
        add_program(&mut archive, &format!("/usr/bin/{tool}"), &at)?;
    }
    let test = std::env::current_exe().map_err(LabError::io("find the test program"))?;
    add_program(&mut archive, &format!("{HOME}/test"), &test)?;
    for program in [programs::LAB_TOOL, programs::NODE] {
        add_program(&mut archive, &format!("{HOME}/{program}"), &programs::path(program)?)?;
    }
    archive.finish()
}

/// A program without its symbols, which are most of it, and its libraries where it looks for them.
fn add_program(archive: &mut Archive, path: &str, source: &Path) -> Result<()> {
    let stripped = std::env::temp_dir().join(format!("sw-stripped-{}", std::process::id()));
    output(Command::new("strip").arg("-o").arg(&stripped).arg(source))?;
    let added = archive.file(path, &stripped);
    let _ = std::fs::remove_file(&stripped);
    added?;
    for library in libraries(source)? {
        archive.file(&library.display().to_string(), &library)?;
    }
    Ok(())
}

/// What the dynamic linker would load, itself included: the absolute paths in the answer of ldd(1).
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let text = output(Command::new("ldd").arg(program))?;
    let words = text.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(words.map(PathBuf::from).collect())
}

fn locate(tool: &str) -> Result<PathBuf> {
    let dirs = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let found = dirs.iter().map(|dir| Path::new(dir).join(tool)).find(|path| path.is_file());
    found.ok_or_else(|| LabError::Expectation(format!("{tool} is missing: see scripts/lib.sh")))
}

//! Debian's kernel, from its package.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{LabError, Result};
use crate::process::{output, run};

/// Names the newest of Debian 12: Linux 6.1, which knows no TCX (6.6).
const META_PACKAGE: &str = "linux-image-cloud-amd64";

/// A kernel that was unpacked.
#[derive(Debug)]
pub(super) struct Kernel {
    /// As `uname -r` says there.
    pub(super) release: String,
    pub(super) image: PathBuf,
    modules: PathBuf,
}

impl Kernel {
    /// The file of a module.
    pub(super) fn module(&self, name: &str) -> Result<PathBuf> {
        let file = format!("{name}.ko");
        let missing = || LabError::Expectation(format!("{} has no {file}", self.release));
        find_file(&self.modules, &file).ok_or_else(missing)
    }
}

/// The kernel beside the programs that were built; fetched if it is not there yet.
pub(super) fn find() -> Result<Kernel> {
    let exe = std::env::current_exe().map_err(LabError::io("find the running program"))?;
    let home = exe.ancestors().nth(2).unwrap_or(&exe).join("guest-kernel");
    if !home.is_dir() {
        fetch(&home)?;
    }
    let boot = fs::read_dir(home.join("boot")).map_err(LabError::io("look for a kernel"))?;
    let mut names = boot.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let release = names.find_map(|name| name.strip_prefix("vmlinuz-").map(str::to_owned));
    let missing = || LabError::Expectation(format!("no kernel in {}", home.display()));
    let release = release.ok_or_else(missing)?;
    Ok(Kernel {
        image: home.join(format!("boot/vmlinuz-{release}")),
        modules: home.join(format!("lib/modules/{release}")),
        release,
    })
}

/// Downloads the package and unpacks it, whole or not at all.
fn fetch(home: &Path) -> Result<()> {
    let parts = home.with_extension("part");
    let _ = fs::remove_dir_all(&parts);
    fs::create_dir_all(&parts).map_err(LabError::io(format!("create {}", parts.display())))?;
    if let Err(first) = download(&parts) {
        // A machine without lists of packages, or with old ones.
        run("apt-get", &["-q", "update"])?;
        download(&parts).map_err(|_| first)?;
    }
    let packages = fs::read_dir(&parts).map_err(LabError::io("look for a package"))?;
    let package = packages.flatten().map(|entry| entry.path()).next();
    let package = package.ok_or_else(|| LabError::Expectation("no package came".to_owned()))?;
    let unpacked = parts.join("kernel");
    run("dpkg-deb", &["-x", &package.display().to_string(), &unpacked.display().to_string()])?;
    fs::rename(&unpacked, home).map_err(LabError::io(format!("create {}", home.display())))?;
    fs::remove_dir_all(&parts).map_err(LabError::io(format!("remove {}", parts.display())))
}

fn download(to: &Path) -> Result<()> {
    let depends = output(Command::new("apt-cache").args(["depends", META_PACKAGE]))?;
    let package = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    let missing = || LabError::Expectation(format!("apt-cache depends {META_PACKAGE}: {depends}"));
    let package = package.ok_or_else(missing)?;
    let mut command = Command::new("apt-get");
    command.args(["-q", "download", package]).current_dir(to);
    output(&mut command).map(drop)
}

fn find_file(folder: &Path, name: &str) -> Option<PathBuf> {
    fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        if path.is_dir() {
            find_file(&path, name)
        } else {
            (entry.file_name() == *name).then_some(path)
        }
    })
}

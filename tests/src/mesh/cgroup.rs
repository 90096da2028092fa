//! A tree of cgroups for one mesh, which must not outlive it.
//!
//! Cgroups are the one thing in the lab that a sandbox does not take away with it. So the test itself joins the tree:
//! a tree in which nobody is left is one whose test was killed, and the next mesh removes it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{LabError, Result};
use crate::process::{run, until};

/// What trees of the lab start with; other tests have cgroups of other names.
const PREFIX: &str = "sw-mesh-";
/// From the kill of everything in a tree to its being empty.
const EMPTY_TIMEOUT: Duration = Duration::from_secs(5);

/// The cgroups of a mesh. Dropping it kills what is left in them.
#[derive(Debug)]
pub struct Cgroups {
    mount: PathBuf,
    top: PathBuf,
    /// Where the test was before.
    home: PathBuf,
}

impl Cgroups {
    /// Mounts the second version's hierarchy in `dir`, wherever the machine has it, and makes a tree in it.
    pub fn create(dir: &Path, id: &str) -> Result<Self> {
        let mount = dir.join("cgroup");
        fs::create_dir_all(&mount).map_err(LabError::io("create a folder for cgroups"))?;
        run("mount", &["-t", "cgroup2", "sw-cgroup", &mount.display().to_string()])?;
        let own = fs::read_to_string("/proc/self/cgroup")
            .map_err(LabError::io("read /proc/self/cgroup"))?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
        let cgroups =
            Self { top: mount.join(format!("{PREFIX}{id}")), home: mount.join(own), mount };
        cgroups.sweep()?;
        join(&cgroups.folder("test")?)?;
        Ok(cgroups)
    }

    /// A cgroup of the tree by its name, made if it is not there; `a/b` lies below `a`.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.top.join(name);
        fs::create_dir_all(&path).map_err(LabError::io(format!("create {}", path.display())))?;
        Ok(path)
    }

    /// Removes the trees of tests that were killed.
    fn sweep(&self) -> Result<()> {
        for tree in folders(&self.mount) {
            let name = tree.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with(PREFIX) && !is_populated(&tree)? {
                // Another test may sweep at the same time.
                remove(&tree);
            }
        }
        Ok(())
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        // The next mesh finds what cannot be removed now.
        let _ = join(&self.home);
        let _ = fs::write(self.top.join("cgroup.kill"), "1");
        let _ = until("an empty tree of cgroups", EMPTY_TIMEOUT, || {
            Ok((!is_populated(&self.top)?).then_some(()))
        });
        remove(&self.top);
    }
}

/// Moves this process.
fn join(cgroup: &Path) -> Result<()> {
    let procs = cgroup.join("cgroup.procs");
    fs::write(&procs, "0").map_err(LabError::io(format!("write to {}", procs.display())))
}

/// Whether anybody is in it or below; a tree that is gone has nobody.
fn is_populated(cgroup: &Path) -> Result<bool> {
    match fs::read_to_string(cgroup.join("cgroup.events")) {
        Ok(events) => Ok(events.lines().any(|line| line == "populated 1")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(source) => {
            Err(LabError::Io { attempt: format!("look into {}", cgroup.display()), source })
        }
    }
}

fn folders(cgroup: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(cgroup).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// Cgroups are removed one by one from the leaves up; their files go with them.
fn remove(cgroup: &Path) {
    for folder in folders(cgroup) {
        remove(&folder);
    }
    let _ = fs::remove_dir(cgroup);
}

//! The folder on the bpffs: there, ours alone, and locked while an agent runs.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::error::DatapathError;
use super::sys;
use crate::pins::Pins;

/// Makes the folders, on a bpffs that is mounted if need be. The answer is the lock, and the mount point if one was
/// made.
pub(super) fn prepare(pins: &Pins) -> Result<(File, Option<PathBuf>), DatapathError> {
    let mounted = ensure_bpffs(pins.root())?;
    make(pins.root())?;
    let lock = lock(pins.root())?;
    for folder in [pins.maps(), pins.links(), pins.qdiscs()] {
        make(&folder)?;
    }
    Ok((lock, mounted))
}

/// How long the last agent may take to end: its lock lives until its last thread, and whatever it has just forked, is gone.
const LOCK_WAIT: Duration = Duration::from_secs(2);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// A second agent would attach what the first detaches.
pub(super) fn lock(root: &Path) -> Result<File, DatapathError> {
    let folder = File::open(root).map_err(DatapathError::path(root, "open"))?;
    let end = Instant::now() + LOCK_WAIT;
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(folder),
            Err(TryLockError::WouldBlock) if Instant::now() < end => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => {
                return Err(DatapathError::Busy { root: root.to_owned() });
            }
            Err(TryLockError::Error(error)) => {
                return Err(DatapathError::path(root, "lock")(error));
            }
        }
    }
}

fn make(folder: &Path) -> Result<(), DatapathError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.and_then(|()| fs::set_permissions(folder, Permissions::from_mode(0o700)))
        .map_err(DatapathError::path(folder, "make a folder of mode 0700"))
}

fn ensure_bpffs(root: &Path) -> Result<Option<PathBuf>, DatapathError> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")
        .map_err(DatapathError::path("/proc/self/mountinfo", "read"))?;
    if kind_of_mount(&mounts, &existing(root)).is_some_and(|kind| kind == "bpf") {
        return Ok(None);
    }
    // The folder above, where a system has its own (/sys/fs/bpf), rather than one nobody else would find.
    let mountpoint = root.parent().unwrap_or(root).to_owned();
    let mounted = fs::create_dir_all(&mountpoint).and_then(|()| sys::mount_bpffs(&mountpoint));
    match mounted {
        Ok(()) => Ok(Some(mountpoint)),
        Err(error) => {
            Err(DatapathError::NoBpffs { path: root.to_owned(), mountpoint, error: Some(error) })
        }
    }
}

/// The part of the path that is there, without links in it.
fn existing(path: &Path) -> PathBuf {
    path.ancestors()
        .find_map(|part| fs::canonicalize(part).ok())
        .unwrap_or_else(|| PathBuf::from("/"))
}

/// The kind of file system that `path` is on: that of the last mount at the longest of the mount points above it
/// (proc_pid_mountinfo(5)).
fn kind_of_mount<'a>(mountinfo: &'a str, path: &Path) -> Option<&'a str> {
    let mut found: Option<(usize, &str)> = None;
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let Some(mountpoint) = left.split(' ').nth(4) else { continue };
        let mountpoint = PathBuf::from(mountpoint.replace("\\040", " "));
        let Some(kind) = right.split(' ').next() else { continue };
        let parts = mountpoint.components().count();
        if path.starts_with(&mountpoint) && found.is_none_or(|(longest, _)| parts >= longest) {
            found = Some((parts, kind));
        }
    }
    found.map(|(_, kind)| kind)
}

/// What is pinned or is a folder at `folder`, by name; nothing if it is not there.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, DatapathError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(DatapathError::path(folder, "list")(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(DatapathError::path(folder, "list"))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Removes a pin; that it is gone already is fine.
pub(super) fn unpin(path: &Path) -> Result<(), DatapathError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(DatapathError::path(path, "unpin")(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Removes an empty folder; that it is gone already is fine.
pub(super) fn remove(path: &Path) -> Result<(), DatapathError> {
    match fs::remove_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(DatapathError::path(path, "remove the folder")(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 27 0:21 / / rw shared:1 - ext4 /dev/vda rw
23 22 0:22 / /sys rw - sysfs sysfs rw
30 23 0:30 / /sys/fs/bpf rw,relatime shared:7 - bpf bpf rw,mode=700
31 23 0:31 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw
40 22 0:40 / /mnt/a\\040b rw - bpf bpffs rw
50 22 0:50 / /run/over rw - bpf bpffs rw
51 50 0:51 / /run/over rw - tmpfs tmpfs rw
";

    #[test]
    fn the_longest_mount_point_says_which_file_system_a_path_is_on() {
        let cases = [
            ("/sys/fs/bpf/spillway", "bpf"),
            ("/sys/fs/bpf", "bpf"),
            ("/sys/fs/bpfx", "sysfs"),
            ("/var/lib", "ext4"),
            ("/mnt/a b/spillway", "bpf"),
        ];
        for (path, kind) in cases {
            assert_eq!(kind_of_mount(MOUNTS, Path::new(path)), Some(kind), "{path}");
        }
    }

    #[test]
    fn of_two_mounts_at_one_place_the_later_is_seen() {
        assert_eq!(kind_of_mount(MOUNTS, Path::new("/run/over/x")), Some("tmpfs"));
    }
}

//! An initramfs: a cpio archive of the kind `newc`, as the kernel's
//! `Documentation/driver-api/early-userspace/buffer-format.rst` has it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::error::{LabError, Result};

const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_000;
/// The mark of the end.
const TRAILER: &str = "TRAILER!!!";

/// An archive that is being written. Paths are absolute; what is there already stays.
pub(super) struct Archive {
    out: BufWriter<File>,
    names: BTreeSet<String>,
    inode: u32,
}

impl Archive {
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file =
            File::create(path).map_err(LabError::io(format!("create {}", path.display())))?;
        Ok(Self { out: BufWriter::new(file), names: BTreeSet::new(), inode: 0 })
    }

    pub(super) fn folder(&mut self, path: &str) -> Result<()> {
        self.entry(path, FOLDER, b"")
    }

    /// A program that is not a file here.
    pub(super) fn script(&mut self, path: &str, text: &str) -> Result<()> {
        self.entry(path, FILE | 0o755, text.as_bytes())
    }

    /// A file with the contents of one here.
    pub(super) fn file(&mut self, path: &str, source: &Path) -> Result<()> {
        if self.names.contains(path) {
            return Ok(());
        }
        let attempt = || format!("read {}", source.display());
        let bytes = fs::read(source).map_err(LabError::io(attempt()))?;
        let mode = fs::metadata(source).map_err(LabError::io(attempt()))?.permissions().mode();
        self.entry(path, FILE | (mode & 0o777), &bytes)
    }

    pub(super) fn finish(mut self) -> Result<()> {
        self.record(TRAILER, 0, b"")?;
        self.out.flush().map_err(LabError::io("write an initramfs"))
    }

    fn entry(&mut self, path: &str, mode: u32, data: &[u8]) -> Result<()> {
        let name = path.trim_matches('/');
        if let Some((folder, _)) = name.rsplit_once('/') {
            self.folder(folder)?;
        }
        if name.is_empty() || !self.names.insert(format!("/{name}")) {
            return Ok(());
        }
        self.record(name, mode, data)
    }

    fn record(&mut self, name: &str, mode: u32, data: &[u8]) -> Result<()> {
        self.inode = self.inode.saturating_add(1);
        let too_big = || LabError::Expectation(format!("{name} is too big for an initramfs"));
        let data_len = u32::try_from(data.len()).map_err(|_| too_big())?;
        let name_len = u32::try_from(name.len()).map_err(|_| too_big())?.saturating_add(1);
        let mut head = String::from("070701");
        // inode, mode, owner, group, links, time, size, device, device of the node, length of the name, sum
        for field in [self.inode, mode, 0, 0, 1, 0, data_len, 0, 0, 0, 0, name_len, 0] {
            let _ = write!(head, "{field:08x}");
        }
        let head = [head.as_bytes(), name.as_bytes(), b"\0"].concat();
        for part in [&head[..], data] {
            let padding = [0; 3];
            let padding = padding.get(..part.len().wrapping_neg() % 4).unwrap_or_default();
            self.out.write_all(part).map_err(LabError::io("write an initramfs"))?;
            self.out.write_all(padding).map_err(LabError::io("write an initramfs"))?;
        }
        Ok(())
    }
}

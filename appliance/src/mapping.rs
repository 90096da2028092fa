//! Memory of the flow table: a file of its own, mapped, outside of DPDK's heap.
//!
//! The file outlives the process, so a restarted or upgraded box can find its flows in it.
#![allow(unsafe_code, reason = "mapping a file is unsafe; this module is the only place for it")]

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use memmap2::{Advice, MmapMut, MmapOptions};

/// Why the flow table has no memory.
#[derive(Debug, thiserror::Error)]
#[error("flow table: cannot {attempt} {path}")]
pub struct MappingError {
    attempt: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// Creates (or empties) the file and maps it, all zero, page aligned, for the life of the process.
///
/// Readable by the owner only: the file holds the hash key.
///
/// # Errors
/// [`MappingError`] names the file and what was tried.
pub fn create(path: &Path, bytes: usize) -> Result<&'static mut [u8], MappingError> {
    let failed = |attempt| move |source| MappingError { attempt, path: path.to_owned(), source };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(path).map_err(failed("create"))?;
    file.set_len(bytes as u64).map_err(failed("size"))?;
    // SAFETY: the file was just made (mode 0600, in our own directory), and the daemon's lock on
    // that directory keeps another daemon from opening it: nobody else writes or truncates it.
    let map: MmapMut =
        unsafe { MmapOptions::new().len(bytes).map_mut(&file) }.map_err(failed("map"))?;
    // Worth half of a packet's cost with a million flows; a kernel or file system without huge pages
    // for files refuses, which is no failure.
    let _ = map.advise(Advice::HugePage);
    let map: &'static mut MmapMut = Box::leak(Box::new(map));
    Ok(&mut map[..])
}

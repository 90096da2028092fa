//! What can go wrong, with the name of the object and what to do.

use std::io;
use std::path::PathBuf;

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;
use thiserror::Error;

/// Why the programs are not where they should be.
#[derive(Debug, Error)]
pub enum DatapathError {
    #[error("the kernel does not tell its version: {0}")]
    KernelUnknown(String),
    #[error("kernel {kernel}: 5.10 or later is needed")]
    KernelTooOld { kernel: String },
    #[error("kernel {kernel} has no TCX (6.6): set tc_attach to auto or clsact")]
    NoTcx { kernel: String },
    #[error(
        "asking the kernel for {helper}: {error}; root or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON are needed"
    )]
    Probe { helper: &'static str, error: ProgramError },
    #[error("{} is on no bpffs: mount -t bpf bpffs {}{}", path.display(), mountpoint.display(), because(error.as_ref()))]
    NoBpffs { path: PathBuf, mountpoint: PathBuf, error: Option<io::Error> },
    #[error("{}: another spillway-node holds it: stop that one first", root.display())]
    Busy { root: PathBuf },
    #[error("{}: {attempt}: {error}", path.display())]
    Path { path: PathBuf, attempt: &'static str, error: io::Error },
    #[error("object {object}: {error}")]
    Object { object: &'static str, error: EbpfError },
    #[error("program {program} of object {object} does not load: {error}")]
    Program { object: &'static str, program: String, error: ProgramError },
    #[error("map {map}: {attempt}: {error}")]
    Map { map: String, attempt: &'static str, error: MapError },
    #[error("map {map}: {attempt}: {error}")]
    MapRows { map: String, attempt: &'static str, error: io::Error },
    #[error("cgroup {}: {attempt} {program}: {error}", cgroup.display())]
    Cgroup { cgroup: PathBuf, program: String, attempt: &'static str, error: io::Error },
    #[error("device {device}: {attempt}: {error}")]
    Device { device: String, attempt: &'static str, error: io::Error },
}

fn because(error: Option<&io::Error>) -> String {
    error.map(|error| format!(" (tried, and failed: {error})")).unwrap_or_default()
}

impl DatapathError {
    pub(super) fn path(
        path: impl Into<PathBuf>,
        attempt: &'static str,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::Path { path, attempt, error }
    }
}

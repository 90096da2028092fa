//! Where things are pinned: everything the agent leaves in the kernel is below one folder of a bpffs.
//!
//! ```text
//! ROOT                  0700, /sys/fs/bpf/spillway by default
//! ├── maps-v1/NAME      maps of layout version 1: shared by the programs that run and by the next agent
//! └── links/NAME        what holds the programs where they are attached: sock-connect4, netdev-eth0-ingress, ...
//! ```
//! What is pinned lives on when the agent dies.

use std::path::{Path, PathBuf};

use crate::layout::LAYOUT_VERSION;

/// The default of [`Pins::root`].
pub const ROOT: &str = "/sys/fs/bpf/spillway";

/// Paths below the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins {
    root: PathBuf,
}

impl Pins {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Folder of the maps.
    pub fn maps(&self) -> PathBuf {
        self.root.join(format!("maps-v{LAYOUT_VERSION}"))
    }

    /// A map.
    pub fn map(&self, name: &str) -> PathBuf {
        self.maps().join(name)
    }

    /// Folder of the links.
    pub fn links(&self) -> PathBuf {
        self.root.join("links")
    }

    /// A link.
    pub fn link(&self, name: &str) -> PathBuf {
        self.links().join(name)
    }
}

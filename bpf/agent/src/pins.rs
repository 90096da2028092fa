//! Where things are pinned: everything the agent leaves in the kernel is below one folder of a bpffs.
//!
//! ```text
//! ROOT                     0700, /sys/fs/bpf/spillway by default; locked by the agent that runs
//! ├── maps-v1/NAME         maps of layout version 1: shared by the programs that run and by the next agent
//! ├── links/sock-PROGRAM   the link that holds a program at the cgroup
//! ├── links/device-INDEX-DIRECTION   the same of a device: a TCX link, or the program of a clsact filter
//! └── qdiscs/INDEX         an empty folder: the device's clsact qdisc was made by the agent
//! ```
//! What is pinned lives on when the agent dies. `NAME-next` is what takes the place of `NAME` once it is complete, by
//! rename(2); one that is left over is of an agent that died before that. (A bpffs refuses names with a dot.)

use std::path::{Path, PathBuf};

use crate::layout::LAYOUT_VERSION;

/// The default of [`Pins::root`].
pub const ROOT: &str = "/sys/fs/bpf/spillway";

/// Start of the names of the folders of maps, before the layout's version.
pub const MAPS_PREFIX: &str = "maps-v";
const SOCKET_PREFIX: &str = "sock-";
const DEVICE_PREFIX: &str = "device-";
const NEXT: &str = "-next";

/// Which packets of a device, as the host sees them: what comes in by it, or what goes out.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    Ingress,
    Egress,
}

impl Direction {
    pub const ALL: [Self; 2] = [Self::Ingress, Self::Egress];

    pub fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

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
        self.root.join(format!("{MAPS_PREFIX}{LAYOUT_VERSION}"))
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

    /// The link of a program at the cgroup.
    pub fn socket_link(&self, program: &str) -> PathBuf {
        self.link(&format!("{SOCKET_PREFIX}{program}"))
    }

    /// What holds the program that sees a device's packets of one direction.
    pub fn device_link(&self, ifindex: u32, direction: Direction) -> PathBuf {
        self.link(&format!("{DEVICE_PREFIX}{ifindex}-{}", direction.name()))
    }

    /// Folder of the marks of qdiscs.
    pub fn qdiscs(&self) -> PathBuf {
        self.root.join("qdiscs")
    }

    /// The mark that the clsact qdisc of a device is ours.
    pub fn qdisc(&self, ifindex: u32) -> PathBuf {
        self.qdiscs().join(ifindex.to_string())
    }

    /// Where the successor of what is at `path` is until it takes its place.
    pub fn next(path: &Path) -> PathBuf {
        let mut next = path.as_os_str().to_owned();
        next.push(NEXT);
        next.into()
    }
}

/// What the name of a pin says.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Name<'a> {
    /// The program's.
    Socket(&'a str),
    Device {
        ifindex: u32,
        direction: Direction,
    },
    /// Left over by an agent that died, or not ours.
    Other,
}

impl<'a> Name<'a> {
    /// Reads the name of a pin in [`Pins::links`].
    pub fn read(name: &'a str) -> Self {
        if name.ends_with(NEXT) {
            return Self::Other;
        }
        if let Some(program) = name.strip_prefix(SOCKET_PREFIX) {
            return Self::Socket(program);
        }
        let device = name.strip_prefix(DEVICE_PREFIX).and_then(|rest| rest.split_once('-'));
        let Some((ifindex, direction)) = device else { return Self::Other };
        let direction = Direction::ALL.into_iter().find(|known| known.name() == direction);
        match (ifindex.parse(), direction) {
            (Ok(ifindex), Some(direction)) => Self::Device { ifindex, direction },
            (Err(_), _) | (_, None) => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_pin_says_what_it_holds() {
        let pins = Pins::new("/b");
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        let socket = name(&pins.socket_link("connect4"));
        assert_eq!(Name::read(&socket), Name::Socket("connect4"));
        for direction in Direction::ALL {
            let device = name(&pins.device_link(7, direction));
            assert_eq!(Name::read(&device), Name::Device { ifindex: 7, direction });
        }
        let next = name(&Pins::next(&pins.socket_link("connect4")));
        for other in [next.as_str(), "device-7", "device-x-ingress", "device-7-sideways", "tmp"] {
            assert_eq!(Name::read(other), Name::Other, "{other}");
        }
    }

    #[test]
    fn no_name_has_a_dot_which_a_bpffs_refuses() {
        let pins = Pins::new("/b");
        let paths = [
            pins.maps(),
            pins.device_link(7, Direction::Egress),
            pins.qdisc(7),
            Pins::next(&pins.map("backends")),
        ];
        for path in paths {
            assert!(!path.to_string_lossy().contains('.'), "{}", path.display());
        }
    }
}

//! A bpffs for one test, with the maps of the programs in it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use aya::EbpfLoader;
use spillway_node::maps::Maps;
use spillway_node::objects;
use spillway_node::pins::Pins;

/// Unmounted when dropped: the maps go with it.
pub(crate) struct Bpffs {
    folder: PathBuf,
    pub(crate) started: Instant,
}

impl Bpffs {
    pub(crate) fn mount(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("sw-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mounted = Command::new("mount").args(["-t", "bpf", "sw-bpf"]).arg(&folder).status();
        assert!(mounted.unwrap().success(), "a bpffs on {}", folder.display());
        Self { folder, started: Instant::now() }
    }

    pub(crate) fn pins(&self) -> Pins {
        Pins::new(&self.folder)
    }

    /// Pins the maps of the programs, some with other sizes.
    pub(crate) fn load(&self, sizes: &[(&str, u32)]) -> Maps {
        std::fs::create_dir_all(self.pins().maps()).unwrap();
        for object in [objects::SOCK, objects::NETDEV, objects::POD] {
            let mut loader = EbpfLoader::new();
            loader.default_map_pin_directory(self.pins().maps());
            for (name, size) in sizes {
                loader.map_max_entries(name, *size);
            }
            loader.load(object).unwrap();
        }
        Maps::open(&self.pins()).unwrap()
    }
}

impl Drop for Bpffs {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.folder).status();
        assert!(unmounted.unwrap().success(), "{} stays mounted", self.folder.display());
        std::fs::remove_dir(&self.folder).unwrap();
    }
}

//! A directory with a configuration in it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use spillway_control::settings::{Mistakes, Settings, Sources, load};

/// Two ports, two services, two workers on a machine of four cores; no mistake in it.
pub(crate) const BASE: &str = r#"name = "edge"

[dataplane]
main_core = 0
worker_cores = [1, 2]
poll = "busy"

[[port]]
name = "front"
driver = "af_packet"
interface = "sw-front"
addresses = ["172.26.50.101/24"]
gateway = "172.26.50.1"

[[port]]
name = "back"
driver = "af_packet"
interface = "sw-back"
addresses = ["10.0.1.1/24"]
neighbors = { "10.0.1.72" = "02:00:00:00:00:72" }

[snat]
addresses = ["172.26.50.101"]
ports = "31210-60999"

[health]
interval = "2s"

[timeouts]
udp = "30s"

[[service]]
name = "web"
type = "NodePort"
frontends = ["172.26.50.101:30645"]
scheduler = "random"
backends = ["10.0.1.71:80", "10.0.1.72:80"]
health = { type = "http", path = "/healthz" }

[[service]]
name = "dns"
frontends = ["172.26.50.110:53/udp"]
backends = ["10.0.1.71:53"]
"#;

pub(crate) const CPUS_ONLINE: usize = 4;

/// Removes itself.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// With `text` as its `static.toml`.
    pub(crate) fn with(text: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("settings-{}-{number}", std::process::id());
        let folder = Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name));
        folder.write("static.toml", text);
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn sources(&self) -> Sources {
        Sources { file: self.path("static.toml"), cpus_online: CPUS_ONLINE, ..Sources::default() }
    }

    pub(crate) fn load(&self) -> Result<Settings, Mistakes> {
        load(&self.sources())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Pairs for [`Sources`].
pub(crate) fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

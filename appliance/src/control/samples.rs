//! What the tests of this module share.

use std::path::Path;

use spillway_control::settings::{Settings, Sources, load};

/// The box of the Kubernetes tests, and no cluster behind it.
pub(super) fn settings() -> Settings {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/config/kubernetes.toml");
    load(&Sources { file, cpus_online: 2, ..Sources::default() }).unwrap()
}

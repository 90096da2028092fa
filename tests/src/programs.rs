//! Where the programs are that a lab runs, built if need be.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::error::{LabError, Result};

/// The box.
pub const SPILLWAYD: &str = "spillwayd";
/// Its command line.
pub const SPILLWAY: &str = "spillway";
/// The Kubernetes API server of the tests.
pub const API_SERVER: &str = "sw-apiserver";
/// The companion on cluster nodes.
pub const NODE: &str = "spillway-node";
/// Servers and clients of the lab.
pub const LAB_TOOL: &str = "sw-lab-tool";

/// Which package each program is built from.
const PACKAGES: [(&str, &str); 5] = [
    ("spillway-appliance", SPILLWAYD),
    ("spillway-cli", SPILLWAY),
    ("spillway-apiserver", API_SERVER),
    ("spillway-node", NODE),
    ("spillway-tests", LAB_TOOL),
];

/// The repository's root.
pub fn root() -> PathBuf {
    // tests/ lies directly in the root.
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Path of a program that was built next to the running one.
///
/// # Errors
/// When it is not there: [`build`] was not called.
pub fn path(program: &str) -> Result<PathBuf> {
    let exe = std::env::current_exe().map_err(LabError::io("find the running program"))?;
    // `target/debug/xtask`, or `target/debug/deps/forwarding-0123456789abcdef` for a test.
    let found = exe.ancestors().skip(1).take(2).map(|dir| dir.join(program)).find(|p| p.is_file());
    found.ok_or_else(|| {
        LabError::Expectation(format!("{program} is not built beside {}", exe.display()))
    })
}

/// Says that the programs are up to date: scripts that have just built them set it.
pub const PREBUILT: &str = "SPILLWAY_PREBUILT";

/// Brings all programs up to date, in the profile of the running one. Quick when nothing changed.
///
/// Cargo builds the programs of other packages for nobody's test, so the tests ask for it here.
pub fn build() -> Result<()> {
    static DONE: OnceLock<std::result::Result<(), String>> = OnceLock::new();
    let outcome = DONE.get_or_init(|| build_now().map_err(|error| error.to_string()));
    outcome.clone().map_err(LabError::Expectation)
}

fn build_now() -> Result<()> {
    if std::env::var_os(PREBUILT).is_some() {
        return Ok(());
    }
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let mut command = Command::new(cargo);
    command.current_dir(root()).args(["build", "--quiet", "--locked"]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    for (package, program) in PACKAGES {
        command.args(["--package", package, "--bin", program]);
    }
    crate::process::output(&mut command).map(drop)
}

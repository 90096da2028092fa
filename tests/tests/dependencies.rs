//! The direction of dependencies is the architecture; nobody turns it round by accident.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde::Deserialize;
use spillway_tests::{LabError, Result, process, programs};

/// Which crates of the workspace a crate may use. Development tools are not asked.
const ALLOWED: [(&str, &[&str]); 13] = [
    ("spillway-packet", &[]),
    ("spillway-lb", &["spillway-packet"]),
    ("spillway-cluster", &["spillway-lb"]),
    ("spillway-control", &["spillway-packet", "spillway-lb", "spillway-cluster"]),
    ("spillway-host", &["spillway-packet", "spillway-lb", "spillway-control"]),
    ("spillway-kube", &["spillway-cluster"]),
    (
        "spillway-node",
        &[
            "spillway-lb",
            "spillway-cluster",
            "spillway-control",
            "spillway-kube",
            "spillway-admin",
            "spillway-text",
        ],
    ),
    ("spillway-admin", &[]),
    ("spillway-text", &[]),
    ("spillway-cli", &["spillway-admin", "spillway-text"]),
    ("dpdk-sys", &[]),
    ("capsule", &["dpdk-sys"]),
    (
        "spillway-appliance",
        &[
            "spillway-packet",
            "spillway-lb",
            "spillway-cluster",
            "spillway-control",
            "spillway-kube",
            "spillway-host",
            "spillway-admin",
            "capsule",
        ],
    ),
];

/// May use anything, and may be used by nobody but each other.
const TOOLS: [&str; 4] = ["spillway-tests", "spillway-apiserver", "spillway-bench", "xtask"];

/// Stands in for the outside world; the tests of any crate may use it.
const STAND_IN: &str = "spillway-apiserver";

/// What the pure crates must never reach, whatever path it takes: async, clocks, DPDK.
const NOT_PURE: [&str; 5] = ["tokio", "smoltcp", "dpdk-sys", "capsule", "rand"];

/// What `cargo metadata` says, as far as it matters here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `None`: linked in; otherwise of the tests or of the build.
    kind: Option<String>,
}

impl Package {
    fn linked(&self) -> impl Iterator<Item = &str> {
        let linked = self.dependencies.iter().filter(|dependency| dependency.kind.is_none());
        linked.map(|dependency| dependency.name.as_str())
    }
}

/// The workspace's crates.
fn packages() -> Result<Vec<Package>> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(programs::root());
    cargo.args(["metadata", "--format-version", "1", "--no-deps", "--locked", "--offline"]);
    let answer = process::output(&mut cargo)?;
    let metadata: Metadata =
        serde_json::from_str(&answer).map_err(LabError::json("read cargo metadata"))?;
    Ok(metadata.packages)
}

#[test]
fn every_crate_uses_only_what_lies_below_it() {
    let packages = packages().unwrap();
    let members: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
    for package in packages.iter().filter(|package| !TOOLS.contains(&package.name.as_str())) {
        let name = package.name.as_str();
        let Some(allowed) = allowed.get(name) else {
            panic!("{name} is new: say in tests/tests/dependencies.rs what it may use");
        };
        let is_stand_in = |dependency: &&Dependency| {
            dependency.kind.as_deref() == Some("dev") && dependency.name == STAND_IN
        };
        let used = package.dependencies.iter().filter(|dependency| !is_stand_in(dependency));
        for used in used.map(|dependency| dependency.name.as_str()) {
            let is_fine = !members.contains(used) || allowed.contains(&used);
            assert!(is_fine, "{name} must not depend on {used}");
        }
    }
    for (name, _) in ALLOWED {
        assert!(members.contains(name), "{name} is gone: take it out of the list");
    }
}

#[test]
fn the_pure_crates_link_neither_dpdk_nor_async_nor_randomness() {
    let packages = packages().unwrap();
    let linked = |name: &str| -> Vec<&str> {
        let package = packages.iter().find(|package| package.name == name).unwrap();
        package.linked().collect()
    };
    for name in ["spillway-packet", "spillway-lb", "spillway-cluster"] {
        let bad: Vec<&str> = linked(name).into_iter().filter(|n| NOT_PURE.contains(n)).collect();
        assert!(bad.is_empty(), "{name} must not link {bad:?}");
    }
    let links = linked("spillway-packet");
    assert!(links.is_empty(), "spillway-packet must link nothing at all, but links {links:?}");
}

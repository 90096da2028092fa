//! The direction of dependencies is the architecture; nobody turns it round by accident.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;
use spillway_tests::{process, programs};

/// Which crates of the workspace a crate may use. Development tools are not asked.
const ALLOWED: [(&str, &[&str]); 9] = [
    ("spillway-packet", &[]),
    ("spillway-lb", &["spillway-packet"]),
    ("spillway-control", &["spillway-packet", "spillway-lb"]),
    ("spillway-host", &["spillway-packet", "spillway-lb", "spillway-control"]),
    ("spillway-admin", &[]),
    ("spillway-cli", &["spillway-admin"]),
    ("dpdk-sys", &[]),
    ("capsule", &["dpdk-sys"]),
    (
        "spillway-appliance",
        &[
            "spillway-packet",
            "spillway-lb",
            "spillway-control",
            "spillway-host",
            "spillway-admin",
            "capsule",
        ],
    ),
];

/// May use anything, and may be used by nobody but each other.
const TOOLS: [&str; 2] = ["spillway-tests", "xtask"];

/// What the pure crates must never reach, whatever path it takes: async, clocks, DPDK.
const NOT_PURE: [&str; 5] = ["tokio", "smoltcp", "dpdk-sys", "capsule", "rand"];

struct Package {
    /// Workspace crates of all kinds of dependency, tests' too.
    uses: BTreeSet<String>,
    /// Everything that is linked in, except what only tests use.
    links: BTreeSet<String>,
}

fn packages() -> BTreeMap<String, Package> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(programs::root());
    cargo.args(["metadata", "--format-version", "1", "--no-deps", "--locked", "--offline"]);
    let answer = process::output(&mut cargo).expect("cargo metadata answers");
    let metadata: Value = serde_json::from_str(&answer).expect("cargo metadata is JSON");
    let packages = metadata["packages"].as_array().expect("packages are a list");
    let name = |value: &Value| value["name"].as_str().expect("a name is a string").to_owned();
    let members: BTreeSet<String> = packages.iter().map(name).collect();
    let package = |value: &Value| {
        let dependencies = value["dependencies"].as_array().expect("dependencies are a list");
        let is_ours = |dependency: &&Value| members.contains(&name(dependency));
        let is_linked = |dependency: &&Value| dependency["kind"].is_null();
        Package {
            uses: dependencies.iter().filter(is_ours).map(name).collect(),
            links: dependencies.iter().filter(is_linked).map(name).collect(),
        }
    };
    packages.iter().map(|value| (name(value), package(value))).collect()
}

#[test]
fn every_crate_uses_only_what_lies_below_it() {
    let packages = packages();
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
    for (name, package) in &packages {
        if TOOLS.contains(&name.as_str()) {
            continue;
        }
        let Some(allowed) = allowed.get(name.as_str()) else {
            panic!("{name} is new: say in tests/tests/dependencies.rs what it may use");
        };
        for used in &package.uses {
            assert!(allowed.contains(&used.as_str()), "{name} must not depend on {used}");
        }
    }
    for (name, _) in ALLOWED {
        assert!(packages.contains_key(name), "{name} is gone: take it out of the list");
    }
}

#[test]
fn the_pure_crates_link_neither_dpdk_nor_async_nor_randomness() {
    let packages = packages();
    for name in ["spillway-packet", "spillway-lb"] {
        for linked in &packages[name].links {
            assert!(!NOT_PURE.contains(&linked.as_str()), "{name} must not link {linked}");
        }
    }
    assert!(packages["spillway-packet"].links.is_empty(), "spillway-packet links nothing at all");
}

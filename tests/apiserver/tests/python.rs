//! Python's `kubernetes` package against this server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what helps a test fails as the test does"
)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::{Served, run, service, target};

const PACKAGE: &str = "kubernetes==32.0.1";

/// A Python with the package, in a virtual environment that is made once.
fn python() -> PathBuf {
    let folder = target().join("apiserver-python");
    let (program, done) = (folder.join("bin/python"), folder.join("done"));
    if !done.exists() {
        let mut make = Command::new("python3");
        make.args(["-m", "venv"]).arg(&folder);
        let (output, is_fine) = run(&mut make, Duration::from_mins(2));
        assert!(is_fine, "python3 -m venv failed; apt-get install python3-venv\n{output}");
        let mut install = Command::new(&program);
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE]);
        let (output, is_fine) = run(&mut install, Duration::from_mins(5));
        assert!(is_fine, "pip install {PACKAGE} failed; it needs a package index\n{output}");
        std::fs::write(&done, PACKAGE).unwrap();
    }
    program
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_lists_watches_patches_and_leases() {
    let served = Served::start("python").await;
    for n in 0..7 {
        served.server.load(&service(&format!("s{n}"))).unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/client.py");
    let mut command = Command::new(python());
    command.arg(script).env("KUBECONFIG", served.kubeconfig("admin"));
    let (output, is_fine) = run(&mut command, Duration::from_mins(1));
    assert!(is_fine && output.trim_end().ends_with("all well"), "{output}");
}

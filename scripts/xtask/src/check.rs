//! `xtask check`: the local check is the CI check.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use spillway_tests::programs;

/// Runs `scripts/test`.
pub(crate) fn run() -> Result<ExitCode> {
    let script = programs::root().join("scripts/test");
    let status = Command::new(&script).status().context("start scripts/test")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

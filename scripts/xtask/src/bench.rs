//! `xtask bench`: measures what was built for speed.

mod connect;
mod propagate;

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use spillway_tests::programs;

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// What a packet costs, beside dpdk-testpmd. Some two minutes; `--help` for options.
    #[command(disable_help_flag = true)]
    Packet {
        /// For the bench itself: --json FILE, --quick and more.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<OsString>,
    },
    /// How long a change in the API takes to the first packet on the new path. Some minutes.
    Propagate(propagate::Arguments),
    /// What the node companion costs a connect(), its maps the node, and nftables beside it. A minute or two.
    Connect(connect::Arguments),
    /// The process that `connect` measures.
    #[command(hide = true)]
    ConnectLoop(connect::Loop),
}

/// The data plane is measured by a program of the release build, whatever the build of this one: it takes this
/// one's place.
pub(crate) fn run(bench: Bench) -> Result<ExitCode> {
    match bench {
        Bench::Packet { options } => packet(&options),
        Bench::Propagate(arguments) => propagate::run(&arguments),
        Bench::Connect(arguments) => connect::run(&arguments),
        Bench::ConnectLoop(arguments) => connect::in_the_loop(&arguments),
    }
}

fn packet(options: &[OsString]) -> Result<ExitCode> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let program =
        target.unwrap_or_else(|| programs::root().join("target")).join("release/sw-bench");
    if !program.is_file() {
        bail!("{} is not built: use scripts/bench", program.display());
    }
    let error = Command::new(&program).args(options).exec();
    Err(error).with_context(|| format!("start {}", program.display()))
}

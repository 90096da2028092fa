//! `spillway`: the command line of the box. Asks the daemon over its Unix socket and prints.
//!
//! Invariants: nothing that the daemon says reaches the terminal before [`text::printable`] or a
//! JSON escape has made it harmless; memory does not grow with the length of a list; the exit
//! code is 0 for an answer, 1 for none, 2 for a command that was typed wrongly.
//!
//! It must never depend on DPDK, on an async runtime or on the data plane: it has to start at
//! once, on any machine, next to a daemon that is in trouble.

mod args;
mod failure;
mod run;
mod views;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = args::Args::parse();
    match run::run(&args, std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

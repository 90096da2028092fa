//! The logic behind `scripts/`: what would be too much for a shell script.
//!
//! Each subcommand is a module. The scripts install packages, reserve hugepages and build; from
//! there on everything happens here. What a subcommand does to the machine it does in a sandbox
//! (`spillway_tests::sandbox`), so nothing outlives it but what it was asked to keep.
//!
//! Nothing may depend on this crate.

mod bench;
mod check;
mod demo;
mod keep;
mod lab;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "xtask", about = "Development tasks of Spillway")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Shows the box at work: three servers, one of which dies.
    Demo {
        /// Leaves the lab up for playing.
        #[arg(long)]
        keep: bool,
    },
    /// Opens a shell in a lab with a running box.
    Lab(lab::Options),
    /// Measures.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Checks what neither the compiler nor clippy checks.
    Tidy,
    /// Formatting, clippy, tidy and tests: what CI runs.
    Check,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Demo { keep } => demo::run(keep),
        Task::Lab(options) => lab::run(&options),
        Task::Bench(bench) => bench::run(bench),
        Task::Tidy => tidy::run(),
        Task::Check => check::run(),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

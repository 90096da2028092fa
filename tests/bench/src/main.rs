//! The bench: what a packet costs, beside `dpdk-testpmd` over the same driver in the same minute.
//!
//! Runs the worker's own code ([`spillway_appliance::pipeline`]) over `net_null`, which makes frames
//! from nothing. A flow source turns each frame into a packet of a random established flow, and
//! every round measures, one after the other on one core: receive and transmit alone, the same with
//! the flow source, the same with the pipeline, and testpmd in two modes.
//!
//! Invariants: what is measured is checked in the same run (every frame transmitted, samples
//! compared byte by byte); rounds interleave, so that whatever disturbs the machine disturbs all;
//! time that other threads took is taken out by the scheduler's account and shown; testpmd ends
//! with this program, however that ends.
//!
//! Must never: judge. It prints numbers; gates belong elsewhere.

mod check;
mod flows;
mod machine;
mod measure;
mod report;
mod rounds;
mod source;
mod stage;
mod stats;
mod template;
mod testpmd;
mod world;

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;

use crate::flows::FLOWS_MAX;
use crate::rounds::Plan;

/// Measures cycles and nanoseconds per packet of the hit path.
#[derive(Debug, Parser)]
#[command(name = "sw-bench")]
struct Arguments {
    /// Writes everything that was measured to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// A smoke test in some seconds: few flows, two short rounds.
    #[arg(long)]
    quick: bool,
    /// Rounds; each measures everything once.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Length of one measurement in milliseconds.
    #[arg(long, default_value_t = 250)]
    milliseconds: u64,
    /// Numbers of flows, up to a million.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 1_000, 64_000, 1_000_000])]
    flows: Vec<u32>,
    /// Directory in which the flow tables' files are made, and removed at once.
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    tables: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let Arguments { json, quick, rounds, milliseconds, flows, tables } = Arguments::parse();
    let plan = if quick {
        Plan { rounds: 2, length: Duration::from_millis(40), flows: vec![1, 1_000], tables }
    } else {
        Plan { rounds, length: Duration::from_millis(milliseconds), flows, tables }
    };
    ensure!(plan.rounds > 0 && milliseconds > 0, "nothing to measure: rounds or length of 0");
    ensure!(
        plan.flows.iter().all(|flows| (1..=FLOWS_MAX).contains(flows)),
        "numbers of flows are 1 to {FLOWS_MAX}"
    );
    // Before the work, so that a wrong path does not cost the result.
    let file = json.map(|path| {
        File::create(&path).with_context(|| format!("cannot create {}", path.display()))
    });
    let file = file.transpose()?;
    let report = rounds::run(&plan)?;
    print!("{report}");
    if let Some(file) = file {
        serde_json::to_writer_pretty(BufWriter::new(file), &report)?;
    }
    Ok(())
}

//! The command line of `spillway-node`.
//!
//! `run` is the agent. The lists read the pinned maps themselves, so they work when the agent is dead.

mod ask;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use spillway_control::settings::node::{self, NodeSettings};
use spillway_control::settings::{Mistakes, Sources};
use spillway_node::{agent, pins, status, uninstall};

/// Exit code of a configuration that is refused.
const EXIT_MISTAKES: u8 = 2;

/// Services on a cluster node by eBPF, without kube-proxy.
#[derive(Debug, Parser)]
#[command(name = "spillway-node", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT; what is in the kernel then goes on serving.
    Run(Origin),
    /// Report every mistake of a configuration; exit 2 when there is one.
    Check(Origin),
    /// Take everything out of the kernel that an agent left there.
    Uninstall(Kernel),
    #[command(flatten)]
    Ask(ask::Question),
}

#[derive(Debug, clap::Args)]
struct Origin {
    /// Configuration file; conf.d/*.toml beside it and SPILLWAY__SECTION__KEY go on top.
    #[arg(long, value_name = "FILE", default_value = "/etc/spillway/node.toml")]
    config: PathBuf,
    /// Sets one key, on top of everything else: --set datapath.delivery=pass
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = assignment)]
    overrides: Vec<(String, String)>,
}

/// Where the agent's things are.
#[derive(Clone, Debug, clap::Args)]
struct Kernel {
    /// Folder of a bpffs that everything is pinned below: datapath.pins of the configuration.
    #[arg(long, value_name = "DIR", default_value = pins::ROOT, env = "SPILLWAY_NODE_PINS")]
    pins: PathBuf,
    /// Folder of the agent's state: state_dir of the configuration.
    #[arg(long, value_name = "DIR", default_value = status::DIR, env = "SPILLWAY_NODE_STATE")]
    state_dir: PathBuf,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Origin {
    fn load(self) -> Result<NodeSettings, Mistakes> {
        let sources = Sources {
            file: self.config,
            overrides: self.overrides,
            env: std::env::vars_os()
                .filter_map(|(key, value)| {
                    Some((key.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
            cpus_online: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        };
        let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        node::load(&sources, hostname.trim())
    }
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Check(origin) => match origin.load() {
            Ok(settings) => {
                settings.notes.iter().for_each(|note| eprintln!("note: {note}"));
                println!("{}: no mistakes", settings.policy.node);
                Ok(())
            }
            Err(mistakes) => return refuse(&mistakes),
        },
        Command::Run(origin) => match origin.load() {
            Ok(settings) => run(settings),
            Err(mistakes) => return refuse(&mistakes),
        },
        Command::Uninstall(kernel) => uninstall::run(&kernel.pins, &kernel.state_dir),
        Command::Ask(question) => question.answer(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("spillway-node: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn refuse(mistakes: &Mistakes) -> ExitCode {
    eprintln!("{mistakes}");
    ExitCode::from(EXIT_MISTAKES)
}

fn run(settings: NodeSettings) -> anyhow::Result<()> {
    let level = settings.log_level.to_string();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(level))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    settings.notes.iter().for_each(|note| tracing::warn!("{note}"));
    agent::run(settings)
}

//! spillwayd: `run` the box, or `check` its configuration.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use spillway_control::settings::{self, Settings, Sources};

/// Exit code of a configuration that is refused.
const EXIT_MISTAKES: u8 = 2;

/// A bare-metal load balancer for Kubernetes, on DPDK.
#[derive(Debug, Parser)]
#[command(name = "spillwayd", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Forward until SIGTERM or SIGINT.
    Run(Origin),
    /// Report every mistake of a configuration; exit 2 when there is one.
    Check(Origin),
}

#[derive(Debug, clap::Args)]
struct Origin {
    /// Configuration file; conf.d/*.toml beside it and SPILLWAY__SECTION__KEY go on top.
    #[arg(long, value_name = "FILE", default_value = "/etc/spillway/spillway.toml")]
    config: PathBuf,
    /// Sets one key, on top of everything else: --set dataplane.poll=busy
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = assignment)]
    overrides: Vec<(String, String)>,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Origin {
    fn load(self) -> Result<Settings, settings::Mistakes> {
        settings::load(&Sources {
            file: self.config,
            overrides: self.overrides,
            env: std::env::vars_os()
                .filter_map(|(key, value)| {
                    Some((key.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
            cpus_online: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        })
    }
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Check(origin) => match origin.load() {
            Ok(settings) => {
                for note in &settings.notes {
                    eprintln!("note: {note}");
                }
                println!("{}: no mistakes", settings.name);
                ExitCode::SUCCESS
            }
            Err(mistakes) => refuse(&mistakes),
        },
        Command::Run(origin) => match origin.load() {
            Ok(settings) => run(settings),
            Err(mistakes) => refuse(&mistakes),
        },
    }
}

fn refuse(mistakes: &settings::Mistakes) -> ExitCode {
    eprintln!("{mistakes}");
    ExitCode::from(EXIT_MISTAKES)
}

fn run(settings: Settings) -> ExitCode {
    let level = settings.log_level.to_string();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(level))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    for note in &settings.notes {
        tracing::warn!("{note}");
    }
    match spillway_appliance::run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

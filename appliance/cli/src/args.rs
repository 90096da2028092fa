//! What can be typed.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use spillway_admin::{
    AddressMatch, ConntrackFilter, FlowState, Protocol, SOCKET_DEFAULT, SOCKET_ENV,
};

/// Heading of the options that every command takes.
const COMMON: &str = "Common options";

/// Shows what a Spillway load balancer does.
#[derive(Debug, Parser)]
#[command(name = "spillway", version, arg_required_else_help = true)]
pub(crate) struct Args {
    /// Socket of the daemon.
    #[arg(
        long,
        global = true,
        env = SOCKET_ENV,
        value_name = "PATH",
        default_value = SOCKET_DEFAULT,
        help_heading = COMMON
    )]
    pub(crate) socket: PathBuf,

    /// How to print.
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value = "table",
        help_heading = COMMON
    )]
    pub(crate) output: Format,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// The columns that matter most, large numbers rounded.
    Table,
    /// Every column, exact numbers.
    Wide,
    /// One object; its schema is part of the documentation.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The box at a glance.
    Status,
    /// Frontends and their backends.
    #[command(subcommand)]
    Service(List),
    /// Backends and whether they serve.
    #[command(subcommand)]
    Backend(List),
    /// Live flows.
    #[command(subcommand)]
    Conntrack(ConntrackList),
    /// SNAT ports in use.
    #[command(subcommand)]
    Snat(List),
    /// Next hops and their MAC addresses.
    #[command(subcommand)]
    Neighbor(List),
    /// Health checks and what they met.
    #[command(subcommand)]
    Health(List),
    /// Ports of the box.
    #[command(subcommand)]
    Port(List),
    /// Dropped packets by reason, and the balance of all packets.
    Drops {
        /// Show the reasons that never happened too; JSON always has them all.
        #[arg(long)]
        all: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum List {
    /// List all.
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConntrackList {
    /// List flows, all or those that satisfy every condition.
    List(Conditions),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Conditions {
    /// Only flows of this client.
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    client: Option<AddressMatch>,
    /// Only flows to this frontend.
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    frontend: Option<AddressMatch>,
    /// Only flows to this backend.
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    backend: Option<AddressMatch>,
    /// Only flows from this SNAT address.
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    snat: Option<AddressMatch>,
    /// Only flows of this protocol.
    #[arg(long, ignore_case = true, value_parser = protocol_parser())]
    protocol: Option<Protocol>,
    /// Only flows in this state.
    #[arg(long, ignore_case = true, value_parser = state_parser())]
    state: Option<FlowState>,
    /// Show at most this many.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

fn protocol_parser() -> impl TypedValueParser<Value = Protocol> {
    PossibleValuesParser::new(Protocol::WORDS).try_map(|word| word.to_ascii_lowercase().parse())
}

fn state_parser() -> impl TypedValueParser<Value = FlowState> {
    PossibleValuesParser::new(FlowState::WORDS).try_map(|word| word.to_ascii_lowercase().parse())
}

impl Conditions {
    pub(crate) const fn filter(&self) -> ConntrackFilter {
        ConntrackFilter {
            client: self.client,
            frontend: self.frontend,
            backend: self.backend,
            snat: self.snat,
            protocol: self.protocol,
            state: self.state,
            limit: self.limit,
        }
    }
}

//! What can be typed.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use spillway_admin::{
    AddressMatch, ConntrackFilter, FlowState, ObjectKind, Protocol, SOCKET_DEFAULT, SOCKET_ENV,
    ServiceFilter,
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
    /// Frontends and their backends; what is not served, and why.
    #[command(subcommand)]
    Service(ServiceList),
    /// Backends and whether they serve.
    #[command(subcommand)]
    Backend(List),
    /// Nodes of the cluster and whether they may take traffic.
    #[command(subcommand)]
    Node(List),
    /// Pools of addresses and how much of them is used.
    #[command(subcommand)]
    Pool(List),
    /// What the box makes of its cluster.
    #[command(subcommand)]
    Kubernetes(Kubernetes),
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
pub(crate) enum ServiceList {
    /// List frontends, all or those that satisfy every condition.
    List {
        /// List what is not served, and why.
        #[arg(long)]
        refused: bool,
        #[command(flatten)]
        conditions: ServiceConditions,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ServiceConditions {
    /// Only Services of this namespace.
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Only Services with this in their name.
    #[arg(long, value_name = "PART")]
    name: Option<String>,
}

impl ServiceConditions {
    pub(crate) fn filter(&self) -> ServiceFilter {
        ServiceFilter { namespace: self.namespace.clone(), name: self.name.clone() }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Kubernetes {
    /// Believe a list that shrank by more than half and is held back for that reason.
    AcceptShrink {
        /// Only the list of this kind of object.
        #[arg(ignore_case = true, value_parser = kind_parser())]
        kind: Option<ObjectKind>,
    },
}

fn kind_parser() -> impl TypedValueParser<Value = ObjectKind> {
    // What was typed may differ from the word in its letters' case only.
    PossibleValuesParser::new(ObjectKind::WORDS).try_map(|typed| {
        let word = ObjectKind::WORDS.iter().find(|word| word.eq_ignore_ascii_case(&typed));
        word.map_or(typed.as_str(), |word| word).parse()
    })
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

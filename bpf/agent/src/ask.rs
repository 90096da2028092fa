//! Questions of the command line. The answers are in the maps, whether an agent lives or not.

use std::io::{self, BufWriter, Write};

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use spillway_admin::{AddressMatch, Protocol, ServiceFilter};
use spillway_node::gc::Flows;
use spillway_node::layout::Tuple;
use spillway_node::maps::{self, Maps};
use spillway_node::names::Names;
use spillway_node::pins::Pins;
use spillway_node::status::{StateDir, unix_seconds};
use spillway_node::sync::Store;
use spillway_node::views::flows::{self, FlowFilter, STATES};
use spillway_node::views::{self, Format, drops, services};
use spillway_node::{clock, monitor};

use crate::Kernel;

/// What can be asked.
#[derive(Debug, Subcommand)]
pub(crate) enum Question {
    /// The agent at a glance.
    Status(Common),
    /// Frontends and their backends.
    #[command(subcommand)]
    Service(ServiceList),
    /// Flows of packets; those of sockets need no rows.
    #[command(subcommand)]
    Conntrack(ConntrackList),
    /// Source ports towards backends on other nodes.
    #[command(subcommand)]
    Nat(NatList),
    /// Dropped packets and refused calls, by reason.
    Drops {
        /// Show the reasons that never happened too.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Print every drop from now on, one line each.
    Monitor(Common),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServiceList {
    /// List frontends, all or those of some Services.
    List {
        /// Only Services of this namespace.
        #[arg(short, long, value_name = "NAMESPACE")]
        namespace: Option<String>,
        /// Only Services with this in their name.
        #[arg(long, value_name = "PART")]
        name: Option<String>,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConntrackList {
    /// List flows, all or those that satisfy every condition.
    List(Conditions),
}

#[derive(Debug, Subcommand)]
pub(crate) enum NatList {
    /// List source ports, all or those that satisfy every condition.
    List(Conditions),
}

#[derive(Debug, Args)]
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
    /// Only flows of this protocol: tcp or udp.
    #[arg(long)]
    protocol: Option<Protocol>,
    /// Only flows in this state.
    #[arg(long, value_parser = STATES)]
    state: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Common {
    #[command(flatten)]
    kernel: Kernel,
    /// How to print.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "table")]
    output: Output,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// The columns that matter most.
    Table,
    /// Every column.
    Wide,
    /// One object.
    Json,
}

impl Common {
    fn maps(&self) -> anyhow::Result<Maps> {
        Ok(Maps::open(&Pins::new(&self.kernel.pins))?)
    }

    fn names(&self) -> Names {
        Names::read(&StateDir::new(&self.kernel.state_dir).names())
    }

    fn print<R: views::View>(&self, rows: impl IntoIterator<Item = R>) -> anyhow::Result<()> {
        let format = match self.output {
            Output::Table => Format::Table,
            Output::Wide => Format::Wide,
            Output::Json => Format::Json,
        };
        let mut out = BufWriter::new(io::stdout().lock());
        let printed = views::print(rows, format, &mut out).and_then(|()| out.flush());
        reader_may_leave(printed)
    }
}

/// `| head` is no error.
fn reader_may_leave(printed: io::Result<()>) -> anyhow::Result<()> {
    match printed {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed.context("standard output"),
    }
}

impl Question {
    pub(crate) fn answer(self) -> anyhow::Result<()> {
        match self {
            Self::Status(common) => status(&common),
            Self::Service(ServiceList::List { namespace, name, common }) => {
                list_services(&common, &ServiceFilter { namespace, name })
            }
            Self::Conntrack(ConntrackList::List(conditions)) => list_flows(&conditions),
            Self::Nat(NatList::List(conditions)) => list_nat(&conditions),
            Self::Drops { all, common } => {
                let maps = common.maps()?;
                let count = |number| maps::sum(&maps.drops, number).unwrap_or(0);
                common.print(drops::rows(maps.drops.len(), all, count))
            }
            Self::Monitor(common) => follow(&common),
        }
    }
}

fn status(common: &Common) -> anyhow::Result<()> {
    let state = StateDir::new(&common.kernel.state_dir);
    let path = state.path().display();
    let status = state.read().with_context(|| format!("the status in {path}"))?;
    let status = status.with_context(|| {
        format!("no agent has ever run with state_dir {path}; --state-dir names another")
    })?;
    let text = match common.output {
        Output::Table | Output::Wide => status.text(state.is_running(), unix_seconds()),
        Output::Json => serde_json::to_string_pretty(&status)? + "\n",
    };
    reader_may_leave(io::stdout().lock().write_all(text.as_bytes()))
}

fn list_services(common: &Common, filter: &ServiceFilter) -> anyhow::Result<()> {
    let maps = common.maps()?;
    let frontends = maps::rows(&maps.frontends, maps.sizes().frontends);
    let frontends = frontends.collect::<Result<Vec<_>, _>>().context("map frontends")?;
    let choices = |range| maps.choices(range);
    let backend = |index| maps.backends.get(&index, 0).ok();
    common.print(services::rows(frontends, choices, backend, &common.names(), filter))
}

fn list_flows(conditions: &Conditions) -> anyhow::Result<()> {
    let common = &conditions.common;
    let (maps, names, filter) = (common.maps()?, common.names(), conditions.filter());
    let now = clock::monotonic_ns();
    let rows = maps::rows(&maps.conntrack, maps.sizes().conntrack).flatten();
    let rows = rows.filter_map(|(key, row)| flows::flow(&maps, &key, &row, &names, now));
    common.print(rows.filter(|row| filter.matches(row)))
}

fn list_nat(conditions: &Conditions) -> anyhow::Result<()> {
    let common = &conditions.common;
    let (maps, filter) = (common.maps()?, conditions.filter());
    let now = clock::monotonic_ns();
    let keys = maps.nat.keys().take(maps.sizes().nat as usize).flatten();
    let rows =
        keys.filter_map(|key: Tuple| flows::nat(&maps, &key, &Flows::nat(&maps, &key)?, now));
    common.print(rows.filter(|row| filter.matches_nat(row)))
}

fn follow(common: &Common) -> anyhow::Result<()> {
    let ring = maps::events(&Pins::new(&common.kernel.pins))?;
    reader_may_leave(monitor::follow(ring, &mut io::stdout().lock()))
}

impl Conditions {
    fn filter(&self) -> FlowFilter {
        FlowFilter {
            client: self.client,
            frontend: self.frontend,
            backend: self.backend,
            snat: self.snat,
            protocol: self.protocol,
            state: self.state.clone(),
        }
    }
}

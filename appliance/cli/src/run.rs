//! From a command to its output.

use std::io::{self, BufWriter, Write};

use spillway_admin::client::{ClientError, ask};
use spillway_admin::{
    AcceptedRow, BackendRow, ConntrackRow, DropReport, HealthRow, Kind, NeighborRow, NodeRow,
    PoolRow, PortRow, RefusedRow, Request, Row, ServiceRow, SnatRow, Status, VERSION,
};

use crate::args::{Args, Command, ConntrackList, Format, Kubernetes, List, ServiceList};
use crate::failure::Failure;
use crate::views::{View, drops, status};
use spillway_text::document::Document;
use spillway_text::table::Table;
use spillway_text::text::Layout;

/// Asks and prints.
///
/// # Errors
/// The daemon gives no whole answer, or it cannot be printed.
pub(crate) fn run(args: &Args, out: impl Write) -> Result<(), Failure> {
    let mut out = BufWriter::with_capacity(64 << 10, out);
    match &args.command {
        Command::Status => show_status(args, &mut out),
        Command::Service(ServiceList::List { refused: false, conditions }) => {
            list::<ServiceRow>(args, &Request::ServiceList(conditions.filter()), &mut out)
        }
        Command::Service(ServiceList::List { refused: true, conditions }) => {
            list::<RefusedRow>(args, &Request::RefusedList(conditions.filter()), &mut out)
        }
        Command::Node(List::List) => list::<NodeRow>(args, &Request::NodeList, &mut out),
        Command::Pool(List::List) => list::<PoolRow>(args, &Request::PoolList, &mut out),
        Command::Kubernetes(Kubernetes::AcceptShrink { kind }) => {
            list::<AcceptedRow>(args, &Request::AcceptShrink(*kind), &mut out)
        }
        Command::Backend(List::List) => list::<BackendRow>(args, &Request::BackendList, &mut out),
        Command::Conntrack(ConntrackList::List(conditions)) => {
            let request = Request::ConntrackList(conditions.filter());
            list::<ConntrackRow>(args, &request, &mut out)
        }
        Command::Snat(List::List) => list::<SnatRow>(args, &Request::SnatList, &mut out),
        Command::Neighbor(List::List) => {
            list::<NeighborRow>(args, &Request::NeighborList, &mut out)
        }
        Command::Health(List::List) => list::<HealthRow>(args, &Request::HealthList, &mut out),
        Command::Port(List::List) => list::<PortRow>(args, &Request::PortList, &mut out),
        Command::Drops { all } => show_drops(args, *all, &mut out),
    }?;
    out.flush()?;
    Ok(())
}

fn list<R: View>(args: &Args, request: &Request, out: &mut impl Write) -> Result<(), Failure> {
    match layout(args.output) {
        Some(layout) => list_table::<R>(args, request, layout, out),
        None => list_json::<R>(args, request, out),
    }
}

fn list_table<R: View>(
    args: &Args,
    request: &Request,
    layout: Layout,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let mut rows = ask::<R>(&args.socket, request).map_err(|error| daemon(args, error))?;
    let columns = R::columns(layout).iter().map(|&column| column.to_owned()).collect();
    let mut table = Table::new(&mut *out, columns);
    let whole: Result<(), Failure> = rows.try_for_each(|row| {
        let row = row.map_err(|error| daemon(args, error))?;
        row.lines(layout).into_iter().try_for_each(|line| table.line(line))?;
        Ok(())
    });
    // What arrived before a failure is shown: it may be all that there will ever be.
    table.finish()?;
    out.flush()?;
    whole?;
    if let Some(trailer) = rows.trailer().filter(|trailer| trailer.truncated) {
        // The list itself is out; nothing is lost when stderr is closed.
        let _ = writeln!(io::stderr(), "spillway: there are more than these {}", trailer.count);
    }
    Ok(())
}

fn list_json<R: View>(args: &Args, request: &Request, out: &mut impl Write) -> Result<(), Failure> {
    let mut rows = ask::<R>(&args.socket, request).map_err(|error| daemon(args, error))?;
    let mut list = Document::open(out, VERSION)?.list(key(R::KIND))?;
    for row in &mut rows {
        list.row(&row.map_err(|error| daemon(args, error))?)?;
    }
    let mut document = list.end()?;
    if let Some(trailer) = rows.trailer().filter(|_| R::KIND == Kind::Conntrack) {
        document.field("count", &trailer.count)?;
        document.field("truncated", &trailer.truncated)?;
    }
    document.close()?;
    Ok(())
}

fn show_status(args: &Args, out: &mut impl Write) -> Result<(), Failure> {
    let row: Status = one(args, &Request::Status)?;
    if let Some(layout) = layout(args.output) {
        status::write(&row, layout, out)?;
    } else {
        let mut document = Document::open(out, VERSION)?;
        document.field(key(Kind::Status), &row)?;
        document.close()?;
    }
    Ok(())
}

fn show_drops(args: &Args, all: bool, out: &mut impl Write) -> Result<(), Failure> {
    let report: DropReport = one(args, &Request::Drops)?;
    if let Some(layout) = layout(args.output) {
        drops::write(&report, all, layout, out)?;
    } else {
        let mut document = Document::open(out, VERSION)?;
        document.field("balance", &report.balance)?;
        let mut list = document.list(key(Kind::Drops))?;
        for row in &report.drops {
            list.row(row)?;
        }
        list.end()?.close()?;
    }
    Ok(())
}

/// The only row of an answer.
fn one<R: Row>(args: &Args, request: &Request) -> Result<R, Failure> {
    let missing = || ClientError::Nonsense("it is not exactly one row".to_owned());
    let read = || {
        let mut rows = ask::<R>(&args.socket, request)?;
        let row = rows.next().transpose()?.ok_or_else(missing)?;
        match rows.next().transpose()? {
            None => Ok(row),
            Some(_) => Err(missing()),
        }
    };
    read().map_err(|error| daemon(args, error))
}

fn daemon(args: &Args, error: ClientError) -> Failure {
    Failure::Daemon { socket: args.socket.clone(), error }
}

const fn layout(format: Format) -> Option<Layout> {
    match format {
        Format::Table => Some(Layout::Table),
        Format::Wide => Some(Layout::Wide),
        Format::Json => None,
    }
}

/// Name of the rows in the JSON object.
const fn key(kind: Kind) -> &'static str {
    match kind {
        Kind::Status => "status",
        Kind::Services => "services",
        Kind::Backends => "backends",
        Kind::Conntrack => "conntrack",
        Kind::Snat => "snat",
        Kind::Neighbors => "neighbors",
        Kind::Health => "health",
        Kind::Ports => "ports",
        Kind::Drops => "drops",
        Kind::Refused => "refused",
        Kind::Nodes => "nodes",
        Kind::Pools => "pools",
        Kind::Accepted => "accepted",
    }
}

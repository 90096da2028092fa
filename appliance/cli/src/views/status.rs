//! The box at a glance.

use std::io::{self, Write};

use spillway_admin::{Source, Status, WorkerRow};

use crate::table::Table;
use crate::text::{Layout, or_dash, percent, printable};

/// Writes the box, then a table of its workers.
///
/// # Errors
/// The output cannot be written.
pub(crate) fn write(status: &Status, layout: Layout, out: &mut impl Write) -> io::Result<()> {
    let kubernetes = match status.source {
        Source::Static => "none (static)",
        Source::Kubernetes => "source of the Services",
    };
    let packets = &status.packets;
    let facts = [
        ("Name", printable(&status.name).into_owned()),
        ("Version", printable(&status.version).into_owned()),
        ("PID", status.pid.to_string()),
        ("Uptime", layout.seconds(status.uptime_seconds)),
        ("Kubernetes", kubernetes.to_owned()),
        ("Generation", status.generation.to_string()),
        ("Poll", status.poll.to_string()),
        ("Services", format!("{} with {} frontends", status.services, status.frontends)),
        ("Backends", format!("{} of {} serving", status.backends_serving, status.backends)),
        ("Flows", flows(status.flows, status.flows_max, layout)),
        (
            "Packets",
            format!(
                "{} received, {} sent, {} local, {} dropped, {} lost",
                layout.count(packets.rx),
                layout.count(packets.tx),
                layout.count(packets.local),
                layout.count(packets.dropped),
                layout.count(packets.lost_on_tx),
            ),
        ),
    ];
    for (name, value) in facts {
        writeln!(out, "{:<13}{value}", format!("{name}:"))?;
    }
    writeln!(out)?;
    write_workers(&status.workers, layout, out)
}

fn flows(flows: u64, max: u64, layout: Layout) -> String {
    format!("{} of {} ({})", layout.count(flows), layout.count(max), percent(flows, max))
}

fn write_workers(workers: &[WorkerRow], layout: Layout, out: &mut impl Write) -> io::Result<()> {
    let columns: &[&str] = match layout {
        Layout::Table => {
            &["Worker", "Core", "Busy", "Flows", "RX", "TX", "Local", "Dropped", "Lost"]
        }
        Layout::Wide => &[
            "Worker",
            "Core",
            "Busy",
            "Flows",
            "Flows Max",
            "Generation",
            "RX",
            "TX",
            "Local",
            "Originated",
            "Handed Over",
            "Dropped",
            "Lost",
        ],
    };
    let mut table = Table::new(out, columns.iter().map(|&column| column.to_owned()).collect());
    for worker in workers {
        let busy = or_dash(worker.busy_percent.map(|busy| format!("{busy:.1}%")));
        let mut cells = vec![worker.id.to_string(), worker.core.to_string(), busy];
        let counts = match layout {
            Layout::Table => vec![
                worker.flows,
                worker.rx_packets,
                worker.tx_packets,
                worker.local_packets,
                worker.dropped,
                worker.lost_on_tx,
            ],
            Layout::Wide => vec![
                worker.flows,
                worker.flows_max,
                worker.generation,
                worker.rx_packets,
                worker.tx_packets,
                worker.local_packets,
                worker.originated,
                worker.handed_over,
                worker.dropped,
                worker.lost_on_tx,
            ],
        };
        cells.extend(counts.into_iter().map(|count| layout.count(count)));
        table.line(cells)?;
    }
    table.finish()
}

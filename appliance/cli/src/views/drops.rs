//! Dropped packets by reason, and the balance of all packets.

use std::io::{self, Write};

use spillway_admin::{DropReport, PacketTotals};

use spillway_text::table::Table;
use spillway_text::text::{Layout, printable};

/// Writes the reasons that happened, or `all`, and the balance.
///
/// # Errors
/// The output cannot be written.
pub(crate) fn write(
    report: &DropReport,
    all: bool,
    layout: Layout,
    out: &mut impl Write,
) -> io::Result<()> {
    // Per-worker columns must be as many on every line, whatever the daemon says.
    let workers = report.drops.iter().map(|row| row.workers.len()).max().unwrap_or(0);
    let mut columns = vec!["No.".to_owned(), "Reason".to_owned(), "Count".to_owned()];
    match layout {
        Layout::Table => {}
        Layout::Wide => columns.extend((0..workers).map(|worker| format!("Worker {worker}"))),
    }
    columns.push("Description".to_owned());
    let mut table = Table::new(&mut *out, columns);
    for row in report.drops.iter().filter(|row| all || row.count > 0) {
        let mut cells = vec![
            row.number.to_string(),
            printable(&row.reason).into_owned(),
            layout.count(row.count),
        ];
        match layout {
            Layout::Table => {}
            Layout::Wide => {
                let counts = row.workers.iter().map(|count| layout.count(*count));
                cells.extend(counts.chain(std::iter::repeat("-".to_owned())).take(workers));
            }
        }
        cells.push(printable(&row.description).into_owned());
        table.line(cells)?;
    }
    table.finish()?;
    writeln!(out, "\n{}", balance(&report.balance))
}

/// Exact in every layout: nobody can check a sum of rounded numbers.
fn balance(totals: &PacketTotals) -> String {
    let PacketTotals { rx, tx, local, originated, handed_over: _, dropped, lost_on_tx } = *totals;
    let under_way = totals.under_way();
    let verdict = match under_way {
        0 => "balanced".to_owned(),
        1.. => format!("{under_way} under way"),
        ..0 => format!("{} counted too often", under_way.unsigned_abs()),
    };
    format!(
        "Balance: rx {rx} + originated {originated} = \
         tx {tx} + local {local} + dropped {dropped} + lost {lost_on_tx} ({verdict})"
    )
}

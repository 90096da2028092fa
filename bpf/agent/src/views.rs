//! What the lists show, read from the maps alone: they work when the agent is dead.
//!
//! | room | noun |
//! |---|---|
//! | [`services`] | frontends and their backends |
//! | [`flows`] | flows of packets, and their source ports |
//! | [`drops`] | dropped packets, by reason |

pub mod drops;
pub mod flows;
pub mod services;

use std::io::{self, Write};

use serde::Serialize;
use spillway_text::document::Document;
use spillway_text::table::Table;
use spillway_text::text::Layout;

/// Of the JSON rows.
pub const VERSION: u32 = 1;

/// How a list is printed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// The columns that matter most, large numbers rounded.
    Table,
    /// Every column, exact numbers.
    Wide,
    /// One object.
    Json,
}

/// A row of a list.
pub trait View: Serialize {
    /// Key of the list in JSON.
    const KEY: &'static str;

    fn columns(layout: Layout) -> &'static [&'static str];

    /// The lines of this row, each with a cell per column.
    fn lines(&self, layout: Layout) -> Vec<Vec<String>>;
}

/// Prints rows as they come.
///
/// # Errors
/// The output cannot be written.
pub fn print<R: View>(
    rows: impl IntoIterator<Item = R>,
    format: Format,
    out: &mut impl Write,
) -> io::Result<()> {
    match format {
        Format::Table => table(rows, Layout::Table, out),
        Format::Wide => table(rows, Layout::Wide, out),
        Format::Json => {
            let mut list = Document::open(out, VERSION)?.list(R::KEY)?;
            for row in rows {
                list.row(&row)?;
            }
            list.end()?.close()
        }
    }
}

fn table<R: View>(
    rows: impl IntoIterator<Item = R>,
    layout: Layout,
    out: &mut impl Write,
) -> io::Result<()> {
    let columns = R::columns(layout).iter().map(|column| (*column).to_owned());
    let mut table = Table::new(out, columns.collect());
    for row in rows {
        for line in row.lines(layout) {
            table.line(line)?;
        }
    }
    table.finish()
}

/// The name of an IP protocol; its number, where it has none here.
pub(crate) fn protocol_name(number: u8) -> String {
    match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmpv6".to_owned(),
        other => other.to_string(),
    }
}

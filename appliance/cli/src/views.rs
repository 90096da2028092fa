//! What a table shows of each kind of row.

mod cluster;
mod flows;
mod network;
mod services;

pub(crate) mod drops;
pub(crate) mod status;

use spillway_admin::Row;

use spillway_text::text::Layout;

/// A row that tables can show.
pub(crate) trait View: Row {
    /// Headings, from left to right.
    fn columns(layout: Layout) -> &'static [&'static str];

    /// The lines of this row, each with a cell per column.
    fn lines(&self, layout: Layout) -> Vec<Vec<String>>;
}

//! Aligned columns, three spaces apart, without trailing spaces.

use std::io::{self, Write};

/// Lines that are kept to find the widths. Later lines use these widths, and a wider cell pushes
/// its line to the right, so that a table of a million lines starts at once and stays small.
const LINES_MEASURED: usize = 1000;

const GAP: usize = 3;

/// A table being written. Cells must be [`crate::text::printable`].
#[derive(Debug)]
pub struct Table<W> {
    out: W,
    widths: Vec<usize>,
    /// Lines not yet written; `None` once the widths are settled.
    measured: Option<Vec<Vec<String>>>,
}

impl<W: Write> Table<W> {
    pub fn new(out: W, columns: Vec<String>) -> Self {
        let mut table = Self { out, widths: vec![0; columns.len()], measured: Some(Vec::new()) };
        table.measure(&columns);
        table.measured = Some(vec![columns]);
        table
    }

    /// Adds a line.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn line(&mut self, cells: Vec<String>) -> io::Result<()> {
        self.measure_if_open(&cells);
        match &mut self.measured {
            Some(lines) => {
                lines.push(cells);
                if lines.len() > LINES_MEASURED { self.settle() } else { Ok(()) }
            }
            None => write_line(&mut self.out, &self.widths, &cells),
        }
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn finish(mut self) -> io::Result<()> {
        self.settle()
    }

    fn settle(&mut self) -> io::Result<()> {
        for cells in self.measured.take().into_iter().flatten() {
            write_line(&mut self.out, &self.widths, &cells)?;
        }
        Ok(())
    }

    fn measure_if_open(&mut self, cells: &[String]) {
        if self.measured.is_some() {
            self.measure(cells);
        }
    }

    fn measure(&mut self, cells: &[String]) {
        debug_assert_eq!(cells.len(), self.widths.len(), "every line has every column");
        for (width, cell) in self.widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
}

fn write_line(out: &mut impl Write, widths: &[usize], cells: &[String]) -> io::Result<()> {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        line.push_str(cell);
        let padding = width.saturating_sub(cell.chars().count()) + GAP;
        line.extend(std::iter::repeat_n(' ', padding));
    }
    line.truncate(line.trim_end_matches(' ').len());
    line.push('\n');
    out.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(cells: [&str; 2]) -> Vec<String> {
        cells.map(str::to_owned).to_vec()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_without_spaces() {
        let mut out = Vec::new();
        let mut table = Table::new(&mut out, cells(["A", "Long heading"]));
        table.line(cells(["größe", "x"])).unwrap();
        table.line(cells(["1", ""])).unwrap();
        table.line(cells(["", "2"])).unwrap();
        table.finish().unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "A       Long heading\ngröße   x\n1\n        2\n");
    }

    #[test]
    fn a_long_table_is_written_while_it_grows() {
        let mut out = Vec::new();
        let mut table = Table::new(&mut out, cells(["A", "B"]));
        for _ in 0..LINES_MEASURED {
            table.line(cells(["aa", "b"])).unwrap();
        }
        assert!(!table.out.is_empty(), "the measured lines must be out");
        table.line(cells(["too wide", "b"])).unwrap();
        table.finish().unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), LINES_MEASURED + 2);
        assert!(text.starts_with("A    B\naa   b\n"));
        assert!(text.ends_with("\ntoo wide   b\n"));
    }
}

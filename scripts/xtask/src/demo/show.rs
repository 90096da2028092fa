//! How the demo speaks: short headings, commands as one would type them, small tables.

use std::collections::BTreeMap;
use std::io::{self, Write};

use spillway_tests::lab::topology::{BACK, CLIENT, FRONT, NodeId};

/// Longest bar of a distribution, in characters.
const BAR_MAX: u64 = 30;

/// Numbers the headings.
#[derive(Debug, Default)]
pub(super) struct Headings(u32);

impl Headings {
    pub(super) fn next(&mut self, text: &str) -> io::Result<()> {
        self.0 = self.0.saturating_add(1);
        write(&format!("\n{}. {text}\n", self.0))
    }
}

pub(super) fn title(text: &str) -> io::Result<()> {
    write(&format!("\n{text}\n{}\n", "=".repeat(text.chars().count())))
}

/// What a reader should know.
pub(super) fn say(text: &str) -> io::Result<()> {
    indented(text.lines())
}

/// A command as one would type it, and what it printed.
pub(super) fn command(words: &str, output: &str) -> io::Result<()> {
    write(&format!("   $ {words}\n"))?;
    indented(output.lines())
}

/// Who stands where.
pub(super) fn picture(nodes: &[NodeId]) -> io::Result<()> {
    let left = format!("client {CLIENT} ──── {FRONT} [ spillwayd ] {BACK} ──");
    let blank = " ".repeat(left.chars().count());
    let last = nodes.len().saturating_sub(1);
    let line = |(row, node): (usize, &NodeId)| {
        let stem = if row == 0 { &left } else { &blank };
        let knot = match row {
            0 => '┬',
            row if row == last => '└',
            _ => '├',
        };
        format!("{stem}{knot}── {} {}:80", node.name(), node.address())
    };
    indented(nodes.iter().enumerate().map(line))
}

/// How many answers each node gave.
pub(super) fn distribution(counts: &BTreeMap<String, u64>) -> io::Result<()> {
    let total: u64 = counts.values().sum();
    indented(["node   answers"])?;
    indented(counts.iter().map(|(node, count)| {
        let length = count.saturating_mul(BAR_MAX).checked_div(total).unwrap_or(0);
        let bar = "█".repeat(usize::try_from(length).unwrap_or(0));
        format!("{node:<6} {count:>7}  {bar}")
    }))
}

fn indented(lines: impl IntoIterator<Item = impl AsRef<str>>) -> io::Result<()> {
    lines.into_iter().try_for_each(|line| write(&format!("   {}\n", line.as_ref())))
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

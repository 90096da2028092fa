//! Collects mistakes while the configuration is read, and turns byte ranges into lines and columns
//! at the end.

use std::cell::RefCell;

use super::layer::Layer;
use super::mistake::{Mistake, Mistakes, Place};

/// A stretch of one layer's text, in bytes.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    /// Index in the list of layers.
    pub(super) layer: usize,
    /// `None`: the layer as a whole.
    pub(super) range: Option<(usize, usize)>,
}

impl Span {
    pub(super) const fn new(layer: usize, start: usize, end: usize) -> Self {
        Self { layer, range: Some((start, end)) }
    }

    pub(super) const fn whole(layer: usize) -> Self {
        Self { layer, range: None }
    }
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Spanned<T> {
    pub(super) value: T,
    pub(super) at: Span,
}

impl<T> Spanned<T> {
    pub(super) const fn new(value: T, at: Span) -> Self {
        Self { value, at }
    }
}

#[derive(Debug)]
struct Found {
    at: Span,
    message: String,
    help: Option<String>,
}

/// Shared by every reader; nobody stops at the first mistake.
#[derive(Debug, Default)]
pub(super) struct Report {
    found: RefCell<Vec<Found>>,
    notes: RefCell<Vec<(Span, String)>>,
}

impl Report {
    pub(super) fn error(&self, at: Span, message: impl AsRef<str>) {
        self.push(at, message.as_ref(), None);
    }

    pub(super) fn error_with_help(
        &self,
        at: Span,
        message: impl AsRef<str>,
        help: impl AsRef<str>,
    ) {
        self.push(at, message.as_ref(), Some(help.as_ref()));
    }

    pub(super) fn push(&self, at: Span, message: &str, help: Option<&str>) {
        let (message, help) = (one_line(message), help.map(one_line));
        self.found.borrow_mut().push(Found { at, message, help });
    }

    /// Says something that is no mistake, and that the operator should know.
    pub(super) fn note(&self, at: Span, message: impl AsRef<str>) {
        self.notes.borrow_mut().push((at, one_line(message.as_ref())));
    }

    /// The notes, each behind its place, in the order of their places.
    pub(super) fn notes(&self, layers: &[Layer]) -> Vec<String> {
        let mut notes = self.notes.borrow().clone();
        notes.sort_by_key(|(at, _)| *at);
        let line = |(at, message): (Span, String)| {
            let (place, _) = locate(layers.get(at.layer)?, at);
            Some(format!("{place}: {message}"))
        };
        notes.into_iter().filter_map(line).collect()
    }

    /// Number of mistakes so far; a reader that sees it grow knows that its value is incomplete.
    pub(super) fn count(&self) -> usize {
        self.found.borrow().len()
    }

    /// All of them, in the order of their places.
    pub(super) fn into_mistakes(self, layers: &[Layer]) -> Mistakes {
        let mut found = self.found.into_inner();
        // Stable: mistakes of one place stay in the order in which they were found.
        found.sort_by_key(|found| found.at);
        let locate = |found: Found| {
            let layer = layers.get(found.at.layer)?;
            let (place, source_line) = locate(layer, found.at);
            Some(Mistake { message: found.message, help: found.help, place, source_line })
        };
        Mistakes::new(found.into_iter().filter_map(locate).collect())
    }
}

/// Messages quote what the operator wrote, which may hold anything.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

fn locate(layer: &Layer, at: Span) -> (Place, String) {
    let origin = layer.origin.clone();
    let Some((start, end)) = at.range else {
        return (Place { origin, line: 0, column: 0, length: 0 }, String::new());
    };
    let text = layer.text.as_str();
    // A mistake at the very end of a file ("expected `]`") belongs to the last line of text.
    let start = start.min(text.trim_end().len());
    let before = text.get(..start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let from_line = text.get(line_start..).unwrap_or_default();
    let line = from_line.lines().next().unwrap_or_default();
    let line_end = line_start + line.len();
    let marked = text.get(start..end.clamp(start, line_end.max(start))).unwrap_or_default();
    let place = Place {
        origin,
        line: before.matches('\n').count() + 1,
        column: text.get(line_start..start).unwrap_or_default().chars().count() + 1,
        length: marked.chars().count().max(1),
    };
    (place, line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::mistake::Origin;

    fn place(text: &str, start: usize, end: usize) -> (usize, usize, usize, String) {
        let layer = Layer::blank(Origin::File("a.toml".into()), text.to_owned());
        let (place, line) = locate(&layer, Span::new(0, start, end));
        (place.line, place.column, place.length, line)
    }

    #[test]
    fn columns_and_lengths_count_characters_not_bytes() {
        assert_eq!(place("é = \"öö\"\n", 5, 11), (1, 5, 4, "é = \"öö\"".into()));
    }

    #[test]
    fn a_span_over_several_lines_is_marked_to_the_end_of_its_first() {
        assert_eq!(place("x = 1\na = [\n1,\n]\n", 10, 17), (2, 5, 1, "a = [".into()));
    }

    #[test]
    fn a_span_at_the_end_of_a_file_is_marked_behind_the_last_text() {
        assert_eq!(place("a = [1,\n\n", 9, 9), (1, 8, 1, "a = [1,".into()));
    }

    #[test]
    fn carriage_returns_belong_to_no_line() {
        assert_eq!(place("a = 1\r\nb = 2\r\n", 11, 12), (2, 5, 1, "b = 2".into()));
    }
}

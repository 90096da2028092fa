//! One layer of the configuration: a file, a variable or a flag, with the place of every key.

use std::collections::HashMap;
use std::ops::Range;

use config::{Map, Value};
use toml_edit::Document;

use super::import::Importer;
use super::mistake::Origin;
use super::report::{Report, Span};

/// Keys from the root down; an element of a list is named `[index]`, a port or a service by its
/// name.
pub(super) type Path = Vec<String>;

/// Where one key and its value stand in the layer's text, in bytes.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    pub(super) key: Range<usize>,
    pub(super) value: Range<usize>,
    /// The table exists only as part of the key of something below it.
    pub(super) implied: bool,
    /// Text without a type (a variable, a flag): the reader may take it for a number or a list.
    pub(super) untyped: bool,
}

/// A parsed layer.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) origin: Origin,
    pub(super) text: String,
    pub(super) root: Map<String, Value>,
    pub(super) spots: HashMap<Path, Spot>,
    /// Could not be read: what it would have said is not known.
    pub(super) is_broken: bool,
}

/// Part of a dotted key, with its bytes in the layer's text.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) name: String,
    pub(super) at: Range<usize>,
}

impl Layer {
    pub(super) fn blank(origin: Origin, text: String) -> Self {
        Self { origin, text, root: Map::new(), spots: HashMap::new(), is_broken: false }
    }

    pub(super) fn broken(origin: Origin, text: String) -> Self {
        Self { is_broken: true, ..Self::blank(origin, text) }
    }

    /// Parses a file's text. A syntax error is reported, and the layer is then empty.
    pub(super) fn from_toml(index: usize, origin: Origin, text: String, report: &Report) -> Self {
        let mut layer = Self::blank(origin, text);
        match Document::parse(layer.text.as_str()) {
            Ok(document) => {
                let mut importer = Importer::new(index, &layer.origin, 0, report);
                layer.root = importer.table(document.as_table());
                layer.spots = importer.into_spots();
            }
            Err(error) => {
                let span = error.span().unwrap_or_default();
                let at = Span::new(index, span.start, span.end);
                report.error(at, format!("not TOML: {}", one_line(error.message())));
                layer.is_broken = true;
            }
        }
        layer
    }

    /// A single value under a dotted key. `text` is `KEY=value`; the value starts at `value_start`.
    /// Text in brackets or braces is TOML; all other text waits for its reader.
    pub(super) fn from_assignment(
        index: usize,
        origin: Origin,
        text: String,
        value_start: usize,
        key: &[Segment],
        report: &Report,
    ) -> Self {
        let mut layer = Self::blank(origin, text);
        let raw = layer.text.get(value_start..).unwrap_or_default();
        let value = value_start..layer.text.len();
        let path: Path = key.iter().map(|segment| segment.name.clone()).collect();
        let untyped = !raw.starts_with(['[', '{']);
        let mut leaf = Value::from(raw);
        if !untyped {
            match import_value(index, &layer.origin, raw, value_start, &path, report) {
                Some((value, spots)) => (leaf, layer.spots) = (value, spots),
                None => layer.is_broken = true,
            }
        }
        for depth in 1..=path.len() {
            let Some(segment) = key.get(depth - 1) else { continue };
            let implied = depth < path.len();
            let spot = Spot { key: segment.at.clone(), value: value.clone(), implied, untyped };
            layer.spots.insert(path.iter().take(depth).cloned().collect(), spot);
        }
        for segment in key.iter().skip(1).rev() {
            leaf = Value::from(Map::from_iter([(segment.name.clone(), leaf)]));
        }
        if let Some(first) = key.first() {
            layer.root.insert(first.name.clone(), leaf);
        }
        layer
    }
}

/// Reads `raw`, which starts at `value_start` of its layer's text, as a TOML value.
fn import_value(
    index: usize,
    origin: &Origin,
    raw: &str,
    value_start: usize,
    path: &Path,
    report: &Report,
) -> Option<(Value, HashMap<Path, Spot>)> {
    // As short as the shortest assignment before a value, so that spans only shift up.
    const PREFIX: &str = "v=";
    let wrapped = format!("{PREFIX}{raw}");
    match Document::parse(wrapped.as_str()) {
        Ok(document) => {
            let shift = value_start.saturating_sub(PREFIX.len());
            let mut importer = Importer::new(index, origin, shift, report);
            let value = importer.item(path, document.get("v")?);
            Some((value, importer.into_spots()))
        }
        Err(error) => {
            let at = Span::new(index, value_start, value_start + raw.len());
            report.error(at, format!("not TOML: {}", one_line(error.message())));
            None
        }
    }
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

//! The JSON object of `-o json`: rows one per line, written as they come.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use crate::text::is_unsafe;

/// A document being written. One that was not closed is no JSON, so that nobody takes half a list
/// for a whole one.
#[derive(Debug)]
pub struct Document<W> {
    out: W,
}

/// A list inside a document being written.
#[derive(Debug)]
pub struct List<W> {
    out: W,
    is_empty: bool,
}

impl<W: Write> Document<W> {
    /// `version` is that of the rows' schema.
    pub fn open(mut out: W, version: u32) -> io::Result<Self> {
        write!(out, "{{\n  \"version\": {version}")?;
        Ok(Self { out })
    }

    pub fn field<T: Serialize>(&mut self, key: &str, value: &T) -> io::Result<()> {
        write!(self.out, ",\n  \"{key}\": ")?;
        write_value(&mut self.out, value)
    }

    pub fn list(mut self, key: &str) -> io::Result<List<W>> {
        write!(self.out, ",\n  \"{key}\": [")?;
        Ok(List { out: self.out, is_empty: true })
    }

    pub fn close(mut self) -> io::Result<()> {
        self.out.write_all(b"\n}\n")
    }
}

impl<W: Write> List<W> {
    pub fn row<T: Serialize>(&mut self, row: &T) -> io::Result<()> {
        self.out.write_all(if self.is_empty { b"\n    " } else { b",\n    " })?;
        self.is_empty = false;
        write_value(&mut self.out, row)
    }

    pub fn end(mut self) -> io::Result<Document<W>> {
        self.out.write_all(if self.is_empty { b"]" } else { b"\n  ]" })?;
        Ok(Document { out: self.out })
    }
}

fn write_value<T: Serialize>(out: &mut impl Write, value: &T) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(out, Harmless)).map_err(io::Error::from)
}

/// Compact JSON that also escapes what JSON would allow raw but a terminal might obey.
#[derive(Debug)]
struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: Write + ?Sized>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_unsafe) {
            let (before, after) = rest.split_at(at);
            out.write_all(before.as_bytes())?;
            let mut characters = after.chars();
            // All of them are below U+10000: one UTF-16 unit.
            if let Some(character) = characters.next() {
                write!(out, "\\u{:04x}", u32::from(character))?;
            }
            rest = characters.as_str();
        }
        out.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(rows: &[&str]) -> String {
        let mut out = Vec::new();
        let mut list = Document::open(&mut out, 1).unwrap().list("rows").unwrap();
        for row in rows {
            list.row(row).unwrap();
        }
        let mut document = list.end().unwrap();
        document.field("count", &rows.len()).unwrap();
        document.close().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn rows_stand_one_per_line() {
        let two =
            "{\n  \"version\": 1,\n  \"rows\": [\n    \"a\",\n    \"b\"\n  ],\n  \"count\": 2\n}\n";
        assert_eq!(written(&["a", "b"]), two);
        assert_eq!(written(&[]), "{\n  \"version\": 1,\n  \"rows\": [],\n  \"count\": 0\n}\n");
    }

    #[test]
    fn strings_come_back_whole_and_never_reach_a_terminal_raw() {
        let nasty = "a\u{1b}\u{7f}\u{9b}\u{202e}ö\"\\\n";
        let text = written(&[nasty]);
        assert!(!text.lines().any(|line| line.contains(is_unsafe)), "{text}");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["rows"][0], nasty);
    }
}

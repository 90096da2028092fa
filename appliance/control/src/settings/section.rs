//! Reads one table: takes the keys it knows, checks their types and ranges, and reports the rest.

use std::ops::RangeInclusive;

use super::form::{Form, Wrong};
use super::merge::{Kind, Node};
use super::report::{Report, Span, Spanned};
use super::suggest;

/// A list as far as it could be read.
#[derive(Clone, Debug)]
pub(super) struct List<T> {
    pub(super) items: Vec<Spanned<T>>,
    /// Nothing in the list, not even a mistake.
    pub(super) is_empty: bool,
    pub(super) at: Span,
}

/// A table that is being read.
#[derive(Debug)]
pub(super) struct Section<'t> {
    /// Names the object at the head of every message: `service "web"`. Empty for the root.
    what: String,
    entries: &'t [(String, Node)],
    /// Keys that were asked for.
    known: Vec<&'static str>,
    /// Where to say that a key is missing.
    pub(super) at: Span,
    report: &'t Report,
}

impl<'t> Section<'t> {
    /// `None`, and a mistake, if the node is not a table.
    pub(super) fn open(node: &'t Node, what: String, report: &'t Report) -> Option<Self> {
        match &node.kind {
            Kind::Table(entries) => {
                Some(Self { what, entries, known: Vec::new(), at: node.at, report })
            }
            Kind::Nothing => None,
            Kind::Untyped(_)
            | Kind::String(_)
            | Kind::Integer(_)
            | Kind::Float
            | Kind::Boolean(_)
            | Kind::List(_) => {
                let found = node.kind.words();
                report.error(node.at, format!("{what}: expected a table, found {found}"));
                None
            }
        }
    }

    /// A section that is nowhere: every key has its default.
    pub(super) fn absent(what: &str, at: Span, report: &'t Report) -> Self {
        Self { what: what.to_owned(), entries: &[], known: Vec::new(), at, report }
    }

    /// `message` with the object's name before it.
    fn say(&self, message: &str) -> String {
        if self.what.is_empty() { message.to_owned() } else { format!("{}: {message}", self.what) }
    }

    pub(super) fn error(&self, at: Span, message: &str, help: Option<&str>) {
        self.report.push(at, &self.say(message), help);
    }

    pub(super) fn what(&self) -> &str {
        &self.what
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| name == key)
    }

    pub(super) fn take(&mut self, key: &'static str) -> Option<&'t Node> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        let (_, node) = self.entries.iter().find(|(name, _)| name == key)?;
        if matches!(node.kind, Kind::Nothing) { None } else { Some(node) }
    }

    pub(super) fn entries(&self) -> &'t [(String, Node)] {
        self.entries
    }

    /// Reports that `key` is missing, unless it is there and wrong.
    pub(super) fn missing(&self, key: &str, help: &str) {
        if !self.has(key) {
            self.error(self.at, &format!("{key} is missing"), Some(help));
        }
    }

    fn mistyped(&self, key: &str, expected: &str, node: &Node) {
        let found = node.kind.words();
        self.error(node.at, &format!("{key}: expected {expected}, found {found}"), None);
    }

    /// A string of a form.
    pub(super) fn parse<T>(&mut self, key: &'static str, form: Form<T>) -> Option<Spanned<T>> {
        let node = self.take(key)?;
        self.parse_node(key, node, form)
    }

    /// The same, or a default that is placed at the section. `None` only after a mistake.
    pub(super) fn parse_or<T>(
        &mut self,
        key: &'static str,
        form: Form<T>,
        default: T,
    ) -> Option<Spanned<T>> {
        if self.has(key) {
            self.parse(key, form)
        } else {
            self.known.push(key);
            Some(Spanned::new(default, self.at))
        }
    }

    pub(super) fn parse_node<T>(
        &self,
        key: &str,
        node: &Node,
        form: Form<T>,
    ) -> Option<Spanned<T>> {
        let result = match &node.kind {
            Kind::String(text) | Kind::Untyped(text) => (form.parse)(text),
            Kind::Integer(number) if form.integer_too => (form.parse)(&number.to_string()),
            Kind::Integer(_)
            | Kind::Float
            | Kind::Boolean(_)
            | Kind::List(_)
            | Kind::Table(_)
            | Kind::Nothing => {
                self.mistyped(key, form.expected, node);
                return None;
            }
        };
        match result {
            Ok(value) => Some(Spanned::new(value, node.at)),
            Err(Wrong { message, help }) => {
                self.error(node.at, &format!("{key}: {message}"), help.as_deref());
                None
            }
        }
    }

    /// A list, each element read by `read`. Text without a type is taken as separated by commas.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&Self, &Node) -> Option<Spanned<T>>,
    ) -> Option<List<T>> {
        let node = self.take(key)?;
        let split: Vec<Node>;
        let elements: &[Node] = match &node.kind {
            Kind::List(elements) => elements,
            Kind::Untyped(text) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                let element = |part: &str| Node { kind: Kind::Untyped(part.to_owned()), ..*node };
                split = parts.map(element).collect();
                &split
            }
            Kind::String(_)
            | Kind::Integer(_)
            | Kind::Float
            | Kind::Boolean(_)
            | Kind::Table(_)
            | Kind::Nothing => {
                self.mistyped(key, "a list", node);
                return None;
            }
        };
        let items = elements.iter().filter_map(|element| read(self, element)).collect();
        Some(List { items, is_empty: elements.is_empty(), at: node.at })
    }

    pub(super) fn parse_list<T>(&mut self, key: &'static str, form: Form<T>) -> Option<List<T>> {
        self.list(key, |section, node| section.parse_node(key, node, form))
    }

    /// An integer in a range.
    pub(super) fn integer<T: TryFrom<i64>>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<i64>,
    ) -> Option<Spanned<T>> {
        let node = self.take(key)?;
        self.integer_node(key, node, &range)
    }

    pub(super) fn integer_node<T: TryFrom<i64>>(
        &self,
        key: &str,
        node: &Node,
        range: &RangeInclusive<i64>,
    ) -> Option<Spanned<T>> {
        let number = match &node.kind {
            Kind::Integer(number) => Some(*number),
            Kind::Untyped(text) => text.trim().replace('_', "").parse().ok(),
            Kind::String(_)
            | Kind::Float
            | Kind::Boolean(_)
            | Kind::List(_)
            | Kind::Table(_)
            | Kind::Nothing => None,
        };
        let Some(number) = number else {
            self.mistyped(key, "an integer", node);
            return None;
        };
        match T::try_from(number) {
            Ok(value) if range.contains(&number) => Some(Spanned::new(value, node.at)),
            Ok(_) | Err(_) => {
                let (low, high) = (range.start(), range.end());
                self.error(node.at, &format!("{key} must be {low} to {high}, not {number}"), None);
                None
            }
        }
    }

    pub(super) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let node = self.take(key)?;
        match &node.kind {
            Kind::Boolean(flag) => Some(*flag),
            Kind::Untyped(text) if text == "true" => Some(true),
            Kind::Untyped(text) if text == "false" => Some(false),
            Kind::Untyped(_)
            | Kind::String(_)
            | Kind::Integer(_)
            | Kind::Float
            | Kind::List(_)
            | Kind::Table(_)
            | Kind::Nothing => {
                self.mistyped(key, "true or false", node);
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<Spanned<T>> {
        let node = self.take(key)?;
        let (Kind::String(text) | Kind::Untyped(text)) = &node.kind else {
            self.mistyped(key, "a string", node);
            return None;
        };
        let found = words.iter().find(|(word, _)| word == text);
        if found.is_none() {
            let help = suggest::help(text, words.iter().map(|(word, _)| *word));
            self.error(node.at, &format!("unknown {key} \"{text}\""), help.as_deref());
        }
        found.map(|(_, value)| Spanned::new(*value, node.at))
    }

    /// A table below this one; its messages start with `what`.
    pub(super) fn section(&mut self, key: &'static str, what: &str) -> Option<Section<'t>> {
        let node = self.take(key)?;
        Section::open(node, what.to_owned(), self.report)
    }

    /// A table below the root; without it, its keys have their defaults.
    pub(super) fn section_or_absent(&mut self, key: &'static str) -> Section<'t> {
        self.section(key, key).unwrap_or_else(|| Section::absent(key, Span::whole(0), self.report))
    }

    /// A table in a list of this one.
    pub(super) fn below<'n>(&self, key: &str, node: &'n Node) -> Option<Section<'n>>
    where
        't: 'n,
    {
        Section::open(node, self.say(key), self.report)
    }

    /// Reports every key that nobody asked for. `explain` may know better than "unknown key".
    pub(super) fn finish_with(self, explain: impl Fn(&str) -> Option<String>) {
        for (key, node) in self.entries {
            if self.known.contains(&key.as_str()) {
                continue;
            }
            if let Some(message) = explain(key) {
                self.error(node.key, &message, None);
                continue;
            }
            let help = suggest::help(key, self.known.iter().copied());
            self.error(node.key, &format!("unknown key `{key}`"), help.as_deref());
        }
    }

    pub(super) fn finish(self) {
        self.finish_with(|_| None);
    }
}

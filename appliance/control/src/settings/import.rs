//! From `toml_edit`'s spanned tree to `config`'s values, keeping every place.

use std::collections::HashMap;
use std::ops::Range;

use config::{Map, Value};
use toml_edit::{Item, TableLike, Value as TomlValue};

use super::layer::{Path, Spot};
use super::mistake::Origin;
use super::report::{Report, Span};

/// Lists of named tables. They become tables by name, so that a later layer changes or adds one
/// element instead of replacing the list.
pub(super) const NAMED_LISTS: [&str; 3] = ["port", "service", "pool"];

/// Walks one layer.
#[derive(Debug)]
pub(super) struct Importer<'a> {
    layer: usize,
    origin: &'a Origin,
    /// Added to every span: the layer's text may be more than the TOML in it.
    shift: usize,
    report: &'a Report,
    spots: HashMap<Path, Spot>,
}

impl<'a> Importer<'a> {
    pub(super) fn new(layer: usize, origin: &'a Origin, shift: usize, report: &'a Report) -> Self {
        Self { layer, origin, shift, report, spots: HashMap::new() }
    }

    pub(super) fn into_spots(self) -> HashMap<Path, Spot> {
        self.spots
    }

    pub(super) fn table(&mut self, table: &dyn TableLike) -> Map<String, Value> {
        self.table_at(&Path::new(), table)
    }

    fn table_at(&mut self, path: &Path, table: &dyn TableLike) -> Map<String, Value> {
        let mut values = Map::new();
        for (name, item) in table.iter() {
            let key = table.key(name).and_then(toml_edit::Key::span).unwrap_or_default();
            let child = join(path, name);
            self.note(child.clone(), key, item);
            let value = self.item(&child, item);
            values.insert(name.to_owned(), value);
        }
        values
    }

    pub(super) fn item(&mut self, path: &Path, item: &Item) -> Value {
        let named = matches!(path.as_slice(), [list] if NAMED_LISTS.contains(&list.as_str()));
        if named && !(item.is_array() || item.is_array_of_tables()) {
            return self.not_a_list(path, item);
        }
        let elements: Vec<Item> = match item {
            Item::None => return Value::from(None::<String>),
            Item::Table(table) => return Value::from(self.table_at(path, table)),
            Item::Value(TomlValue::Array(array)) => {
                array.iter().cloned().map(Item::Value).collect()
            }
            Item::ArrayOfTables(tables) => tables.iter().cloned().map(Item::Table).collect(),
            Item::Value(value) => return self.scalar(path, value),
        };
        if named {
            self.named_list(path, &elements)
        } else {
            Value::from(self.list(path, &elements))
        }
    }

    fn not_a_list(&mut self, path: &Path, item: &Item) -> Value {
        let list = path.last().map_or("", String::as_str);
        let at = self.span(&item.span().unwrap_or_default());
        self.report.error_with_help(
            at,
            format!("{list} is a list of tables, each with a name"),
            format!("write [[{list}]] with double brackets, and in it name = \"...\""),
        );
        Value::from(None::<String>)
    }

    fn list(&mut self, path: &Path, elements: &[Item]) -> Vec<Value> {
        let mut values = Vec::new();
        for (index, item) in elements.iter().enumerate() {
            let child = join(path, &format!("[{index}]"));
            self.note(child.clone(), item.span().unwrap_or_default(), item);
            values.push(self.item(&child, item));
        }
        values
    }

    /// Elements without a usable name, and the second of one name, get a key that no name can be:
    /// they are read on, so that their other mistakes are found too.
    fn named_list(&mut self, path: &Path, elements: &[Item]) -> Value {
        let list = path.last().map_or("", String::as_str);
        let mut values = Map::new();
        for (index, item) in elements.iter().enumerate() {
            let number = index + 1;
            let name = item.as_table_like().and_then(|table| table.get("name"));
            let mut key = match name.and_then(Item::as_str) {
                Some(name) => name.to_owned(),
                None => format!("{}#{number}", self.short_name()),
            };
            if values.contains_key(&key) {
                let at = self.span(&name.and_then(Item::span).unwrap_or_default());
                self.report.error_with_help(
                    at,
                    format!("{list} \"{key}\" is there twice in one file"),
                    "give each its own name; a file in conf.d may change it by the same name",
                );
                key = format!("{key}#{number}");
            }
            let child = join(path, &key);
            self.note(child.clone(), item.span().unwrap_or_default(), item);
            let value = self.item(&child, item);
            values.insert(key, value);
        }
        Value::from(values)
    }

    fn scalar(&mut self, path: &Path, value: &TomlValue) -> Value {
        match value {
            TomlValue::String(text) => Value::from(text.value().as_str()),
            TomlValue::Integer(number) => Value::from(*number.value()),
            TomlValue::Float(number) => Value::from(*number.value()),
            TomlValue::Boolean(flag) => Value::from(*flag.value()),
            TomlValue::InlineTable(table) => Value::from(self.table_at(path, table)),
            TomlValue::Datetime(_) | TomlValue::Array(_) => {
                // Arrays are taken by `item`; no key of ours is a date.
                let at = self.span(&value.span().unwrap_or_default());
                self.report.error(at, "a date is of no use here");
                Value::from(None::<String>)
            }
        }
    }

    fn note(&mut self, path: Path, key: Range<usize>, item: &Item) {
        let value = item.span().unwrap_or_else(|| key.clone());
        let implied = item.as_table().is_some_and(toml_edit::Table::is_implicit);
        let [key, value] = [key, value].map(|at| at.start + self.shift..at.end + self.shift);
        self.spots.insert(path, Spot { key, value, implied, untyped: false });
    }

    /// Tells the nameless elements of one file from those of another.
    fn short_name(&self) -> String {
        match self.origin {
            Origin::File(path) if self.layer > 0 => {
                path.file_name().unwrap_or_default().to_string_lossy().into_owned()
            }
            Origin::File(_) | Origin::Environment(_) | Origin::Flag(_) => String::new(),
        }
    }

    fn span(&self, at: &Range<usize>) -> Span {
        Span::new(self.layer, at.start + self.shift, at.end + self.shift)
    }
}

fn join(path: &Path, key: &str) -> Path {
    let mut child = path.clone();
    child.push(key.to_owned());
    child
}

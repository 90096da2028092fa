//! The layers, merged by `config`, as a tree in which every node knows its place.

use config::{Config, ConfigError, Map, Source, Value, ValueKind};

use super::layer::{Layer, Path, Spot};
use super::report::Span;

/// A merged value.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) key: Span,
    pub(super) at: Span,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Of a variable or a flag: may be meant as a string, a number, a boolean or a list.
    Untyped(String),
    String(String),
    Integer(i64),
    Float,
    Boolean(bool),
    List(Vec<Node>),
    /// In the order in which the layers introduced the keys.
    Table(Vec<(String, Node)>),
    /// Reported already.
    Nothing,
}

impl Kind {
    /// With its article, for "expected a string, found an integer".
    pub(super) fn words(&self) -> &'static str {
        match self {
            Self::Untyped(_) => "text",
            Self::String(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float => "a fraction",
            Self::Boolean(_) => "a boolean",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Nothing => "nothing",
        }
    }
}

/// All of a layer hangs under this key: `config` takes a source's outermost keys for paths and
/// would split one at its dots, but merges what is below literally.
const ROOT: &str = "root";

#[derive(Clone, Debug)]
struct LayerSource(Map<String, Value>);

impl Source for LayerSource {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(Map::from_iter([(ROOT.to_owned(), Value::from(self.0.clone()))]))
    }
}

/// Merges the layers, later ones over earlier ones: tables key by key, all else as a whole.
///
/// # Errors
/// What `config` says; with sources in memory it has nothing to say.
pub(super) fn merge(layers: &[Layer]) -> Result<Node, ConfigError> {
    let mut builder = Config::builder();
    for layer in layers {
        builder = builder.add_source(LayerSource(layer.root.clone()));
    }
    let merged = builder.build()?.get_table(ROOT)?;
    Ok(node(&Path::new(), &Value::from(merged), layers))
}

fn node(path: &Path, value: &Value, layers: &[Layer]) -> Node {
    let is_table = matches!(value.kind, ValueKind::Table(_));
    let found = if is_table { find_first(path, layers) } else { find_last(path, layers) };
    let (spot_layer, spot) = found.map_or((0, None), |(layer, spot)| (layer, Some(spot)));
    let span = |at: &std::ops::Range<usize>| Span::new(spot_layer, at.start, at.end);
    Node {
        key: spot.map_or(Span::whole(0), |spot| span(&spot.key)),
        at: spot.map_or(Span::whole(0), |spot| span(&spot.value)),
        kind: kind(path, value, layers, spot.is_some_and(|spot| spot.untyped)),
    }
}

fn kind(path: &Path, value: &Value, layers: &[Layer], untyped: bool) -> Kind {
    match &value.kind {
        ValueKind::Nil => Kind::Nothing,
        ValueKind::Boolean(flag) => Kind::Boolean(*flag),
        ValueKind::I64(number) => Kind::Integer(*number),
        // The importer makes no wider integers than TOML's.
        ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_) | ValueKind::Float(_) => {
            Kind::Float
        }
        ValueKind::String(text) if untyped => Kind::Untyped(text.clone()),
        ValueKind::String(text) => Kind::String(text.clone()),
        ValueKind::Array(values) => {
            let element = |(index, value)| node(&child(path, &format!("[{index}]")), value, layers);
            Kind::List(values.iter().enumerate().map(element).collect())
        }
        ValueKind::Table(map) => {
            let mut entries: Vec<(String, Node, (usize, usize))> = map
                .iter()
                .map(|(key, value)| {
                    let path = child(path, key);
                    let introduced = find_first(&path, layers)
                        .map_or((0, 0), |(layer, spot)| (layer, spot.key.start));
                    (key.clone(), node(&path, value, layers), introduced)
                })
                .collect();
            entries.sort_by(|a, b| a.2.cmp(&b.2).then_with(|| a.0.cmp(&b.0)));
            Kind::Table(entries.into_iter().map(|(key, node, _)| (key, node)).collect())
        }
    }
}

/// The place that introduced a path: the first that spells it out, or else the first that implies
/// it.
fn find_first<'a>(path: &Path, layers: &'a [Layer]) -> Option<(usize, &'a Spot)> {
    let spots = || spots(path, layers);
    spots().find(|(_, spot)| !spot.implied).or_else(|| spots().next())
}

/// The place that had the last word about a path.
fn find_last<'a>(path: &Path, layers: &'a [Layer]) -> Option<(usize, &'a Spot)> {
    let spots = || spots(path, layers);
    spots().filter(|(_, spot)| !spot.implied).last().or_else(|| spots().last())
}

fn spots<'a>(path: &Path, layers: &'a [Layer]) -> impl Iterator<Item = (usize, &'a Spot)> {
    layers
        .iter()
        .enumerate()
        .filter_map(move |(index, layer)| Some((index, layer.spots.get(path)?)))
}

fn child(path: &Path, key: &str) -> Path {
    let mut child = path.clone();
    child.push(key.to_owned());
    child
}

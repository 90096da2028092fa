//! Variables and flags: dotted keys that address a port or a service by its name.

use std::collections::BTreeSet;

use config::ValueKind;

use super::import::NAMED_LISTS;
use super::layer::{Layer, Segment};
use super::mistake::Origin;
use super::report::{Report, Span};
use super::suggest;

const PREFIX: &str = "SPILLWAY__";
const SEPARATOR: &str = "__";

/// Names of the ports and services that the files introduce; nothing else may.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeSet<(String, String)>);

impl Names {
    pub(super) fn of(files: &[Layer]) -> Self {
        let mut names = BTreeSet::new();
        for list in NAMED_LISTS {
            for layer in files {
                let Some(ValueKind::Table(map)) = layer.root.get(list).map(|value| &value.kind)
                else {
                    continue;
                };
                names.extend(map.keys().map(|name| (list.to_owned(), name.clone())));
            }
        }
        Self(names)
    }

    fn in_list(&self, list: &str) -> impl Iterator<Item = &str> + Clone {
        self.0.iter().filter(move |(of, _)| of == list).map(|(_, name)| name.as_str())
    }

    /// The name that is meant by `word`: itself, or the only one that a variable, which has but
    /// capitals, digits and underscores, can be spelling.
    fn resolve(&self, list: &str, word: &str) -> Option<String> {
        if let Some(name) = self.in_list(list).find(|name| *name == word) {
            return Some(name.to_owned());
        }
        let plain =
            |name: &str| name.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let mut meant = self.in_list(list).filter(|name| plain(name) == plain(word));
        let first = meant.next()?;
        if meant.next().is_some() { None } else { Some(first.to_owned()) }
    }
}

/// Layers of the variables that start with `SPILLWAY__`, in the order of their names.
pub(super) fn of_environment(
    env: &[(String, String)],
    names: &Names,
    layers: &mut Vec<Layer>,
    report: &Report,
) {
    let mut ours: Vec<&(String, String)> =
        env.iter().filter(|(variable, _)| variable.starts_with(PREFIX)).collect();
    ours.sort();
    for (variable, value) in ours {
        let origin = Origin::Environment(variable.clone());
        let mut key = Vec::new();
        let mut start = PREFIX.len();
        for part in variable.get(PREFIX.len()..).unwrap_or_default().split(SEPARATOR) {
            key.push(Segment { name: part.to_lowercase(), at: start..start + part.len() });
            start += part.len() + SEPARATOR.len();
        }
        let text = format!("{variable}={value}");
        push(origin, text, variable.len(), key, names, layers, report);
    }
}

/// Layers of the flags, in the order in which they are given.
pub(super) fn of_overrides(
    overrides: &[(String, String)],
    names: &Names,
    layers: &mut Vec<Layer>,
    report: &Report,
) {
    for (dotted, value) in overrides {
        let text = format!("{dotted}={value}");
        push(
            Origin::Flag(dotted.clone()),
            text,
            dotted.len(),
            split(dotted),
            names,
            layers,
            report,
        );
    }
}

fn push(
    origin: Origin,
    text: String,
    key_length: usize,
    mut key: Vec<Segment>,
    names: &Names,
    layers: &mut Vec<Layer>,
    report: &Report,
) {
    let index = layers.len();
    if key.iter().any(|segment| segment.name.is_empty()) {
        let at = Span::new(index, 0, key_length);
        report.error_with_help(
            at,
            format!("{origin} names no key"),
            "a key is a section and what is in it: SPILLWAY__DATAPLANE__POLL, or --set dataplane.poll",
        );
        layers.push(Layer::broken(origin, text));
        return;
    }
    if let [list, word, ..] = key.as_mut_slice()
        && NAMED_LISTS.contains(&list.name.as_str())
    {
        let Some(name) = names.resolve(&list.name, &word.name) else {
            let at = Span::new(index, word.at.start, word.at.end);
            let message = format!("no file has a {} \"{}\"", list.name, word.name);
            let help = suggest::help(&word.name, names.in_list(&list.name));
            report.push(at, &message, help.as_deref());
            layers.push(Layer::blank(origin, text));
            return;
        };
        word.name = name;
    }
    layers.push(Layer::from_assignment(index, origin, text, key_length + 1, &key, report));
}

/// Splits at dots outside of double quotes.
fn split(dotted: &str) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut start = 0;
    let mut quoted = false;
    let segment = |start: usize, end: usize| {
        let name = dotted.get(start..end).unwrap_or_default().replace('"', "");
        Segment { name, at: start..end }
    };
    for (index, c) in dotted.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '.' if !quoted => {
                segments.push(segment(start, index));
                start = index + 1;
            }
            _ => {}
        }
    }
    segments.push(segment(start, dotted.len()));
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(pairs: &[(&str, &str)]) -> Names {
        Names(pairs.iter().map(|(list, name)| ((*list).into(), (*name).into())).collect())
    }

    #[test]
    fn dots_in_quotes_do_not_split_a_key() {
        let names: Vec<String> =
            split("service.\"a.b\".type").into_iter().map(|segment| segment.name).collect();
        assert_eq!(names, ["service", "a.b", "type"]);
    }

    #[test]
    fn a_variable_finds_a_name_that_it_cannot_spell() {
        let known = names(&[("service", "shop/Front-1"), ("port", "front")]);
        assert_eq!(known.resolve("service", "shop_front_1").as_deref(), Some("shop/Front-1"));
        assert_eq!(known.resolve("port", "shop_front_1"), None);
    }

    #[test]
    fn a_variable_that_could_mean_two_names_means_none() {
        let known = names(&[("service", "a-b"), ("service", "a_c"), ("service", "a/b")]);
        assert_eq!(known.resolve("service", "a_b"), None);
        assert_eq!(known.resolve("service", "a_c").as_deref(), Some("a_c"));
    }
}

//! Reads one `[[pool]]`.

use spillway_cluster::{LabelRule, Pool, Span};

use super::form;
use super::merge::{Kind, Node};
use super::report::{Report, Spanned};
use super::section::{List, Section};

/// A pool as read; its addresses have yet to be checked against everything else.
#[derive(Debug)]
pub(super) struct PoolDraft {
    pub(super) name: Spanned<String>,
    pub(super) spans: Vec<Spanned<Span>>,
    /// Everything else; its own name and addresses are empty.
    pub(super) rest: Pool,
}

pub(super) fn read(key: &str, node: &Node, report: &Report) -> Option<PoolDraft> {
    const HELP: &str = "list what may be lent, such as addresses = [\"203.0.113.0/28\"]";
    let mut section = Section::open(node, format!("pool \"{key}\""), report)?;
    let name = section.parse("name", form::NAME);
    if let Some(name) = &name {
        section.at = name.at;
    }
    section.missing("name", "give the pool a name of your own, such as name = \"public\"");
    let spans: Option<List<Span>> = section.parse_list("addresses", form::SPAN);
    section.missing("addresses", HELP);
    if let Some(spans) = spans.as_ref().filter(|spans| spans.is_empty) {
        section.error(spans.at, "addresses is empty", Some(HELP));
    }
    let namespaces: Option<List<String>> = section.parse_list("namespaces", form::NAMESPACE);
    if let Some(namespaces) = namespaces.as_ref().filter(|namespaces| namespaces.is_empty) {
        let help = "leave it out to lend to every namespace";
        section.error(namespaces.at, "namespaces is empty", Some(help));
    }
    let rest = Pool {
        name: String::new(),
        spans: Vec::new(),
        namespaces: namespaces
            .map(|names| names.items.into_iter().map(|name| name.value).collect())
            .unwrap_or_default(),
        labels: read_labels(&mut section),
        auto_assign: section.boolean("auto_assign").unwrap_or(true),
        priority: section
            .integer("priority", 0..=i64::from(u32::MAX))
            .map_or(0, |priority| priority.value),
        avoid_buggy_ips: section.boolean("avoid_buggy_ips").unwrap_or(false),
    };
    let draft = PoolDraft {
        name: name.unwrap_or_else(|| Spanned::new(key.to_owned(), section.at)),
        spans: spans.map(|spans| spans.items).unwrap_or_default(),
        rest,
    };
    section.finish();
    Some(draft)
}

/// `{ team = "web", public = "*" }`; `true` is another way to say "*".
fn read_labels(section: &mut Section<'_>) -> Vec<LabelRule> {
    let what = format!("{}: labels", section.what());
    let Some(labels) = section.section("labels", &what) else { return Vec::new() };
    let mut rules = Vec::new();
    for (key, node) in labels.entries() {
        let value = match &node.kind {
            Kind::Boolean(true) => None,
            Kind::String(any) | Kind::Untyped(any) if any == "*" => None,
            Kind::Boolean(false) => {
                let help = "\"*\" or true ask for the label with any value";
                labels.error(node.at, &format!("{key} cannot be false"), Some(help));
                continue;
            }
            Kind::String(_)
            | Kind::Untyped(_)
            | Kind::Integer(_)
            | Kind::Float
            | Kind::List(_)
            | Kind::Table(_)
            | Kind::Nothing => {
                let Some(value) = labels.parse_node(key, node, form::LABEL_VALUE) else {
                    continue;
                };
                Some(value.value)
            }
        };
        match (form::LABEL_KEY.parse)(key) {
            Ok(key) => rules.push(LabelRule { key, value }),
            Err(wrong) => labels.error(node.key, &wrong.message, wrong.help.as_deref()),
        }
    }
    rules
}

impl PoolDraft {
    pub(super) fn into_pool(self) -> Pool {
        let spans = self.spans.into_iter().map(|span| span.value).collect();
        Pool { name: self.name.value, spans, ..self.rest }
    }
}

//! Label and field selectors, as lists and watches take them.

use serde_json::Value;

use crate::json;
use crate::resource::{Kind, Resource};
use crate::status::Status;

/// One condition on labels.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    /// Also true where the label is missing.
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
}

/// One condition on a field.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldIs {
    path: Vec<String>,
    value: String,
    is_wanted: bool,
}

/// What objects a list or a watch is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<FieldIs>,
}

impl Selector {
    /// Parses both selectors; empty text selects everything.
    pub fn parse(resource: &Resource, labels: &str, fields: &str) -> Result<Self, Status> {
        let labels = split_outside_parentheses(labels)
            .into_iter()
            .map(|part| requirement(part).ok_or_else(|| bad_label(part)))
            .collect::<Result<_, _>>()?;
        let fields = fields
            .split(',')
            .filter(|part| !part.is_empty())
            .map(|part| field(resource, part))
            .collect::<Result<_, _>>()?;
        Ok(Self { labels, fields })
    }

    /// Does it let everything through?
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Is this object selected?
    pub fn matches(&self, object: &Value) -> bool {
        let label = |name: &str| json::text(object, &["metadata", "labels", name]);
        let labels = self.labels.iter().all(|requirement| match requirement {
            Requirement::In(name, values) => {
                label(name).is_some_and(|value| values.iter().any(|wanted| wanted == value))
            }
            Requirement::NotIn(name, values) => {
                label(name).is_none_or(|value| values.iter().all(|other| other != value))
            }
            Requirement::Exists(name) => label(name).is_some(),
            Requirement::Missing(name) => label(name).is_none(),
        });
        labels
            && self
                .fields
                .iter()
                .all(|field| (field.value == field_text(object, &field.path)) == field.is_wanted)
    }
}

fn field_text(object: &Value, path: &[String]) -> String {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match json::at(object, &path) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(true)) => "true".into(),
        Some(Value::Bool(false)) => "false".into(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => String::new(),
    }
}

fn bad_label(part: &str) -> Status {
    Status::bad_request(format!("unable to parse requirement: {part}"))
}

/// Splits at commas, but not inside `(a,b)`.
fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    text.split(|c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|part| !part.is_empty())
    .collect()
}

fn requirement(part: &str) -> Option<Requirement> {
    let one = |value: &str| vec![value.trim().to_owned()];
    if let Some((name, value)) = part.split_once("!=") {
        return label_name(name).map(|name| Requirement::NotIn(name, one(value)));
    }
    if let Some((name, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return label_name(name).map(|name| Requirement::In(name, one(value)));
    }
    if let Some((name, values)) = part.split_once('(') {
        let values =
            values.strip_suffix(')')?.split(',').map(|value| value.trim().into()).collect();
        let mut words = name.split_whitespace();
        let name = label_name(words.next()?)?;
        return match words.next()? {
            "in" => Some(Requirement::In(name, values)),
            "notin" => Some(Requirement::NotIn(name, values)),
            _ => None,
        };
    }
    match part.strip_prefix('!') {
        Some(name) => label_name(name).map(Requirement::Missing),
        None => label_name(part).map(Requirement::Exists),
    }
}

fn label_name(name: &str) -> Option<String> {
    let name = name.trim();
    let is_fine = !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'));
    is_fine.then(|| name.to_owned())
}

fn field(resource: &Resource, part: &str) -> Result<FieldIs, Status> {
    let (path, value, is_wanted) = if let Some((path, value)) = part.split_once("!=") {
        (path, value, false)
    } else if let Some((path, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        (path, value, true)
    } else {
        let why = format!("invalid selector: '{part}'; can't understand '{part}'");
        return Err(Status::bad_request(why));
    };
    if !is_supported(resource.kind, path) {
        return Err(Status::bad_request(format!("field label not supported: {path}")));
    }
    // "source" of an event is its component.
    let path = if path == "source" { "source.component" } else { path };
    Ok(FieldIs { path: path.split('.').map(Into::into).collect(), value: value.into(), is_wanted })
}

fn is_supported(kind: Kind, path: &str) -> bool {
    if matches!(path, "metadata.name" | "metadata.namespace") {
        return true;
    }
    match kind {
        Kind::Event => {
            path.starts_with("involvedObject.")
                || path.starts_with("regarding.")
                || matches!(path, "reason" | "type" | "source" | "reportingComponent")
        }
        Kind::Pod => matches!(
            path,
            "spec.nodeName"
                | "spec.restartPolicy"
                | "spec.schedulerName"
                | "spec.serviceAccountName"
                | "spec.hostNetwork"
                | "status.phase"
                | "status.podIP"
                | "status.nominatedNodeName"
        ),
        Kind::Service => matches!(path, "spec.clusterIP" | "spec.type"),
        Kind::Node => path == "spec.unschedulable",
        Kind::Namespace => path == "status.phase",
        Kind::Secret => path == "type",
        Kind::ConfigMap
        | Kind::Endpoints
        | Kind::EndpointSlice
        | Kind::Lease
        | Kind::ServiceAccount => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn selects(labels: &str, object: &Value) -> bool {
        let services = Resource::find("", "services").unwrap();
        Selector::parse(services, labels, "").unwrap().matches(object)
    }

    #[test]
    fn every_operator_of_a_label_selector_selects_what_kubernetes_says() {
        let object = json!({"metadata": {"labels": {"app": "web", "tier": "front"}}});
        for yes in [
            "app=web",
            "app==web",
            "app!=db",
            "db!=x",
            "app",
            "!db",
            "app in (db, web)",
            "app notin (db),tier=front",
            "db notin (x)",
            "",
        ] {
            assert!(selects(yes, &object), "{yes} should select it");
        }
        for no in
            ["app=db", "app!=web", "db", "!app", "app in (db)", "tier notin (front,back)", "app,db"]
        {
            assert!(!selects(no, &object), "{no} should not select it");
        }
    }

    #[test]
    fn a_field_that_the_kind_does_not_offer_is_refused() {
        let services = Resource::find("", "services").unwrap();
        let refused = Selector::parse(services, "", "spec.ports=80").unwrap_err();
        assert_eq!(
            (refused.code, refused.message.as_str()),
            (400, "field label not supported: spec.ports")
        );
        let by_name = Selector::parse(services, "", "metadata.name=a").unwrap();
        assert!(by_name.matches(&json!({"metadata": {"name": "a"}})));
        assert!(!by_name.matches(&json!({"metadata": {"name": "b"}})));
    }
}

//! The schema files against what the program prints and what the protocol sends.
//!
//! The checker knows the keywords that the files use and refuses any other, so that a rule that
//! it would not check cannot slip in. It is stricter than JSON Schema in one point: a field that
//! the schema does not name is a mistake, because then it is not documented.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Map, Value};
use spillway_admin::{
    BackendState, CheckKind, ConntrackFilter, ErrorCode, Failure, FlowState, FrontendKind,
    HealthState, Kind, LinkState, NeighborState, ObjectKind, PollMode, Protocol, Request, Row,
    Scheduler, ServiceFilter, Source, Trailer, encode_error, encode_header, encode_list,
    encode_request, encode_trailer,
};

use crate::daemon::Daemon;
use crate::samples;

const LISTS: [&str; 13] = [
    "status",
    "services",
    "backends",
    "conntrack",
    "snat",
    "neighbors",
    "health",
    "ports",
    "drops",
    "refused",
    "nodes",
    "pools",
    "accepted",
];

fn docs(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs").join(path)
}

fn schema(name: &str) -> Value {
    let path = docs(&format!("schema/{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path:?}: {e}"))
}

/// Mistakes of `value`, each with its place.
fn mistakes(file: &str, value: &Value) -> Vec<String> {
    let root = schema(file);
    let mut found = Vec::new();
    Checker { root: &root, found: &mut found }.check(&root, value, file);
    found
}

struct Checker<'a> {
    root: &'a Value,
    found: &'a mut Vec<String>,
}

impl Checker<'_> {
    fn check(&mut self, schema: &Value, value: &Value, at: &str) {
        let rules = schema.as_object().unwrap_or_else(|| panic!("{at}: no schema: {schema}"));
        for (keyword, rule) in rules {
            match keyword.as_str() {
                "$schema" | "$defs" | "title" | "description" => {}
                "$ref" => self.reference(rule.as_str().unwrap(), value, at),
                "type" => self.require(has_type(rule, value), at, rule, value),
                "enum" => {
                    let words = rule.as_array().unwrap();
                    self.require(words.contains(value), at, rule, value);
                }
                "const" => self.require(rule == value, at, rule, value),
                "minimum" => {
                    let fits = value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap());
                    self.require(fits, at, rule, value);
                }
                "maximum" => {
                    let fits = value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap());
                    self.require(fits, at, rule, value);
                }
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(rule, item, &format!("{at}[{index}]"));
                    }
                }
                "required" => {
                    let Some(fields) = value.as_object() else { continue };
                    for key in rule.as_array().unwrap() {
                        let there = fields.contains_key(key.as_str().unwrap());
                        self.require(there, at, key, &Value::Null);
                    }
                }
                "properties" => self.properties(rule.as_object().unwrap(), value, at),
                "additionalProperties" => assert_eq!(rule, false, "{at}"),
                "anyOf" => self.require(self.matching(rule, value, at) > 0, at, rule, value),
                "oneOf" => self.require(self.matching(rule, value, at) == 1, at, rule, value),
                other => panic!("{at}: the checker does not know `{other}`"),
            }
        }
    }

    fn require(&mut self, holds: bool, at: &str, rule: &Value, value: &Value) {
        if !holds {
            self.found.push(format!("{at}: {value} against {rule}"));
        }
    }

    fn properties(&mut self, properties: &Map<String, Value>, value: &Value, at: &str) {
        for (key, value) in value.as_object().into_iter().flatten() {
            match properties.get(key) {
                Some(schema) => self.check(schema, value, &format!("{at}.{key}")),
                None => self.found.push(format!("{at}.{key} is not in the schema")),
            }
        }
    }

    fn matching(&self, rule: &Value, value: &Value, at: &str) -> usize {
        let fits = |schema: &&Value| {
            let mut found = Vec::new();
            Checker { root: self.root, found: &mut found }.check(schema, value, at);
            found.is_empty()
        };
        rule.as_array().unwrap().iter().filter(fits).count()
    }

    fn reference(&mut self, reference: &str, value: &Value, at: &str) {
        let (file, pointer) = reference.split_once('#').unwrap();
        let other;
        let root = if let Some(name) = file.strip_suffix(".json") {
            other = schema(name);
            &other
        } else {
            self.root
        };
        let target = root.pointer(pointer).unwrap_or_else(|| panic!("{at}: {reference}"));
        Checker { root, found: self.found }.check(target, value, at);
    }
}

fn has_type(rule: &Value, value: &Value) -> bool {
    if let Some(any) = rule.as_array() {
        return any.iter().any(|rule| has_type(rule, value));
    }
    match rule.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("type {other}"),
    }
}

/// What `spillway COMMAND -o json` prints for every kind of row, by schema file.
fn documents() -> Vec<(&'static str, Value)> {
    fn document<R: Row>(rows: &[R], command: &str) -> Value {
        let (outcome, _) = Daemon::with_rows(rows).ask(&format!("{command} -o json"));
        serde_json::from_str(&outcome.printed()).unwrap()
    }
    vec![
        ("status", document(&[samples::status_of_lost_cluster()], "status")),
        ("services", document(&samples::services(), "service list")),
        ("backends", document(&samples::backends(), "backend list")),
        ("conntrack", document(&samples::conntrack(), "conntrack list")),
        ("snat", document(&samples::snat(), "snat list")),
        ("neighbors", document(&samples::neighbors(), "neighbor list")),
        ("health", document(&samples::health(), "health list")),
        ("ports", document(&samples::ports(), "port list")),
        ("drops", document(&[samples::drops()], "drops")),
        ("refused", document(&samples::refused(), "service list --refused")),
        ("nodes", document(&samples::nodes(), "node list")),
        ("pools", document(&samples::pools(), "pool list")),
        ("accepted", document(&samples::accepted(), "kubernetes accept-shrink")),
    ]
}

#[test]
fn every_document_follows_its_schema() {
    let documents = documents();
    assert_eq!(documents.iter().map(|(name, _)| *name).collect::<Vec<_>>(), LISTS);
    for (name, document) in documents {
        assert_eq!(mistakes(name, &document), Vec::<String>::new());
    }
    for status in [samples::status(), samples::status_of_remembered_cluster()] {
        let document = serde_json::json!({ "version": 1, "status": status });
        assert_eq!(mistakes("status", &document), Vec::<String>::new());
    }
}

/// Every way to take one field away or to make its value senseless, anywhere in `value`.
fn damaged(value: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                let mut without = fields.clone();
                without.remove(key);
                all.push(Value::Object(without));
                let nonsense = Value::Array(vec![Value::Bool(true)]);
                for other in damaged(inner).into_iter().chain([nonsense]) {
                    let mut changed = fields.clone();
                    changed.insert(key.clone(), other);
                    all.push(Value::Object(changed));
                }
            }
            let mut more = fields.clone();
            more.insert("undocumented".to_owned(), Value::Null);
            all.push(Value::Object(more));
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                for other in damaged(item) {
                    let mut changed = items.clone();
                    changed[index] = other;
                    all.push(Value::Array(changed));
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    all
}

#[test]
fn a_missing_a_senseless_and_an_unknown_field_are_found_everywhere() {
    for (name, document) in documents() {
        let damaged = damaged(&document);
        assert!(damaged.len() > 10, "{name}");
        for changed in damaged {
            assert!(!mistakes(name, &changed).is_empty(), "{name} accepts {changed}");
        }
    }
}

#[test]
fn every_set_of_words_is_the_same_in_rust_and_in_the_schemas() {
    let sets: [(&str, &[&str]); 12] = [
        ("protocol", Protocol::WORDS),
        ("frontend_kind", FrontendKind::WORDS),
        ("scheduler", Scheduler::WORDS),
        ("backend_state", BackendState::WORDS),
        ("flow_state", FlowState::WORDS),
        ("neighbor_state", NeighborState::WORDS),
        ("health_state", HealthState::WORDS),
        ("check_kind", CheckKind::WORDS),
        ("link_state", LinkState::WORDS),
        ("poll_mode", PollMode::WORDS),
        ("source", Source::WORDS),
        ("object_kind", ObjectKind::WORDS),
    ];
    let mut seen = BTreeSet::new();
    for file in LISTS.into_iter().chain(["request"]) {
        let schema = schema(file);
        for (name, definition) in schema["$defs"].as_object().unwrap() {
            let Some(words) = definition.get("enum") else { continue };
            let (_, expected) = sets.iter().find(|(set, _)| set == name).unwrap();
            assert_eq!(*words, serde_json::json!(expected), "{file}: {name}");
            seen.insert(name.clone());
        }
    }
    assert_eq!(seen.len(), sets.len(), "{seen:?}");
}

#[test]
fn every_request_line_follows_its_schema() {
    let filter = ConntrackFilter {
        client: Some("172.26.50.1".parse().unwrap()),
        frontend: Some("[2001:db8::1]:80".parse().unwrap()),
        backend: Some("10.0.1.72:80".parse().unwrap()),
        snat: Some("10.0.1.1".parse().unwrap()),
        protocol: Some(Protocol::Udp),
        state: Some(FlowState::Replied),
        limit: Some(5),
    };
    let services =
        ServiceFilter { namespace: Some("shop".to_owned()), name: Some("web".to_owned()) };
    let requests = [
        Request::Status,
        Request::ServiceList(ServiceFilter::default()),
        Request::ServiceList(services.clone()),
        Request::RefusedList(services),
        Request::NodeList,
        Request::PoolList,
        Request::AcceptShrink(None),
        Request::AcceptShrink(Some(ObjectKind::Node)),
        Request::BackendList,
        Request::ConntrackList(ConntrackFilter::default()),
        Request::ConntrackList(filter),
        Request::SnatList,
        Request::NeighborList,
        Request::HealthList,
        Request::PortList,
        Request::Drops,
    ];
    for request in requests {
        let line: Value = serde_json::from_str(&encode_request(&request)).unwrap();
        assert_eq!(mistakes("request", &line), Vec::<String>::new());
    }
    for wrong in [
        r#"{"version":2,"request":"status"}"#,
        r#"{"version":1,"request":"state"}"#,
        r#"{"version":1}"#,
        r#"{"version":1,"request":"conntrack_list","filter":{"clients":"192.0.2.1"}}"#,
        r#"{"version":1,"request":"service_list","filter":{"name":"a","client":"192.0.2.1"}}"#,
        r#"{"version":1,"request":"accept_shrink","kind":"Pod"}"#,
    ] {
        assert!(!mistakes("request", &serde_json::from_str(wrong).unwrap()).is_empty(), "{wrong}");
    }
}

#[test]
fn every_response_line_follows_its_schema() {
    let failure = Failure { code: ErrorCode::Busy, message: "try again".to_owned() };
    let answers = [
        encode_list(&[samples::status()]),
        encode_list(&samples::services()),
        encode_list(&samples::backends()),
        encode_list(&samples::conntrack()),
        encode_list(&samples::snat()),
        encode_list(&samples::neighbors()),
        encode_list(&samples::health()),
        encode_list(&samples::ports()),
        encode_list(&[samples::drops()]),
        encode_list(&[samples::status_of_lost_cluster()]),
        encode_list(&samples::refused()),
        encode_list(&samples::nodes()),
        encode_list(&samples::pools()),
        encode_list(&samples::accepted()),
        encode_header(Kind::Ports),
        encode_trailer(Trailer { count: 7, truncated: true }),
        encode_error(&failure),
    ];
    for line in answers.iter().flat_map(|answer| answer.lines()) {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(mistakes("response", &line), Vec::<String>::new());
    }
    for wrong in [r#"{"header":{"version":1}}"#, r#"{"row":{"id":1}}"#, "{}"] {
        assert!(!mistakes("response", &serde_json::from_str(wrong).unwrap()).is_empty(), "{wrong}");
    }
}

/// The part of the page below a heading, up to the next heading of any level.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let start = page.find(heading).unwrap_or_else(|| panic!("no `{heading}`"));
    let rest = page.get(start + heading.len()..).unwrap();
    rest.split("\n#").next().unwrap()
}

#[test]
fn the_page_describes_every_field_in_the_words_of_the_schema() {
    let page = std::fs::read_to_string(docs("admin-api.md")).unwrap();
    let requests = [
        Request::Status,
        Request::ServiceList(ServiceFilter::default()),
        Request::BackendList,
        Request::ConntrackList(ConntrackFilter::default()),
        Request::SnatList,
        Request::NeighborList,
        Request::HealthList,
        Request::PortList,
        Request::Drops,
        Request::RefusedList(ServiceFilter::default()),
        Request::NodeList,
        Request::PoolList,
        Request::AcceptShrink(None),
    ];
    assert_eq!(requests.len(), LISTS.len());
    for (request, file) in requests.iter().zip(LISTS) {
        let text = section(&page, &format!("\n### `{}`\n", request.name()));
        let schema = schema(file);
        for (name, definition) in schema["$defs"].as_object().unwrap() {
            // These are explained once for all.
            let shared = ["packet_totals", "port_range"].contains(&name.as_str());
            let text = if shared { section(&page, "\n## Shared objects\n") } else { text };
            for (field, rule) in definition["properties"].as_object().into_iter().flatten() {
                let meaning = rule["description"].as_str().unwrap();
                let described = text.lines().any(|line| {
                    line.starts_with(&format!("| `{field}` |"))
                        && line.ends_with(&format!("| {meaning} |"))
                });
                assert!(described, "{}: {name}.{field}: {meaning}", request.name());
            }
            for word in definition["enum"].as_array().into_iter().flatten() {
                let word = format!("`{}`", word.as_str().unwrap());
                assert!(section(&page, "\n## Words and forms\n").contains(&word), "{name}: {word}");
            }
        }
    }
    let schema = schema("response");
    for code in schema.pointer("/$defs/error/properties/code/enum").unwrap().as_array().unwrap() {
        let code = code.as_str().unwrap();
        assert!(section(&page, "\n### Errors\n").contains(&format!("| `{code}` |")), "{code}");
    }
}

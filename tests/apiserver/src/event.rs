//! The two faces of an event: core/v1 as it is stored, events.k8s.io/v1 as new clients write it.
//!
//! The pairs of names are those of `pkg/apis/events/v1/conversion.go`.

use serde_json::{Value, json};

use crate::json;

/// Stored name, and the name in events.k8s.io/v1.
const PAIRS: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// What a client of events.k8s.io/v1 sent, as it is stored.
pub fn to_core(mut event: Value) -> Value {
    rename(&mut event, |(core, new)| (new, core));
    event
}

/// What is stored, for a client of events.k8s.io/v1.
pub fn from_core(mut event: Value) -> Value {
    rename(&mut event, |pair| pair);
    event
}

fn rename(
    event: &mut Value,
    from_to: impl Fn((&'static str, &'static str)) -> (&'static str, &'static str),
) {
    for (from, to) in PAIRS.map(from_to) {
        if let Some(found) = json::remove(event, &[from]) {
            json::set(event, &[to], found);
        }
    }
}

/// The members that Go writes even when they are empty.
pub fn defaults(event: &mut Value) {
    for (name, empty) in [
        ("involvedObject", json!({})),
        ("source", json!({})),
        ("firstTimestamp", Value::Null),
        ("lastTimestamp", Value::Null),
        ("eventTime", Value::Null),
        ("reportingComponent", json!("")),
        ("reportingInstance", json!("")),
    ] {
        json::default(event, &[name], empty);
    }
}

//! One line of a watch. Pure.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use spillway_cluster::Kind;

use crate::watch::raw::Raw;
use crate::watch::version::Version;

/// The annotation of the bookmark that ends a streamed list (KEP-3157).
const INITIAL_END: &str = "k8s.io/initial-events-end";

/// What one line says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// The object is now so.
    Put(Raw),
    /// The object is gone, or has left the selection.
    Gone(Raw),
    /// An event about something that has no name.
    Nameless {
        version: String,
    },
    Bookmark {
        version: String,
        ends_list: bool,
    },
    /// The API server ends the watch with an error: 410 when our position is too old.
    Failed {
        code: u16,
        message: String,
    },
    /// Not an event at all. A change may be lost.
    Garbled,
}

#[derive(Deserialize)]
struct Line<'a> {
    r#type: String,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// Reads a line. Never fails: what cannot be understood is an [`Event`] too.
pub(crate) fn read(kind: Kind, line: &[u8]) -> Event {
    let Ok(Line { r#type, object }) = serde_json::from_slice(line) else {
        return Event::Garbled;
    };
    match r#type.as_str() {
        "ADDED" | "MODIFIED" => {
            Raw::read(kind, object.get()).map_or_else(|| nameless(object), Event::Put)
        }
        "DELETED" => Raw::read(kind, object.get()).map_or_else(|| nameless(object), Event::Gone),
        "BOOKMARK" => bookmark(object),
        "ERROR" => failed(object),
        _ => Event::Garbled,
    }
}

fn nameless(object: &RawValue) -> Event {
    let value: Value = serde_json::from_str(object.get()).unwrap_or_default();
    let version = version_of(&value);
    // An object without a name is a curiosity; what has not even a version is a torn line.
    if Version::parse(&version).is_known() { Event::Nameless { version } } else { Event::Garbled }
}

fn bookmark(object: &RawValue) -> Event {
    let Ok(value) = serde_json::from_str::<Value>(object.get()) else { return Event::Garbled };
    let annotation = value.get("metadata").and_then(|it| it.get("annotations")?.get(INITIAL_END));
    let ends_list = annotation.and_then(Value::as_str) == Some("true");
    match version_of(&value) {
        version if version.is_empty() => Event::Garbled,
        version => Event::Bookmark { version, ends_list },
    }
}

fn failed(object: &RawValue) -> Event {
    let value: Value = serde_json::from_str(object.get()).unwrap_or_default();
    let code = value.get("code").and_then(Value::as_u64).and_then(|code| code.try_into().ok());
    let message = value.get("message").and_then(Value::as_str).unwrap_or("no reason given");
    Event::Failed { code: code.unwrap_or(500), message: message.to_owned() }
}

fn version_of(value: &Value) -> String {
    let version = value.get("metadata").and_then(|metadata| metadata.get("resourceVersion"));
    version.and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(line: &str) -> Event {
        read(Kind::Service, line.as_bytes())
    }

    #[test]
    fn the_recorded_bookmark_that_ends_a_streamed_list_is_understood() {
        let line = r#"{"type":"BOOKMARK","object":{"kind":"Service","apiVersion":"v1","metadata":{"resourceVersion":"256","annotations":{"k8s.io/initial-events-end":"true"}},"spec":{},"status":{"loadBalancer":{}}}}"#;
        assert_eq!(event(line), Event::Bookmark { version: "256".into(), ends_list: true });
    }

    #[test]
    fn the_recorded_410_inside_a_stream_is_understood() {
        let line = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version: 2 (340)","reason":"Expired","code":410}}"#;
        let message = "too old resource version: 2 (340)".to_owned();
        assert_eq!(event(line), Event::Failed { code: 410, message });
    }

    #[test]
    fn a_torn_line_is_garbled_and_never_silently_skipped() {
        let line =
            r#"{"type":"MODIFIED","object":{"metadata":{"name":"a","resourceVersion":"7"}}}"#;
        assert!(matches!(event(line), Event::Put(_)));
        for length in 0..line.len() {
            assert_eq!(event(&line[..length]), Event::Garbled, "{length}");
        }
        for odd in [
            r#"{"type":"SHOUTED","object":{"metadata":{"name":"a","resourceVersion":"7"}}}"#,
            r#"{"type":"ADDED","object":{}}"#,
            r#"{"type":"BOOKMARK","object":{"metadata":{}}}"#,
            "\u{fffd}",
        ] {
            assert_eq!(event(odd), Event::Garbled, "{odd}");
        }
    }

    #[test]
    fn an_object_without_a_name_is_passed_over() {
        let line = r#"{"type":"ADDED","object":{"metadata":{"resourceVersion":"7"},"spec":7}}"#;
        assert_eq!(event(line), Event::Nameless { version: "7".into() });
    }
}

//! One object as the wire said it, and what the watch must know of it. Pure.

use serde_json::Value;
use spillway_cluster::{Kind, Object, ObjectKey};

use crate::watch::version::Version;

/// An object that has a name. What it means is not asked here.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Raw {
    pub(crate) key: ObjectKey,
    pub(crate) version: Version,
    /// As it was written: what a watch goes on from, whether it is a number or not.
    pub(crate) version_text: String,
    pub(crate) object: Object,
}

impl Raw {
    /// `None` when it is no object or has no name: nobody can refer to it, so nothing is lost by dropping it.
    pub(crate) fn read(kind: Kind, text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let object = Object::parse(kind, &value).ok()?;
        let version = value.get("metadata").and_then(|metadata| metadata.get("resourceVersion"));
        let version_text = version.and_then(Value::as_str).unwrap_or_default().to_owned();
        let version = Version::parse(&version_text);
        Some(Self { key: object.key(), version, version_text, object })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_a_name_is_an_object() {
        for odd in [
            "null",
            "[]",
            "7",
            r#"{"metadata":null}"#,
            r#"{"metadata":{"name":7}}"#,
            r#"{"metadata":{"name":""}}"#,
            r#"{"metadata":[{"name":"a"}]}"#,
        ] {
            assert_eq!(Raw::read(Kind::Service, odd), None, "{odd}");
        }
    }

    #[test]
    fn a_hostile_object_keeps_its_name_and_its_version() {
        let odd = r#"{"metadata":{"name":"a","namespace":"n","labels":7,"resourceVersion":"12"},"spec":"what"}"#;
        let raw = Raw::read(Kind::Service, odd).unwrap();
        assert_eq!(raw.key.to_string(), "n/a");
        assert!(raw.version.is_same(Version::parse("12")));
    }
}

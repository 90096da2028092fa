//! A request understood: verb, resource and options, out of method, path and query.

use std::collections::BTreeMap;

use crate::resource::{Kind, Resource};
use crate::selector::Selector;
use crate::status::{Cause, Status};
use crate::store::{ListQuery, VersionMatch};
use crate::watch::{Start, WatchQuery};

/// What is to be done, in RBAC's words.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

impl Verb {
    /// As RBAC writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }
}

/// Where in the API a path points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub resource: &'static Resource,
    pub namespace: Option<String>,
    /// Empty: the collection.
    pub name: String,
    /// `status` or empty.
    pub subresource: String,
}

impl Place {
    /// The place of a path; `None` where this server has nothing.
    pub fn parse(path: &str) -> Option<Self> {
        let parts: Vec<String> =
            path.split('/').filter(|part| !part.is_empty()).map(decode).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let (group, rest) = match parts.as_slice() {
            ["api", "v1", rest @ ..] => ("", rest),
            ["apis", group, "v1", rest @ ..] => (*group, rest),
            _ => return None,
        };
        // "namespaces/x/status" is of the namespace; any other third part is a resource in it.
        let (namespace, rest) = match rest {
            ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => (None, rest),
            ["namespaces", namespace, inner @ ..] => (Some((*namespace).to_owned()), inner),
            rest => (None, rest),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (plural, "", ""),
            [plural, name] => (plural, *name, ""),
            [plural, name, subresource] => (plural, *name, *subresource),
            _ => return None,
        };
        let resource = Resource::find(group, plural)?;
        let has_subresource =
            subresource.is_empty() || resource.has_status && subresource == "status";
        let is_scoped = resource.is_namespaced || namespace.is_none();
        let is_complete = !resource.is_namespaced || namespace.is_some() || name.is_empty();
        (has_subresource && is_scoped && is_complete).then(|| Self {
            resource,
            namespace,
            name: name.into(),
            subresource: subresource.into(),
        })
    }

    /// What the method does here; `None`: not allowed.
    pub fn verb(&self, method: &str, query: &Query) -> Option<Verb> {
        let is_collection = self.name.is_empty();
        let is_creatable = !self.resource.is_namespaced || self.namespace.is_some();
        let is_main = self.subresource.is_empty();
        match (method, is_collection) {
            ("GET" | "HEAD", true) if query.flag("watch") => Some(Verb::Watch),
            ("GET" | "HEAD", true) => Some(Verb::List),
            ("GET" | "HEAD", false) => Some(Verb::Get),
            ("POST", true) if is_creatable => Some(Verb::Create),
            ("PUT", false) => Some(Verb::Update),
            ("PATCH", false) => Some(Verb::Patch),
            ("DELETE", false) if is_main => Some(Verb::Delete),
            ("DELETE", true) if self.resource.kind != Kind::Namespace => {
                Some(Verb::DeleteCollection)
            }
            _ => None,
        }
    }
}

/// The query's parameters, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(BTreeMap<String, String>);

impl Query {
    pub fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        Self(pairs.collect())
    }

    /// The parameter; empty where it is missing.
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Is it there, and neither `0` nor `false`? So apimachinery reads it; Python's client says
    /// `watch=True`.
    pub fn flag(&self, name: &str) -> bool {
        let value = self.0.get(name);
        value.is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    /// The parameter as a number; 400 if it is none.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Status> {
        match self.text(name) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                Status::bad_request(format!(
                    "strconv.ParseInt: parsing {text:?}: invalid syntax (of {name})"
                ))
            }),
        }
    }

    fn version(&self) -> Result<Option<u64>, Status> {
        match self.text("resourceVersion") {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| Status::bad_version(text)),
        }
    }

    fn selector(&self, resource: &Resource) -> Result<Selector, Status> {
        Selector::parse(resource, self.text("labelSelector"), self.text("fieldSelector"))
    }

    /// As a LIST.
    pub fn list(&self, place: &Place) -> Result<ListQuery, Status> {
        let version = match (self.version()?, self.text("resourceVersionMatch")) {
            (None, "") => VersionMatch::Newest,
            (None, _) => {
                let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
                return Err(invalid_option("resourceVersionMatch", why));
            }
            (Some(0), "Exact") => {
                let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                return Err(invalid_option("resourceVersionMatch", why));
            }
            (Some(0), _) => VersionMatch::Any,
            (Some(version), "Exact") => VersionMatch::Exact(version),
            (Some(version), _) => VersionMatch::NotOlderThan(version),
        };
        let token = self.text("continue");
        Ok(ListQuery {
            namespace: place.namespace.clone(),
            selector: self.selector(place.resource)?,
            limit: self.number("limit")?.map_or(0, |n| usize::try_from(n).unwrap_or(usize::MAX)),
            continue_token: (!token.is_empty()).then(|| token.to_owned()),
            version,
        })
    }

    /// As a WATCH.
    pub fn watch(&self, place: &Place) -> Result<WatchQuery, Status> {
        let version = self.version()?;
        let wants_state = self.flag("sendInitialEvents");
        let version_match = self.text("resourceVersionMatch");
        if !self.text("sendInitialEvents").is_empty() && version_match != "NotOlderThan" {
            let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            return Err(invalid_option("resourceVersionMatch", why));
        }
        if self.text("sendInitialEvents").is_empty() && !version_match.is_empty() {
            let why =
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            return Err(invalid_option("resourceVersionMatch", why));
        }
        let start = match version {
            None | Some(0) => Start::State,
            Some(_) if wants_state => Start::State,
            Some(version) => Start::After(version),
        };
        Ok(WatchQuery {
            namespace: place.namespace.clone(),
            selector: self.selector(place.resource)?,
            start,
            has_bookmarks: self.flag("allowWatchBookmarks"),
        })
    }
}

fn invalid_option(field: &str, why: &str) -> Status {
    Status::invalid("meta.k8s.io", "ListOptions", "", &[Cause::forbidden(field, why)])
}

/// Undoes `%41` and `+`.
fn decode(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        let hex = |digit: Option<u8>| char::from(digit?).to_digit(16);
        match byte {
            b'+' => decoded.push(b' '),
            b'%' => {
                let (high, low) = (hex(bytes.next()), hex(bytes.next()));
                let value = high.zip(low).map(|(high, low)| high * 16 + low);
                decoded.push(value.and_then(|value| u8::try_from(value).ok()).unwrap_or(b'?'));
            }
            byte => decoded.push(byte),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verb(method: &str, url: &str) -> Option<(Verb, &'static str, Option<String>, String)> {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let place = Place::parse(path)?;
        let verb = place.verb(method, &Query::parse(query))?;
        Some((verb, place.resource.plural, place.namespace, place.name))
    }

    #[test]
    fn paths_and_methods_become_verbs_on_resources() {
        let some = |verb, plural, namespace: Option<&str>, name: &str| {
            Some((verb, plural, namespace.map(Into::into), name.into()))
        };
        let cases = [
            ("GET", "/api/v1/services", some(Verb::List, "services", None, "")),
            ("GET", "/api/v1/services?watch=true", some(Verb::Watch, "services", None, "")),
            ("GET", "/api/v1/namespaces", some(Verb::List, "namespaces", None, "")),
            ("GET", "/api/v1/namespaces/a", some(Verb::Get, "namespaces", None, "a")),
            (
                "PATCH",
                "/api/v1/namespaces/a/services/b/status",
                some(Verb::Patch, "services", Some("a"), "b"),
            ),
            (
                "DELETE",
                "/api/v1/namespaces/a/services",
                some(Verb::DeleteCollection, "services", Some("a"), ""),
            ),
            (
                "PUT",
                "/apis/coordination.k8s.io/v1/namespaces/a/leases/b",
                some(Verb::Update, "leases", Some("a"), "b"),
            ),
            ("POST", "/api/v1/services", None),
            ("GET", "/api/v1/services/b", None),
            ("GET", "/apis/gateway.networking.k8s.io/v1/gatewayclasses", None),
        ];
        for (method, url, expected) in cases {
            assert_eq!(verb(method, url), expected, "{method} {url}");
        }
    }

    #[test]
    fn a_query_is_decoded() {
        let query = Query::parse("labelSelector=kubernetes.io%2Fservice-name%3Dweb&watch=True&x=0");
        assert_eq!(query.text("labelSelector"), "kubernetes.io/service-name=web");
        assert!(query.flag("watch") && !query.flag("x") && !query.flag("y"));
    }
}

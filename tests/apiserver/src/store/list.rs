//! LIST: the newest state, an older one while history reaches back to it, and pages of one.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::Store;
use crate::history::Forgotten;
use crate::object::{Key, Object};
use crate::resource::Resource;
use crate::selector::Selector;
use crate::status::Status;

/// Which state a list is to show.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum VersionMatch {
    /// No version given: the newest, and pages are honoured.
    #[default]
    Newest,
    /// `resourceVersion=0`: any; this server gives the newest, in one page, as a cache would.
    Any,
    NotOlderThan(u64),
    Exact(u64),
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    pub namespace: Option<String>,
    pub selector: Selector,
    /// 0: no limit.
    pub limit: usize,
    /// Where the last page ended.
    pub continue_token: Option<String>,
    pub version: VersionMatch,
}

/// One page.
#[derive(Debug)]
pub struct Page {
    pub version: u64,
    pub items: Vec<Arc<Object>>,
    pub continue_token: Option<String>,
    /// How many more there are; unknown under a selector.
    pub remaining: Option<usize>,
}

/// A continue token as the real server writes it.
#[derive(Debug, Serialize, Deserialize)]
struct Token {
    v: String,
    /// -1: go on with the newest state, consistent or not.
    rv: i64,
    start: String,
}

impl Token {
    fn encode(version: Option<u64>, after: &str) -> String {
        let slash = if version.is_some() { "/" } else { "" };
        let token = Self {
            v: "meta.k8s.io/v1".into(),
            rv: version.and_then(|version| i64::try_from(version).ok()).unwrap_or(-1),
            start: format!("{slash}{after}\0"),
        };
        URL_SAFE_NO_PAD.encode(serde_json::to_string(&token).unwrap_or_default())
    }

    fn decode(text: &str) -> Result<Self, Status> {
        let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
        let token = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        token.ok_or_else(|| Status::bad_request("continue key is not valid: it is not one of ours"))
    }
}

impl Store {
    /// One page of a list.
    pub fn list(&self, resource: &Resource, query: &ListQuery) -> Result<Page, Status> {
        let mut limit = query.limit;
        let mut from = Bound::Unbounded;
        let mut version = self.version;
        match (&query.continue_token, query.version) {
            (Some(token), _) => {
                let token = Token::decode(token)?;
                let last = token.start.trim_end_matches('\0');
                from = Bound::Excluded(Key::raw(last));
                if let Ok(consistent) = u64::try_from(token.rv) {
                    version = consistent;
                }
            }
            (None, VersionMatch::Newest) => {}
            (None, VersionMatch::NotOlderThan(asked) | VersionMatch::Exact(asked))
                if asked > self.version =>
            {
                return Err(Status::future_version(asked, self.version));
            }
            (None, VersionMatch::Any | VersionMatch::NotOlderThan(_)) => limit = 0,
            (None, VersionMatch::Exact(asked)) => version = asked,
        }
        let then;
        let objects = if version >= self.version {
            self.objects(resource.kind)
        } else {
            then = self.objects_at(resource, version, query)?;
            &then
        };
        Ok(page(objects, from, query, (limit, version)))
    }

    fn objects_at(
        &self,
        resource: &Resource,
        version: u64,
        query: &ListQuery,
    ) -> Result<BTreeMap<Key, Arc<Object>>, Status> {
        let Some(shelf) = self.shelves.get(&resource.kind) else { return Ok(BTreeMap::new()) };
        shelf.history.undo(&shelf.objects, version).map_err(|Forgotten { .. }| {
            let Some(token) = &query.continue_token else {
                return Status::expired("The resourceVersion for the provided list is too old.");
            };
            let start = Token::decode(token).map(|token| token.start).unwrap_or_default();
            let last = start.trim_start_matches('/').trim_end_matches('\0');
            Status {
                continue_token: Some(Token::encode(None, last)),
                ..Status::expired(
                    "The provided continue parameter is too old to display a consistent list \
                     result. You can start a new list without the continue parameter, or use the \
                     continue token in this response to retrieve the remainder of the results. \
                     Continuing with the provided token results in an inconsistent list - objects \
                     that were created, modified, or deleted between the time the first chunk was \
                     returned and now may show up in the list.",
                )
            }
        })
    }
}

fn page(
    objects: &BTreeMap<Key, Arc<Object>>,
    from: Bound<Key>,
    query: &ListQuery,
    (limit, version): (usize, u64),
) -> Page {
    let namespace = query.namespace.as_deref();
    let start = match from {
        Bound::Unbounded => Bound::Included(Key::start(namespace)),
        Bound::Included(_) | Bound::Excluded(_) => from,
    };
    let mut matching = objects
        .range((start, Bound::Unbounded))
        .filter(|(key, object)| key.is_in(namespace) && query.selector.matches(&object.value));
    let take = if limit == 0 { usize::MAX } else { limit };
    let items: Vec<(&Key, &Arc<Object>)> = matching.by_ref().take(take).collect();
    let rest = matching.count();
    let last = items.last().filter(|_| rest > 0);
    let continue_token = last.map(|(key, _)| Token::encode(Some(version), key.as_str()));
    Page {
        version,
        continue_token,
        remaining: (rest > 0 && query.selector.is_empty()).then_some(rest),
        items: items.into_iter().map(|(_, object)| Arc::clone(object)).collect(),
    }
}

//! WATCH as a pure cursor over the store's history: what is new since it was asked last.

use std::sync::Arc;

use crate::form::Form;
use crate::history::Change;
use crate::object::Object;
use crate::resource::Resource;
use crate::selector::Selector;
use crate::status::Status;
use crate::store::Store;
use crate::time::Timestamp;

/// The `type` of an event.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum EventType {
    Added,
    Modified,
    Deleted,
}

impl EventType {
    fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// One line of the stream.
#[derive(Clone, Debug)]
pub enum Event {
    Object(EventType, Arc<Object>),
    /// Everything up to this version was sent.
    Bookmark {
        version: u64,
        ends_initial: bool,
    },
    /// The stream ends after this.
    Error(Status),
}

impl Event {
    /// The line, with its end.
    pub fn line(&self, resource: &Resource, form: Form, now: Timestamp) -> String {
        let (kind, object) = match self {
            Self::Object(kind, object) => (kind.as_str(), form.object(resource, object, now)),
            Self::Bookmark { version, ends_initial } => {
                ("BOOKMARK", form.bookmark(resource, *version, *ends_initial))
            }
            Self::Error(status) => ("ERROR", status.to_value().to_string()),
        };
        format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n")
    }
}

/// Where a watch begins.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// With all that is there, then what comes (no version, or 0, or `sendInitialEvents`).
    State,
    /// With the change after that version.
    After(u64),
}

/// What is watched.
#[derive(Clone, Debug)]
pub struct WatchQuery {
    pub namespace: Option<String>,
    pub selector: Selector,
    pub start: Start,
    pub has_bookmarks: bool,
}

/// A place in history.
#[derive(Debug)]
pub struct Watch {
    resource: &'static Resource,
    query: WatchQuery,
    cursor: u64,
    is_started: bool,
    is_over: bool,
}

impl Watch {
    pub fn new(resource: &'static Resource, query: WatchQuery) -> Self {
        let cursor = match query.start {
            Start::State => 0,
            Start::After(version) => version,
        };
        Self { resource, query, cursor, is_started: false, is_over: false }
    }

    pub fn resource(&self) -> &'static Resource {
        self.resource
    }

    /// Has an error been given? Then nothing comes any more.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// What is new. The first time with the initial state, if that was asked for.
    pub fn poll(&mut self, store: &Store) -> Vec<Event> {
        if self.is_over {
            return Vec::new();
        }
        if !std::mem::replace(&mut self.is_started, true) && self.query.start == Start::State {
            return self.initial(store);
        }
        if self.cursor >= store.version() {
            return Vec::new();
        }
        match store.changes_since(self.resource.kind, self.cursor) {
            Ok(changes) => {
                self.cursor = store.version();
                changes.iter().filter_map(|change| self.event(change)).collect()
            }
            Err(expired) => {
                self.is_over = true;
                vec![Event::Error(expired)]
            }
        }
    }

    /// How far this watch is, if bookmarks were asked for.
    pub fn bookmark(&self, store: &Store) -> Option<Event> {
        let is_wanted = self.query.has_bookmarks && !self.is_over && self.cursor <= store.version();
        is_wanted.then(|| Event::Bookmark { version: self.cursor.max(1), ends_initial: false })
    }

    fn initial(&mut self, store: &Store) -> Vec<Event> {
        self.cursor = store.version();
        let mut events: Vec<Event> = store
            .objects(self.resource.kind)
            .values()
            .filter(|object| self.selects(object))
            .map(|object| Event::Object(EventType::Added, Arc::clone(object)))
            .collect();
        if self.query.has_bookmarks {
            events.push(Event::Bookmark { version: self.cursor, ends_initial: true });
        }
        events
    }

    fn selects(&self, object: &Object) -> bool {
        let namespace = self.query.namespace.as_deref();
        let is_here = namespace.is_none_or(|namespace| object.namespace() == Some(namespace));
        is_here && self.query.selector.matches(&object.value)
    }

    /// A change as this watch sees it: what leaves the selection is deleted, as it was before.
    fn event(&self, change: &Change) -> Option<Event> {
        let before = change.before.as_ref().filter(|object| self.selects(object));
        let after = change.after.as_ref().filter(|object| self.selects(object));
        let (kind, object) = match (before, after) {
            (None, None) => return None,
            (None, Some(after)) => (EventType::Added, Arc::clone(after)),
            (Some(_), Some(after)) => (EventType::Modified, Arc::clone(after)),
            (Some(before), None) => {
                (EventType::Deleted, Arc::new(before.at_version(change.version)))
            }
        };
        Some(Event::Object(kind, object))
    }
}

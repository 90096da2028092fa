//! Counts, limits and words events.
//!
//! The same event again within ten minutes counts up the first one, as client-go's correlator does. A
//! token bucket limits what is sent. A count that found no token is not lost: the next one that does brings the
//! sum.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::Draft;
use crate::change::ObjectKey;
use crate::status::shortened;

/// How long an event is counted up instead of told anew.
const WINDOW: Duration = Duration::from_mins(10);

/// One event a second,
const TOKEN_EVERY: Duration = Duration::from_secs(1);

/// and this many at once.
const BURST: u32 = 10;

/// From so many on those that are too old for counting are forgotten. The bucket lets fewer than this through in
/// a window, so there never are many more.
const REMEMBERED_MAX: usize = 1024;
const _: () = assert!(REMEMBERED_MAX as u64 > WINDOW.as_secs() + BURST as u64);

/// Who tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// `source.component`, such as `spillway`.
    pub component: String,
    /// The box's own name.
    pub host: String,
}

/// What to send to `/api/v1/namespaces/{namespace}/events`.
#[derive(Clone, Debug, PartialEq)]
pub enum EventWrite {
    /// `POST` of a whole event.
    Create { namespace: String, body: Value },
    /// `PATCH` of `/{name}` with `application/merge-patch+json`. 404: [`Recorder::forget`] it.
    Count { namespace: String, name: String, body: Value },
}

#[derive(Debug)]
struct Told {
    name: String,
    count: u64,
    last: Duration,
}

/// Turns drafts into writes. `now` is a monotonic clock's, `now_text` the same moment in RFC 3339, UTC.
#[derive(Debug)]
pub struct Recorder {
    source: Source,
    seed: u64,
    serial: u64,
    told: HashMap<Draft, Told>,
    tokens: u32,
    /// When the last token was added.
    filled: Duration,
    dropped: u64,
}

impl Recorder {
    /// `seed` keeps the names of events of two boxes, and of two runs, apart.
    pub fn new(source: Source, seed: u64, now: Duration) -> Self {
        let (told, tokens) = (HashMap::new(), BURST);
        Self { source, seed, serial: 0, told, tokens, filled: now, dropped: 0 }
    }

    /// Events that nobody was told of, since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// What to send for this event, if anything.
    pub fn record(&mut self, draft: Draft, now: Duration, now_text: &str) -> Option<EventWrite> {
        let has_token = self.take_token(now);
        if let Some(told) = self.told.get_mut(&draft)
            && now.saturating_sub(told.last) < WINDOW
        {
            told.count += 1;
            told.last = now;
            if !has_token {
                self.dropped += 1;
                return None;
            }
            let body = json!({ "count": told.count, "lastTimestamp": now_text });
            let (namespace, name) = (namespace(&draft.service).to_owned(), told.name.clone());
            return Some(EventWrite::Count { namespace, name, body });
        }
        if !has_token {
            self.dropped += 1;
            return None;
        }
        self.make_room(now);
        self.serial += 1;
        // As client-go names them: object, dot, a number that does not come again.
        let name = format!("{}.{:x}", draft.service.name, self.seed.wrapping_add(self.serial));
        let body = self.body(&draft, &name, now_text);
        let namespace = namespace(&draft.service).to_owned();
        self.told.insert(draft, Told { name, count: 1, last: now });
        Some(EventWrite::Create { namespace, body })
    }

    /// The server does not know the event (any more): the next one of its kind is told anew.
    pub fn forget(&mut self, name: &str) {
        self.told.retain(|_, told| told.name != name);
    }

    fn take_token(&mut self, now: Duration) -> bool {
        let every = TOKEN_EVERY.as_micros();
        let earned = now.saturating_sub(self.filled).as_micros() / every;
        let earned = u32::try_from(earned).unwrap_or(u32::MAX);
        self.filled = self.filled.saturating_add(TOKEN_EVERY.saturating_mul(earned));
        self.tokens = self.tokens.saturating_add(earned).min(BURST);
        let had = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        had
    }

    fn make_room(&mut self, now: Duration) {
        if self.told.len() >= REMEMBERED_MAX {
            self.told.retain(|_, told| now.saturating_sub(told.last) < WINDOW);
        }
    }

    fn body(&self, draft: &Draft, name: &str, now_text: &str) -> Value {
        let namespace = namespace(&draft.service);
        json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": { "name": name, "namespace": namespace },
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Service",
                "namespace": namespace,
                "name": draft.service.name,
                "uid": draft.uid,
            },
            "reason": draft.reason.as_str(),
            // The API takes at most 1024 characters.
            "message": shortened(&draft.message),
            "type": draft.reason.severity().as_str(),
            "source": { "component": self.source.component, "host": self.source.host },
            "reportingComponent": self.source.component,
            "reportingInstance": self.source.host,
            "firstTimestamp": now_text,
            "lastTimestamp": now_text,
            "count": 1,
        })
    }
}

/// An event lives in the namespace of its object.
fn namespace(service: &ObjectKey) -> &str {
    if service.namespace.is_empty() { "default" } else { &service.namespace }
}

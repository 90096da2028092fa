//! What we believe the API server holds of one kind, and whether what it says next can be true. Pure.
//!
//! A watch is a chain: each event is news about what came before. Where the chain may have a hole (a line
//! that cannot be read, a version that goes backwards) the answer is not to guess but [`Doubt`]: everything is
//! read again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::SystemTime;

use spillway_cluster::{Object, ObjectKey};

use crate::watch::event::Event;
use crate::watch::raw::Raw;
use crate::watch::version::Version;

/// One complete read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listed {
    pub(crate) objects: BTreeMap<ObjectKey, Raw>,
    /// Where a watch goes on from.
    pub(crate) version: String,
    /// Objects that had no name.
    pub(crate) nameless: usize,
}

impl Listed {
    /// Takes an object in. Of two with one name the newer one is kept, or the later one if nobody can tell.
    pub(crate) fn put(&mut self, raw: Raw) {
        let stale = |known: &Raw| raw.version.is_before(known.version);
        if !self.objects.get(&raw.key).is_some_and(stale) {
            self.objects.insert(raw.key.clone(), raw);
        }
    }

    pub(crate) fn keys(&self) -> BTreeSet<ObjectKey> {
        self.objects.keys().cloned().collect()
    }

    /// A snapshot cannot hold what was written after it was taken.
    pub(crate) fn check(&self) -> Result<(), Doubt> {
        let version = Version::parse(&self.version);
        match self.objects.values().find(|raw| version.is_before(raw.version)) {
            Some(raw) => Err(Doubt::NewerThanItsList(raw.key.clone())),
            None => Ok(()),
        }
    }
}

/// Why everything is read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    Garbled,
    Backwards(ObjectKey),
    BookmarkBackwards,
    NewerThanItsList(ObjectKey),
    OlderRead,
    TwoVersions,
    Expired,
    Told { code: u16, message: String },
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Garbled => f.write_str("the watch said something that is no event"),
            Self::Backwards(key) => write!(f, "the watch went backwards at {key}"),
            Self::BookmarkBackwards => f.write_str("the watch went backwards at a bookmark"),
            Self::NewerThanItsList(key) => write!(f, "{key} is newer than the list that holds it"),
            Self::OlderRead => {
                f.write_str("the API server answers with an older state than before")
            }
            Self::TwoVersions => f.write_str("the pages of a list are of different versions"),
            Self::Expired => f.write_str("the API server has forgotten where the watch was (410)"),
            Self::Told { code, message } => write!(f, "the watch was ended: {code} {message}"),
        }
    }
}

/// What an event means for those who serve.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Known already, or of no consequence.
    Nothing,
    Upsert(Object),
    Delete(ObjectKey),
    Nameless,
    Doubt(Doubt),
}

/// All objects of a kind, and how far the watch has come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mirror {
    known: BTreeMap<ObjectKey, (Version, Object)>,
    position: String,
    origin: Origin,
}

/// Where our knowledge is from.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Origin {
    #[default]
    Nothing,
    /// It was true then.
    Cache(SystemTime),
    ApiServer,
}

impl Mirror {
    /// Believes what an earlier run of ours believed. Versions are forgotten: the cluster may be another one.
    pub(crate) fn seed(&mut self, at: SystemTime, objects: Vec<Object>) {
        let entry = |object: Object| (object.key(), (Version::UNKNOWN, object));
        self.known = objects.into_iter().map(entry).collect();
        self.origin = Origin::Cache(at);
    }

    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.known.keys()
    }

    pub(crate) fn objects(&self) -> Vec<Object> {
        self.known.values().map(|(_, object)| object.clone()).collect()
    }

    /// Where a watch goes on from.
    pub(crate) fn position(&self) -> &str {
        &self.position
    }

    /// Whether a complete read is older than what is known already: a replica that lags, or an etcd that was
    /// restored.
    pub(crate) fn is_older(&self, listed: &Listed) -> bool {
        let version = Version::parse(&listed.version);
        let went_back = |raw: &Raw| {
            self.known.get(&raw.key).is_some_and(|(known, _)| raw.version.is_before(*known))
        };
        version.is_before(Version::parse(&self.position)) || listed.objects.values().any(went_back)
    }

    /// A complete read replaces everything.
    pub(crate) fn replace(&mut self, listed: Listed) {
        let entry = |(key, raw): (ObjectKey, Raw)| (key, (raw.version, raw.object));
        self.known = listed.objects.into_iter().map(entry).collect();
        self.position = listed.version;
        self.origin = Origin::ApiServer;
    }

    /// One event of the watch that goes on from [`Self::position`].
    pub(crate) fn event(&mut self, event: Event) -> Step {
        match event {
            Event::Put(raw) => self.put(raw),
            Event::Gone(raw) => self.gone(&raw),
            Event::Nameless { version } => {
                self.advance(&version);
                Step::Nameless
            }
            Event::Bookmark { version, ends_list: _ } => self.bookmark(version),
            Event::Failed { code: 410, message: _ } => Step::Doubt(Doubt::Expired),
            Event::Failed { code, message } => Step::Doubt(Doubt::Told { code, message }),
            Event::Garbled => Step::Doubt(Doubt::Garbled),
        }
    }

    fn put(&mut self, raw: Raw) -> Step {
        let known = self.known.get(&raw.key).map(|(version, _)| *version);
        if known.is_some_and(|known| known.is_same(raw.version)) {
            return Step::Nothing;
        }
        if self.went_backwards(&raw) {
            return Step::Doubt(Doubt::Backwards(raw.key));
        }
        self.advance(&raw.version_text);
        self.known.insert(raw.key.clone(), (raw.version, raw.object.clone()));
        Step::Upsert(raw.object)
    }

    fn gone(&mut self, raw: &Raw) -> Step {
        if !self.known.contains_key(&raw.key) {
            // Said twice, or said of something that came and went before the list.
            if !self.went_backwards(raw) {
                self.advance(&raw.version_text);
            }
            return Step::Nothing;
        }
        if self.went_backwards(raw) {
            return Step::Doubt(Doubt::Backwards(raw.key.clone()));
        }
        self.advance(&raw.version_text);
        self.known.remove(&raw.key);
        Step::Delete(raw.key.clone())
    }

    fn bookmark(&mut self, version: String) -> Step {
        if Version::parse(&version).is_before(Version::parse(&self.position)) {
            return Step::Doubt(Doubt::BookmarkBackwards);
        }
        self.position = version;
        Step::Nothing
    }

    /// Every event of a watch is newer than all before it: not newer means that the chain is torn.
    fn went_backwards(&self, raw: &Raw) -> bool {
        let position = Version::parse(&self.position);
        raw.version.is_before(position) || raw.version.is_same(position)
    }

    fn advance(&mut self, version: &str) {
        if !version.is_empty() && !Version::parse(version).is_before(Version::parse(&self.position))
        {
            version.clone_into(&mut self.position);
        }
    }
}

#[cfg(test)]
mod tests {
    use spillway_cluster::Kind;

    use super::*;
    use crate::watch::event;

    fn line(r#type: &str, name: &str, version: &str) -> Event {
        let object = serde_json::json!({"metadata": {"name": name, "resourceVersion": version}});
        let line = serde_json::json!({"type": r#type, "object": object}).to_string();
        event::read(Kind::Service, line.as_bytes())
    }

    fn raw(name: &str, version: &str) -> Raw {
        let Event::Put(raw) = line("ADDED", name, version) else { panic!("no object") };
        raw
    }

    fn listed(version: &str, objects: &[(&str, &str)]) -> Listed {
        let mut listed = Listed { version: version.into(), ..Listed::default() };
        for (name, version) in objects {
            listed.put(raw(name, version));
        }
        listed
    }

    fn mirror(version: &str, objects: &[(&str, &str)]) -> Mirror {
        let mut mirror = Mirror::default();
        mirror.replace(listed(version, objects));
        mirror
    }

    fn names(mirror: &Mirror) -> Vec<&str> {
        mirror.keys().map(|key| key.name.as_str()).collect()
    }

    #[test]
    fn news_is_passed_on_and_moves_the_position() {
        let mut mirror = mirror("10", &[("a", "5")]);
        assert!(matches!(mirror.event(line("ADDED", "b", "11")), Step::Upsert(_)));
        assert!(matches!(mirror.event(line("MODIFIED", "a", "12")), Step::Upsert(_)));
        assert!(matches!(mirror.event(line("DELETED", "b", "13")), Step::Delete(_)));
        assert_eq!((names(&mirror), mirror.position()), (vec!["a"], "13"));
    }

    #[test]
    fn an_event_said_twice_changes_nothing() {
        let mut mirror = mirror("10", &[("a", "5")]);
        mirror.event(line("MODIFIED", "a", "11"));
        assert_eq!(mirror.event(line("MODIFIED", "a", "11")), Step::Nothing);
        mirror.event(line("DELETED", "a", "12"));
        assert_eq!(mirror.event(line("DELETED", "a", "12")), Step::Nothing);
        assert_eq!(mirror.position(), "12");
    }

    #[test]
    fn an_older_object_than_the_known_one_is_doubted_and_not_believed() {
        let mut mirror = mirror("10", &[("a", "9")]);
        assert!(matches!(mirror.event(line("MODIFIED", "a", "8")), Step::Doubt(_)));
        assert!(matches!(mirror.event(line("DELETED", "a", "8")), Step::Doubt(_)));
        assert_eq!(names(&mirror), ["a"]);
    }

    #[test]
    fn something_gone_that_is_said_to_be_there_again_by_an_old_event_is_doubted() {
        let mut mirror = mirror("10", &[("a", "9")]);
        mirror.event(line("DELETED", "a", "11"));
        assert!(matches!(mirror.event(line("ADDED", "a", "9")), Step::Doubt(_)));
        assert_eq!(names(&mirror), [""; 0]);
    }

    #[test]
    fn a_bookmark_moves_the_position_but_never_backwards() {
        let mut mirror = mirror("10", &[]);
        let bookmark =
            |version: &str| Event::Bookmark { version: version.into(), ends_list: false };
        assert_eq!(mirror.event(bookmark("20")), Step::Nothing);
        assert_eq!(mirror.event(bookmark("19")), Step::Doubt(Doubt::BookmarkBackwards));
        assert_eq!(mirror.position(), "20");
    }

    #[test]
    fn versions_that_are_no_numbers_are_believed() {
        let mut mirror = mirror("x", &[("a", "y")]);
        assert!(matches!(mirror.event(line("MODIFIED", "a", "b")), Step::Upsert(_)));
        assert!(matches!(mirror.event(line("DELETED", "a", "a")), Step::Delete(_)));
        assert_eq!(mirror.position(), "a");
    }

    #[test]
    fn a_nameless_object_harms_nobody_but_moves_the_position() {
        let mut mirror = mirror("10", &[("a", "5")]);
        assert_eq!(mirror.event(line("ADDED", "", "11")), Step::Nameless);
        assert_eq!((names(&mirror), mirror.position()), (vec!["a"], "11"));
    }

    #[test]
    fn torn_lines_and_errors_are_doubted() {
        let mut mirror = mirror("10", &[]);
        assert_eq!(mirror.event(Event::Garbled), Step::Doubt(Doubt::Garbled));
        let failed = |code| Event::Failed { code, message: "m".into() };
        assert_eq!(mirror.event(failed(410)), Step::Doubt(Doubt::Expired));
        assert!(matches!(mirror.event(failed(500)), Step::Doubt(Doubt::Told { code: 500, .. })));
    }

    #[test]
    fn a_read_that_is_older_than_the_watch_is_noticed() {
        let mut mirror = mirror("10", &[("a", "9")]);
        assert!(mirror.is_older(&listed("9", &[("a", "9")])));
        assert!(mirror.is_older(&listed("12", &[("a", "8")])));
        assert!(!mirror.is_older(&listed("10", &[("a", "9")])));
        mirror.seed(SystemTime::UNIX_EPOCH, vec![raw("a", "9").object]);
        assert!(!mirror.is_older(&listed("12", &[("a", "8")])), "a cache has no versions");
    }

    #[test]
    fn a_list_that_holds_what_is_newer_than_itself_is_doubted() {
        assert!(listed("10", &[("a", "10"), ("b", "3")]).check().is_ok());
        assert!(listed("10", &[("a", "11")]).check().is_err());
    }

    #[test]
    fn of_two_objects_with_one_name_a_list_keeps_the_newer() {
        let listed = listed("10", &[("a", "7"), ("a", "5")]);
        assert_eq!(listed.objects.values().map(|raw| &raw.version_text).collect::<Vec<_>>(), ["7"]);
    }
}

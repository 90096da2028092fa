//! Answers from a folder of recordings: LISTs and WATCHes as a real server gave them.
//!
//! A request that was recorded word for word gets its recording. Any other LIST of a recorded
//! resource gets the first recorded list of it; any other WATCH gets the lines of the longest
//! recorded watch that follow the version it asks for.

use std::path::Path;

use http::uri::PathAndQuery;
use serde::Deserialize;
use serde_json::Value;

use crate::json;
use crate::request::{Place, Query, Verb};

/// One line of `index.jsonl`.
#[derive(Clone, Debug, Deserialize)]
struct Entry {
    file: String,
    method: String,
    path: String,
    status: u16,
    #[serde(default)]
    accept: String,
}

#[derive(Clone, Debug)]
struct Recording {
    entry: Entry,
    text: String,
    is_watch: bool,
}

/// The recordings of a folder.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    recordings: Vec<Recording>,
}

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    Document { code: u16, text: String },
    Lines { lines: Vec<String>, is_over: bool },
}

/// Why a folder cannot be replayed.
#[derive(Debug, thiserror::Error)]
#[error("recording {path}: {why}")]
pub struct ReplayError {
    path: String,
    why: String,
}

fn read(path: &Path) -> Result<String, ReplayError> {
    std::fs::read_to_string(path)
        .map_err(|e| ReplayError { path: path.display().to_string(), why: e.to_string() })
}

impl Replay {
    /// Reads `index.jsonl` of the folder and every text that it names.
    pub fn load(folder: &Path) -> Result<Self, ReplayError> {
        let index = folder.join("index.jsonl");
        let mut recordings = Vec::new();
        for line in read(&index)?.lines() {
            let entry: Entry = serde_json::from_str(line).map_err(|e| ReplayError {
                path: index.display().to_string(),
                why: e.to_string(),
            })?;
            let is_json = entry.accept.is_empty() || entry.accept == "application/json";
            if entry.method != "GET" || !is_json {
                continue;
            }
            let text = read(&folder.join(&entry.file))?;
            let query = entry.path.split_once('?').map_or("", |(_, query)| query);
            let is_watch = Query::parse(query).flag("watch") && entry.status == 200;
            recordings.push(Recording { entry, text, is_watch });
        }
        Ok(Self { recordings })
    }

    /// The recorded answer to a request; `None`: the store is to answer.
    pub fn answer(
        &self,
        place: &Place,
        verb: Verb,
        url: Option<&PathAndQuery>,
    ) -> Option<Recorded> {
        let url = url?.as_str();
        if let Some(same) = self.recordings.iter().find(|recording| recording.entry.path == url) {
            return Some(if same.is_watch {
                Recorded::Lines {
                    lines: lines(&same.text),
                    is_over: same.text.contains("\"ERROR\""),
                }
            } else {
                Recorded::Document { code: same.entry.status, text: same.text.trim_end().into() }
            });
        }
        let query = Query::parse(url.split_once('?').map_or("", |(_, query)| query));
        match verb {
            Verb::List => {
                let list = self
                    .of(place, |recording| !recording.is_watch && recording.entry.status == 200);
                let list = list.into_iter().next()?;
                Some(Recorded::Document { code: 200, text: list.text.trim_end().into() })
            }
            Verb::Watch => {
                let wants_state = query.flag("sendInitialEvents");
                let watches = self.of(place, |recording| {
                    let has_state = recording.entry.path.contains("sendInitialEvents=true");
                    recording.is_watch
                        && has_state == wants_state
                        && !recording.entry.path.contains("labelSelector")
                });
                let watch = watches.into_iter().max_by_key(|watch| watch.text.len())?;
                let version = query.number("resourceVersion").ok().flatten().unwrap_or(0);
                let lines = lines(&watch.text).into_iter();
                let later = lines.filter(|line| wants_state || version_of(line) > version);
                Some(Recorded::Lines { lines: later.collect(), is_over: false })
            }
            Verb::Get
            | Verb::Create
            | Verb::Update
            | Verb::Patch
            | Verb::Delete
            | Verb::DeleteCollection => None,
        }
    }

    fn of(&self, place: &Place, is_fit: impl Fn(&Recording) -> bool) -> Vec<&Recording> {
        let is_same = |recording: &Recording| {
            let path = recording.entry.path.split('?').next().unwrap_or_default();
            Place::parse(path).is_some_and(|recorded| recorded == *place)
        };
        self.recordings.iter().filter(|r| is_same(r) && is_fit(r)).collect()
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(|line| format!("{line}\n")).collect()
}

fn version_of(line: &str) -> u64 {
    let event: Value = serde_json::from_str(line).unwrap_or_default();
    let version = json::text(&event, &["object", "metadata", "resourceVersion"]);
    version.and_then(|version| version.parse().ok()).unwrap_or(0)
}

//! Reading the API: lists in pages, streamed lists, and the lines of a watch.
//!
//! `kube::runtime::watcher` is not used, though the client, its types and its parameters are kube's. After a line
//! that cannot be read the watcher goes on with the next one, and it drops a line that ends too early without a
//! word (kube 5.0, `Client::request_events`): the change in it would be lost until the object changes again. It
//! asks again for ever from a version that an HTTP 410 has refused. And it keeps bookmarks to itself, so that
//! nobody can tell a quiet cluster from a dead watch.

use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use kube::api::{ListParams, WatchParams};
use kube::client::Body;
use serde::Deserialize;
use serde_json::value::RawValue;
use spillway_cluster::Kind;
use tokio::time::timeout;

use crate::connect::call::{self, Failure};
use crate::connect::link::Live;
use crate::connect::refusal::innermost;
use crate::settings::Clockwork;
use crate::watch::event::{self, Event};
use crate::watch::mirror::{Doubt, Listed};
use crate::watch::raw::Raw;

/// A page of 500 objects, each as large as etcd lets it be by default, would be longer; none is.
const PAGE_LEN_MAX: usize = 256 << 20;
/// etcd refuses objects of more than 1.5 MiB; the JSON of one may be somewhat longer than what is stored.
const LINE_LEN_MAX: usize = 16 << 20;

fn path(kind: Kind) -> &'static str {
    match kind {
        Kind::Service => "/api/v1/services",
        Kind::EndpointSlice => "/apis/discovery.k8s.io/v1/endpointslices",
        Kind::Node => "/api/v1/nodes",
    }
}

fn list_kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Service => "ServiceList",
        Kind::EndpointSlice => "EndpointSliceList",
        Kind::Node => "NodeList",
    }
}

/// A slice without this label belongs to no Service. Services are all read: each that is not served has a
/// reason to show.
fn selector(kind: Kind) -> Option<String> {
    match kind {
        Kind::EndpointSlice => Some("kubernetes.io/service-name".to_owned()),
        Kind::Service | Kind::Node => None,
    }
}

#[derive(Deserialize)]
struct Page<'a> {
    kind: String,
    metadata: PageMeta,
    /// The Go server writes an empty list as `null`.
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMeta {
    resource_version: String,
    r#continue: Option<String>,
}

/// Reads all objects, page by page. Consistent: without a version the answer comes from etcd's quorum.
pub(crate) async fn pages(
    live: &Live,
    kind: Kind,
    clockwork: &Clockwork,
) -> Result<Listed, Failure> {
    let mut listed = Listed::default();
    let mut token = None;
    loop {
        let params = ListParams {
            label_selector: selector(kind),
            limit: Some(clockwork.page_size),
            continue_token: token,
            ..ListParams::default()
        };
        let request = kube::core::Request::new(path(kind)).list(&params);
        let request = request.map_err(|error| Failure::broken(live, error))?;
        let body = call::begin(live, request, clockwork.answer_timeout).await?;
        let bytes = call::collect(live, body, PAGE_LEN_MAX, clockwork.answer_timeout).await?;
        token = take_page(live, kind, &bytes, &mut listed)?;
        if token.is_none() {
            listed.check().map_err(|doubt| Failure::broken(live, doubt))?;
            return Ok(listed);
        }
    }
}

/// Adds a page; gives the token of the next one.
fn take_page(
    live: &Live,
    kind: Kind,
    bytes: &[u8],
    listed: &mut Listed,
) -> Result<Option<String>, Failure> {
    let page: Page<'_> = serde_json::from_slice(bytes)
        .map_err(|error| Failure::broken(live, format!("the list of {kind}s: {error}")))?;
    if page.kind != list_kind(kind) || page.metadata.resource_version.is_empty() {
        return Err(Failure::broken(live, format!("this is no list of {kind}s")));
    }
    // Pages after the first are of the first one's version. Others are an inconsistent list, and not ours.
    if !listed.version.is_empty() && listed.version != page.metadata.resource_version {
        return Err(Failure::broken(live, Doubt::TwoVersions));
    }
    listed.version = page.metadata.resource_version;
    for item in page.items.unwrap_or_default() {
        match Raw::read(kind, item.get()) {
            Some(raw) => listed.put(raw),
            None => listed.nameless += 1,
        }
    }
    Ok(page.metadata.r#continue.filter(|token| !token.is_empty()))
}

/// Reads all objects as the beginning of a watch (KEP-3157), which then goes on.
pub(crate) async fn streamed(
    live: &Live,
    kind: Kind,
    clockwork: &Clockwork,
) -> Result<(Listed, Lines), Failure> {
    // Without a version: at least as fresh as etcd was when it was asked.
    let mut lines = begin(live, kind, clockwork, Start::WithEverything).await?;
    let mut listed = Listed::default();
    loop {
        let line = match timeout(clockwork.idle_timeout, lines.next()).await {
            Err(_) => return Err(Failure::broken(live, "the streamed list does not end")),
            Ok(Heard::End | Heard::Cut(_)) => {
                return Err(Failure::broken(live, "the streamed list broke off"));
            }
            Ok(Heard::Line(line)) => line,
        };
        match event::read(kind, &line) {
            Event::Put(raw) => listed.put(raw),
            Event::Gone(raw) => {
                listed.objects.remove(&raw.key);
            }
            Event::Nameless { version: _ } => listed.nameless += 1,
            Event::Bookmark { version: _, ends_list: false } => {}
            Event::Bookmark { version, ends_list: true } => {
                listed.version = version;
                listed.check().map_err(|doubt| Failure::broken(live, doubt))?;
                return Ok((listed, lines));
            }
            Event::Failed { code, message } => {
                let text = format!("api server {}: {code} {message}", live.url);
                return Err(Failure::Status { code, text, retry_after: None });
            }
            Event::Garbled => return Err(Failure::broken(live, Doubt::Garbled)),
        }
    }
}

/// Goes on from a position.
pub(crate) async fn follow(
    live: &Live,
    kind: Kind,
    clockwork: &Clockwork,
    position: &str,
) -> Result<Lines, Failure> {
    begin(live, kind, clockwork, Start::After(position)).await
}

enum Start<'a> {
    WithEverything,
    After(&'a str),
}

async fn begin(
    live: &Live,
    kind: Kind,
    clockwork: &Clockwork,
    start: Start<'_>,
) -> Result<Lines, Failure> {
    let (send_initial_events, version) = match start {
        Start::WithEverything => (true, ""),
        Start::After(version) => (false, version),
    };
    let params = WatchParams {
        label_selector: selector(kind),
        timeout: Some(server_timeout_s(clockwork.idle_timeout)),
        bookmarks: true,
        send_initial_events,
        ..WatchParams::default()
    };
    let request: Request<Vec<u8>> = kube::core::Request::new(path(kind))
        .watch(&params, version)
        .map_err(|error| Failure::broken(live, error))?;
    let body = call::begin(live, request, clockwork.answer_timeout).await?;
    Ok(Lines { body, buffer: Vec::new(), searched: 0 })
}

/// The API server ends a watch a little before we would call it dead, so that silence is never normal.
fn server_timeout_s(idle_timeout: Duration) -> u32 {
    // kube refuses 295 s and more.
    u32::try_from(idle_timeout.as_secs() * 5 / 6).unwrap_or(u32::MAX).clamp(1, 290)
}

/// The next thing that a stream brings.
#[derive(Debug)]
pub(crate) enum Heard {
    Line(Vec<u8>),
    /// The API server has ended the stream as it should.
    End,
    /// It broke off. Whatever was under way comes again after a new beginning.
    Cut(String),
}

/// The lines of a body.
pub(crate) struct Lines {
    body: Body,
    buffer: Vec<u8>,
    /// No newline before this.
    searched: usize,
}

impl Lines {
    /// Waits for a line. May be dropped while it waits: nothing is lost.
    pub(crate) async fn next(&mut self) -> Heard {
        loop {
            if let Some(line) = self.take_line() {
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                return Heard::Line(line);
            }
            if self.buffer.len() > LINE_LEN_MAX {
                return Heard::Cut(format!("a line longer than {LINE_LEN_MAX} bytes"));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
                Some(Err(error)) => return Heard::Cut(innermost(&error)),
                None if self.buffer.is_empty() => return Heard::End,
                None => return Heard::Cut("it ended within a line".to_owned()),
            }
        }
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        let fresh = self.buffer.get(self.searched..)?;
        let Some(offset) = fresh.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let end = self.searched + offset;
        let rest = self.buffer.split_off(end + 1);
        let mut line = std::mem::replace(&mut self.buffer, rest);
        line.truncate(end);
        self.searched = 0;
        Some(line)
    }
}

//! The stream of a WATCH: the pure cursor, woken by changes, with bookmarks, an end and faults.

use std::collections::VecDeque;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::faults::{Fault, Mangler, Step};
use crate::form::Form;
use crate::http::{Body, BrokenOff, json, lose_items, whole};
use crate::replay::Recorded;
use crate::server::{ApiServer, Live, lock};
use crate::status::Status;
use crate::watch::{Event, Watch};

/// The real server sends a last bookmark that long before a watch ends.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);

/// The body of a WATCH of the store.
pub(crate) fn body(
    server: &ApiServer,
    watch: Watch,
    form: Form,
    timeout: Duration,
    faults: &[Fault],
) -> Body {
    let mut lines = VecDeque::new();
    if faults.contains(&Fault::Expired) {
        let version = lock(&server.shared.store).version();
        let status = Status::expired(format!("too old resource version: 1 ({version})"));
        lines.push_back(Event::Error(status).line(watch.resource(), form, server.now()));
    }
    let is_over = !lines.is_empty();
    let source = Source { watch: Some((watch, form)).filter(|_| !is_over), is_over };
    Running::new(server, source, lines, timeout, faults).into_body()
}

/// The body of a recorded answer: a document, or lines after which the stream stays open.
pub(crate) fn recorded(
    server: &ApiServer,
    recorded: Recorded,
    faults: &[Fault],
    timeout: Duration,
) -> http::Response<Body> {
    match recorded {
        Recorded::Document { code, text } => json(code, whole(lose_items(text, faults), faults)),
        Recorded::Lines { lines, is_over } => {
            let source = Source { watch: None, is_over };
            json(200, Running::new(server, source, lines.into(), timeout, faults).into_body())
        }
    }
}

/// Where new lines come from once those at hand are sent.
struct Source {
    watch: Option<(Watch, Form)>,
    /// The stream ends when there are no more lines.
    is_over: bool,
}

struct Running {
    server: ApiServer,
    source: Source,
    changed: watch::Receiver<u64>,
    live: watch::Receiver<Live>,
    cuts_at_start: u64,
    deadline: Instant,
    bookmark_at: Instant,
    has_last_bookmark: bool,
    mangler: Mangler,
    lines: VecDeque<String>,
    steps: VecDeque<Step>,
    is_silent: bool,
}

impl Running {
    fn new(
        server: &ApiServer,
        source: Source,
        lines: VecDeque<String>,
        timeout: Duration,
        faults: &[Fault],
    ) -> Self {
        let live = server.shared.live.subscribe();
        let cuts_at_start = live.borrow().cuts;
        let now = Instant::now();
        let mangler = Mangler::new(faults);
        let mut running = Self {
            server: server.clone(),
            source,
            changed: server.shared.changed.subscribe(),
            live,
            cuts_at_start,
            deadline: now + timeout,
            bookmark_at: now + server.shared.bookmark_every,
            has_last_bookmark: timeout <= LAST_BOOKMARK,
            steps: mangler.start().into_iter().collect(),
            mangler,
            lines,
            is_silent: false,
        };
        running.poll_watch();
        running
    }

    fn into_body(self) -> Body {
        Body::Pieces(Box::pin(futures::stream::unfold(Some(self), |running| async move {
            let mut running = running?;
            match running.next().await {
                Some(Ok(bytes)) => Some((Ok(bytes), Some(running))),
                Some(Err(broken)) => Some((Err(broken), None)),
                None => None,
            }
        })))
    }

    /// The next piece of the body.
    async fn next(&mut self) -> Option<Result<Bytes, BrokenOff>> {
        loop {
            let live = *self.live.borrow_and_update();
            if live.cuts != self.cuts_at_start {
                return Some(Err(BrokenOff));
            }
            if !self.is_silent && !live.is_stalled {
                match self.next_step() {
                    Some(Step::Send(line)) => return Some(Ok(line.into())),
                    Some(Step::Cut) => return Some(Err(BrokenOff)),
                    Some(Step::End) => return None,
                    Some(Step::Stall) => self.is_silent = true,
                    None if self.is_over() => return None,
                    None => {}
                }
            }
            let last_bookmark = self.deadline.checked_sub(LAST_BOOKMARK).unwrap_or(self.deadline);
            let next_bookmark = if self.has_last_bookmark {
                self.bookmark_at
            } else {
                self.bookmark_at.min(last_bookmark)
            };
            tokio::select! {
                // In this order, so that a paused clock gives the same stream every time.
                biased;
                Ok(()) = self.live.changed() => {}
                Ok(()) = self.changed.changed() => self.poll_watch(),
                () = sleep_until(self.deadline) => {
                    // A stalled stream does not even end.
                    if self.is_silent || live.is_stalled {
                        self.deadline += Duration::from_hours(1);
                    } else {
                        return None;
                    }
                }
                () = sleep_until(next_bookmark) => {
                    self.has_last_bookmark |= Instant::now() >= last_bookmark;
                    self.bookmark_at = Instant::now() + self.server.shared.bookmark_every;
                    self.poll_bookmark();
                }
            }
        }
    }

    fn next_step(&mut self) -> Option<Step> {
        loop {
            if let Some(step) = self.steps.pop_front() {
                return Some(step);
            }
            let line = self.lines.pop_front()?;
            self.steps.extend(self.mangler.pass(&line));
        }
    }

    fn is_over(&self) -> bool {
        self.source.is_over || self.source.watch.as_ref().is_some_and(|(watch, _)| watch.is_over())
    }

    fn poll_watch(&mut self) {
        let Some((watch, form)) = &mut self.source.watch else { return };
        let events = watch.poll(&lock(&self.server.shared.store));
        let now = self.server.now();
        self.lines.extend(events.iter().map(|event| event.line(watch.resource(), *form, now)));
    }

    fn poll_bookmark(&mut self) {
        self.poll_watch();
        let Some((watch, form)) = &self.source.watch else { return };
        let bookmark = watch.bookmark(&lock(&self.server.shared.store));
        let now = self.server.now();
        self.lines.extend(bookmark.map(|event| event.line(watch.resource(), *form, now)));
    }
}

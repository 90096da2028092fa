//! The watch of one kind: read everything, judge it, follow; start again when in doubt.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use spillway_cluster::{Change, Kind};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::connect::call::Failure;
use crate::connect::link::{Link, Live};
use crate::pace::{Backoff, Jitter, Trouble};
use crate::settings::Clockwork;
use crate::watch::event;
use crate::watch::guard::{Guard, Judgement};
use crate::watch::mirror::{Doubt, Listed, Origin, Step};
use crate::watch::notice::{Closed, FeedState, Notice};
use crate::watch::shelf::Shelf;
use crate::watch::wire::{self, Heard, Lines};

/// The state is told again after so long even when nothing but its age has changed.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// A held read is repeated so many times during the hold, to notice early that all is well again.
const READS_PER_HOLD: u32 = 6;
/// A stream that ended sooner and brought nothing was of no use: opening it again is a retry.
const STREAM_USEFUL: Duration = Duration::from_millis(500);

/// How often the operator has accepted what is held, by kind.
pub(crate) type Accepts = BTreeMap<Kind, u64>;

/// What all kinds share.
#[derive(Clone)]
pub(crate) struct Common {
    pub(crate) link: Arc<Link>,
    pub(crate) clockwork: Clockwork,
    pub(crate) notices: mpsc::Sender<Notice>,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) accepted: watch::Receiver<Accepts>,
}

/// The task of one kind.
pub(crate) struct Feeder {
    kind: Kind,
    common: Common,
    guard: Guard,
    /// The operator's word up to here was about something else than the read that is held now.
    accepts_before: u64,
    backoff: Backoff,
    jitter: Jitter,
    state: FeedState,
    /// The state that the daemon was told last, and when.
    told: Option<(FeedState, Instant)>,
    /// Since when the API server has been answering with an older state than the known one.
    older_since: Option<Instant>,
    /// Complete reads in a row that knew better than the watch.
    surprises: u32,
    /// The next read is paged, because the last streamed one came to nothing.
    paged_next: bool,
    /// The API server has refused to stream lists.
    paged_always: bool,
}

impl Feeder {
    /// Begins with what an earlier run of ours has known, if anything.
    pub(crate) fn new(kind: Kind, common: Common) -> Self {
        let cached_at = match common.shelf.mirror(kind).origin() {
            Origin::Cache(at) => Some(at),
            Origin::Nothing | Origin::ApiServer => None,
        };
        let purpose = match kind {
            Kind::Service => 1,
            Kind::EndpointSlice => 2,
            Kind::Node => 3,
        };
        let jitter = Jitter::new(common.clockwork.seed, purpose);
        Self {
            kind,
            guard: Guard::new(kind, common.clockwork.hold),
            accepts_before: 0,
            backoff: Backoff::new(&common.clockwork, jitter.clone()),
            jitter,
            state: FeedState { cached_at, ..FeedState::default() },
            told: None,
            older_since: None,
            surprises: 0,
            paged_next: false,
            paged_always: !common.clockwork.streaming_lists,
            common,
        }
    }

    /// Runs until nobody listens.
    pub(crate) async fn run(mut self) {
        if self.state.cached_at.is_some() {
            let objects = self.common.shelf.objects(self.kind);
            let change = Change::Replace { kind: self.kind, objects };
            if self.send(Notice::Change(change)).await.is_err() {
                return;
            }
        }
        while let Ok(()) = self.round().await {}
    }

    /// From one complete read to the next.
    async fn round(&mut self) -> Result<(), Closed> {
        let live = self.live().await?;
        let (listed, lines) = match self.read(&live).await {
            Ok(read) => read,
            Err(failure) => return self.failed(&live, &failure).await,
        };
        self.state.last_contact = Some(Instant::now().into_std());
        self.state.nameless += listed.nameless as u64;
        if self.is_too_old(&listed) {
            self.common.link.failed(&live);
            return self.doubted(&Doubt::OlderRead).await;
        }
        let judgement = {
            let mirror = self.common.shelf.mirror(self.kind);
            self.guard.judge(mirror.keys(), listed.keys(), Instant::now().into_std())
        };
        match judgement {
            Judgement::Hold(held) => {
                if self.state.held.as_ref().is_none_or(|before| before.since != held.since) {
                    tracing::warn!(kind = %self.kind, kept = held.kept, lost = held.lost,
                        "the API server has lost most of them: its answer is kept back until it repeats \
                         it (`spillway kubernetes accept-shrink` takes it at once)");
                    self.accepts_before = accepts_of(self.kind, &self.common.accepted.borrow());
                }
                self.state.held = Some(held);
                self.state.error = None;
                self.tell().await?;
                self.wait_while_held().await
            }
            Judgement::Apply => {
                let relist_at = self.apply(listed).await?;
                self.follow(live, lines, relist_at).await
            }
        }
    }

    /// Waits for a client.
    async fn live(&mut self) -> Result<Live, Closed> {
        let mut changes = self.common.link.subscribe();
        loop {
            if let Some(live) = self.common.link.live() {
                return Ok(live);
            }
            self.state.error = self.common.link.error();
            self.tell().await?;
            // Why there is none may change while there is none.
            if let Ok(Err(_)) = timeout(TELL_EVERY, changes.changed()).await {
                return Err(Closed);
            }
        }
    }

    async fn read(&mut self, live: &Live) -> Result<(Listed, Option<Lines>), Failure> {
        let clockwork = &self.common.clockwork;
        if !self.paged_always && !std::mem::take(&mut self.paged_next) {
            match wire::streamed(live, self.kind, clockwork).await {
                Ok((listed, lines)) => return Ok((listed, Some(lines))),
                // 422: "sendInitialEvents is forbidden unless the WatchList feature gate is enabled".
                Err(Failure::Status { code: 400 | 422, .. }) => self.paged_always = true,
                Err(failure) => {
                    self.paged_next = !matches!(failure, Failure::Unreachable(_));
                    return Err(failure);
                }
            }
        }
        wire::pages(live, self.kind, clockwork).await.map(|listed| (listed, None))
    }

    /// An older state than the known one is believed only when the API server stands by it: its etcd was
    /// restored then, and did not just lag.
    fn is_too_old(&mut self, listed: &Listed) -> bool {
        if !self.common.shelf.mirror(self.kind).is_older(listed) {
            self.older_since = None;
            return false;
        }
        let since = *self.older_since.get_or_insert_with(Instant::now);
        since.elapsed() < self.common.clockwork.hold
    }

    /// Serves a complete read. Gives the time of the next one.
    async fn apply(&mut self, listed: Listed) -> Result<Instant, Closed> {
        let (objects, is_surprise) = {
            let mut mirror = self.common.shelf.mirror(self.kind);
            let is_surprise = !self.state.synced || !mirror.keys().eq(listed.objects.keys());
            mirror.replace(listed);
            (mirror.objects(), is_surprise)
        };
        self.common.shelf.tell_changed();
        self.older_since = None;
        let is_news = self.state.error.is_some() || self.state.held.is_some() || !self.state.synced;
        if is_news {
            tracing::info!(kind = %self.kind, count = objects.len(), "in step with the API server");
        }
        self.state = FeedState {
            synced: true,
            error: None,
            held: None,
            cached_at: None,
            ..self.state.clone()
        };
        self.send(Notice::Change(Change::Replace { kind: self.kind, objects })).await?;
        self.tell().await?;
        Ok(Instant::now() + self.until_relist(is_surprise))
    }

    /// A read that knows other objects than the watch did is looked at once more soon: one that was wrong,
    /// without being so wrong that it is held, heals with the next. A cluster that is just busy is asked less
    /// and less often.
    fn until_relist(&mut self, is_surprise: bool) -> Duration {
        let clockwork = &self.common.clockwork;
        let soon = clockwork.hold.saturating_mul(1 << self.surprises.min(8));
        self.surprises = if is_surprise { self.surprises + 1 } else { 0 };
        let until =
            if is_surprise { soon.min(clockwork.relist_every) } else { clockwork.relist_every };
        self.jitter.percent(until, 90, 110)
    }

    /// Follows the watch until everything has to be read again.
    async fn follow(
        &mut self,
        mut live: Live,
        mut lines: Option<Lines>,
        relist_at: Instant,
    ) -> Result<(), Closed> {
        loop {
            let stream = match lines.take() {
                Some(lines) => lines,
                None => match self.open(&live).await {
                    Ok(lines) => lines,
                    Err(failure) => {
                        self.failed(&live, &failure).await?;
                        let now = self.live().await?;
                        let is_elsewhere = now.url != live.url;
                        live = now;
                        if is_elsewhere || is_hopeless(&failure) || Instant::now() >= relist_at {
                            return Ok(());
                        }
                        continue;
                    }
                },
            };
            match self.listen(stream, relist_at).await? {
                Ended::Relist => return Ok(()),
                Ended::Reopen => {}
            }
            let now = self.live().await?;
            if now.url != live.url {
                return Ok(());
            }
            live = now;
        }
    }

    async fn open(&mut self, live: &Live) -> Result<Lines, Failure> {
        let position = self.common.shelf.mirror(self.kind).position().to_owned();
        let lines = wire::follow(live, self.kind, &self.common.clockwork, &position).await?;
        self.state.last_contact = Some(Instant::now().into_std());
        Ok(lines)
    }

    /// Listens to one stream.
    async fn listen(&mut self, mut lines: Lines, relist_at: Instant) -> Result<Ended, Closed> {
        let opened = Instant::now();
        let mut is_useful = false;
        let why = loop {
            if self.state.error.take().is_some() {
                tracing::info!(kind = %self.kind, "the watch goes on");
            }
            self.tell_sometimes().await?;
            let heard = tokio::select! {
                heard = timeout(self.common.clockwork.idle_timeout, lines.next()) => heard,
                () = sleep_until(relist_at) => return Ok(Ended::Relist),
            };
            match heard {
                Ok(Heard::Line(line)) => {
                    is_useful = true;
                    self.state.last_contact = Some(Instant::now().into_std());
                    if let Some(doubt) = self.take(&line).await? {
                        self.doubted(&doubt).await?;
                        return Ok(Ended::Relist);
                    }
                }
                Ok(Heard::End) => break "the watch ended at once".to_owned(),
                Ok(Heard::Cut(why)) => break format!("the watch broke off: {why}"),
                Err(_) => break "the watch fell silent".to_owned(),
            }
        };
        if is_useful || opened.elapsed() >= STREAM_USEFUL {
            // Not after a mere read: a watch that is doubted each time must not be read again each second.
            self.backoff.reset();
        } else {
            self.trouble(why, Trouble::Answered, Duration::ZERO).await?;
        }
        Ok(Ended::Reopen)
    }

    /// One line of the watch; says whether it can be believed.
    async fn take(&mut self, line: &[u8]) -> Result<Option<Doubt>, Closed> {
        let event = event::read(self.kind, line);
        let step = self.common.shelf.mirror(self.kind).event(event);
        let change = match step {
            Step::Nothing => return Ok(None),
            Step::Nameless => {
                self.state.nameless += 1;
                return Ok(None);
            }
            Step::Doubt(doubt) => return Ok(Some(doubt)),
            Step::Upsert(object) => Change::Upsert(object),
            Step::Delete(key) => Change::Delete { kind: self.kind, key },
        };
        self.common.shelf.tell_changed();
        self.send(Notice::Change(change)).await?;
        Ok(None)
    }

    async fn wait_while_held(&mut self) -> Result<(), Closed> {
        let (kind, before) = (self.kind, self.accepts_before);
        let wait = self.common.clockwork.hold / READS_PER_HOLD;
        let accepted = self.common.accepted.wait_for(|now| accepts_of(kind, now) > before);
        match timeout(wait, accepted).await {
            Err(_) => {}
            Ok(Err(_)) => return Err(Closed),
            Ok(Ok(accepts)) => {
                self.accepts_before = accepts_of(kind, &accepts);
                self.guard.accept(Instant::now().into_std());
            }
        }
        Ok(())
    }

    async fn failed(&mut self, live: &Live, failure: &Failure) -> Result<(), Closed> {
        if failure.code() == Some(401) {
            self.common.link.tell_unauthorized();
        }
        let is_switched = failure.is_of_endpoint() && self.common.link.failed(live);
        if is_switched {
            tracing::warn!(kind = %self.kind, "{}; trying the next endpoint", failure.text());
        }
        self.trouble(failure.text().to_owned(), failure.trouble(), failure.retry_after()).await
    }

    async fn doubted(&mut self, doubt: &Doubt) -> Result<(), Closed> {
        self.trouble(
            format!("{doubt}; reading everything again"),
            Trouble::Answered,
            Duration::ZERO,
        )
        .await
    }

    /// Says what is wrong, and waits.
    async fn trouble(
        &mut self,
        text: String,
        trouble: Trouble,
        wait_min: Duration,
    ) -> Result<(), Closed> {
        if self.state.error.as_ref() != Some(&text) {
            tracing::warn!(kind = %self.kind, "{text}");
        }
        self.state.error = Some(text);
        self.tell().await?;
        let wait = self.backoff.after(trouble).max(wait_min.min(self.common.clockwork.backoff_max));
        sleep(wait).await;
        Ok(())
    }

    /// Tells the state if it has changed.
    async fn tell(&mut self) -> Result<(), Closed> {
        if self.told.as_ref().is_some_and(|(told, _)| *told == self.state) {
            return Ok(());
        }
        self.told = Some((self.state.clone(), Instant::now()));
        self.send(Notice::Feed { kind: self.kind, state: self.state.clone() }).await
    }

    /// Tells the state if more than its age has changed, or its age has changed by much.
    async fn tell_sometimes(&mut self) -> Result<(), Closed> {
        let is_due = self.told.as_ref().is_none_or(|(told, at)| {
            let told = FeedState { last_contact: self.state.last_contact, ..told.clone() };
            told != self.state || at.elapsed() >= TELL_EVERY
        });
        if is_due { self.tell().await } else { Ok(()) }
    }

    async fn send(&self, notice: Notice) -> Result<(), Closed> {
        self.common.notices.send(notice).await.map_err(|_| Closed)
    }
}

fn accepts_of(kind: Kind, accepts: &Accepts) -> u64 {
    accepts.get(&kind).copied().unwrap_or_default()
}

/// How a stream ended.
enum Ended {
    /// The same position is good enough to go on from.
    Reopen,
    /// Everything has to be read again.
    Relist,
}

/// Asking again from the same position will not help: it is forgotten, or was never one.
fn is_hopeless(failure: &Failure) -> bool {
    matches!(failure.code(), Some(400 | 404 | 410 | 422))
}

//! The control loop: the cluster, the configuration and health become Generations, and the workers get them.
//!
//! ```text
//! watch ─ Notice → Link (Cluster → View) ─┐
//! configuration ──────────────────────────┴→ Builder (Judge ← Turn ─ host stack) → Tables → Publisher
//! workers acknowledge → Link (Herald → status, events)
//! ```

mod builder;
mod herald;
mod link;
#[cfg(test)]
mod samples;
mod shown;

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use spillway_control::health::{Extremes, Judge, Moment, Turn};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::desk::Desk;
use crate::publish::Publisher;
pub(crate) use builder::Builder;
pub(crate) use link::Link;
use link::News;

/// How often the workers are asked what they serve while a write waits for them. They answer within a burst.
const ACKNOWLEDGE_POLL: Duration = Duration::from_millis(2);

/// The control loop of a running box.
#[derive(Debug)]
pub(crate) struct Control {
    builder: Builder,
    publisher: Publisher,
    desk: Arc<Desk>,
    turns: UnboundedReceiver<Turn>,
    /// `None`: static mode.
    link: Option<Link>,
    /// As they were last reported.
    extremes: Extremes,
}

/// What woke the loop.
enum Wake {
    Turn(Option<Turn>),
    News(News),
    /// A backend that was held may leave.
    Due,
    /// The workers may have acknowledged.
    Acknowledged,
}

impl Control {
    /// Tells the host stack what is served, and is ready to step.
    pub(crate) fn new(
        builder: Builder,
        publisher: Publisher,
        desk: Arc<Desk>,
        turns: UnboundedReceiver<Turn>,
        link: Option<Link>,
    ) -> Self {
        desk.host.order(builder.order());
        Self { builder, publisher, desk, turns, link, extremes: Extremes::default() }
    }

    /// Waits for news and publishes what follows from them.
    pub(crate) async fn step(&mut self) {
        let wake = self.wake().await;
        let mut changed = match wake {
            Wake::Turn(Some(turn)) => self.note(&turn),
            // The host stack is gone: what is known is served on.
            Wake::Turn(None) => return std::future::pending().await,
            Wake::Due => true,
            Wake::News(news) => self.hear(news),
            Wake::Acknowledged => false,
        };
        // What has come meanwhile goes into the same Generation.
        while let Ok(more) = self.turns.try_recv() {
            changed |= self.note(&more);
        }
        if changed {
            self.publish();
        }
        if let Some(link) = &mut self.link {
            link.work(self.publisher.adopted());
        }
    }

    /// Stops watching, and gives the Lease back.
    pub(crate) async fn stop(self) {
        if let Some(link) = self.link {
            link.stop().await;
        }
    }

    async fn wake(&mut self) -> Wake {
        let due = self.judge().next_change();
        let wait = due.map(|due| due.since(self.now()));
        let adopted = self.publisher.adopted();
        let waits = self.link.as_ref().is_some_and(|link| link.waits_for(adopted));
        let link = &mut self.link;
        let news = async move {
            match link {
                Some(link) => link.news().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            turn = self.turns.recv() => Wake::Turn(turn),
            news = news => Wake::News(news),
            () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => Wake::Due,
            () = tokio::time::sleep(ACKNOWLEDGE_POLL), if waits => Wake::Acknowledged,
        }
    }

    /// Takes in what the cluster says; true when something else is to be served.
    fn hear(&mut self, news: News) -> bool {
        let Some(link) = &mut self.link else { return false };
        let Some(view) = link.take(news) else { return false };
        if self.builder.set_view(&view) {
            self.desk.host.order(self.builder.order());
            return true;
        }
        // What is served already keeps what is promised now.
        if let Some(newest) = self.publisher.newest() {
            link.built(newest.generation);
        }
        false
    }

    fn publish(&mut self) {
        let previous = self.publisher.newest().cloned();
        let (snapshot, tables) = self.builder.build(self.now(), previous.as_deref());
        tracing::debug!(generation = snapshot.generation.get(), "publishing");
        self.publisher.publish(tables);
        if let Some(link) = &mut self.link {
            link.built(snapshot.generation);
        }
        self.desk.set_snapshot(snapshot);
        self.report_extremes();
    }

    fn now(&self) -> Moment {
        Moment::from_elapsed(self.desk.started.elapsed())
    }

    fn judge(&self) -> MutexGuard<'_, Judge> {
        self.builder.judge().lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a turn; true when a standing may follow from it.
    fn note(&self, turn: &Turn) -> bool {
        let mut judge = self.judge();
        let matters = judge.note(turn);
        match judge.users(&turn.check) {
            Some((1, service)) => tracing::info!("service {}: {turn}", service.name),
            Some((users, service)) => {
                tracing::info!("service {} and {} more: {turn}", service.name, users - 1);
            }
            None => {}
        }
        matters
    }

    /// Says when the limits of ejection begin or cease to overrule the checks.
    fn report_extremes(&mut self) {
        let extremes = self.judge().extremes();
        if extremes != self.extremes {
            let Extremes { failing_open, held } = extremes;
            tracing::warn!(
                "services that serve by failing backends alone: {failing_open}; failing backends \
                 that serve until others are back or the window has passed: {held}"
            );
            self.extremes = extremes;
        }
    }
}

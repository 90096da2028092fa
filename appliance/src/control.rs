//! The control loop: model and health become Generations, and the workers get them.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use spillway_control::health::{Extremes, Judge, Moment, Turn};
use spillway_control::settings::Settings;
use spillway_lb::hash::HashKey;
use spillway_lb::snapshot::{Identities, Snapshot};
use spillway_lb::tables::Tables;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::desk::Desk;
use crate::host_thread::Order;
use crate::publish::Publisher;

/// Builds Generations. Before the workers run it has nobody to publish to.
#[derive(Debug)]
pub(crate) struct Builder {
    settings: Arc<Settings>,
    key: HashKey,
    identities: Identities,
    /// What the health checks have said so far. Shared with the desk, which shows it.
    judge: Arc<Mutex<Judge>>,
}

/// The control loop of a running box.
#[derive(Debug)]
pub(crate) struct Control {
    builder: Builder,
    publisher: Publisher,
    desk: Arc<Desk>,
    turns: UnboundedReceiver<Turn>,
    /// As they were last reported.
    extremes: Extremes,
}

impl Builder {
    pub(crate) fn new(settings: Arc<Settings>, key: HashKey) -> Self {
        let mut judge = Judge::default();
        judge.set_model(&settings.model);
        let judge = Arc::new(Mutex::new(judge));
        Self { settings, key, identities: Identities::default(), judge }
    }

    pub(crate) fn judge(&self) -> Arc<Mutex<Judge>> {
        Arc::clone(&self.judge)
    }

    /// The next Generation: as it is shown, and as the workers use it.
    pub(crate) fn build(&mut self, now: Moment) -> (Arc<Snapshot>, Tables) {
        let Self { settings, key, identities, judge } = self;
        let mut judge = judge.lock().unwrap_or_else(PoisonError::into_inner);
        let standings = |service: &_| judge.standings(service, now);
        let snapshot = identities.snapshot(&settings.model, standings);
        let tables = Tables::compile(&snapshot, &settings.network, *key);
        (Arc::new(snapshot), tables)
    }
}

impl Control {
    /// Tells the host stack what is served, and is ready to step.
    pub(crate) fn new(
        builder: Builder,
        publisher: Publisher,
        desk: Arc<Desk>,
        turns: UnboundedReceiver<Turn>,
    ) -> Self {
        let model = &builder.settings.model;
        let v4 = |address: IpAddr| match address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        };
        let frontends = model.services.iter().flat_map(|service| &service.frontends);
        let backends = model.services.iter().flat_map(|service| &service.backends);
        let frontends: Vec<Ipv4Addr> =
            frontends.filter_map(|frontend| v4(frontend.address)).collect();
        let backends: Vec<Ipv4Addr> = backends.filter_map(|backend| v4(backend.address)).collect();
        let checks = builder.judge.lock().unwrap_or_else(PoisonError::into_inner).checks();
        desk.host.order(Order::Serve { frontends, backends, checks });
        Self { builder, publisher, desk, turns, extremes: Extremes::default() }
    }

    /// Waits for news and publishes what follows from them.
    pub(crate) async fn step(&mut self) {
        let due = self.judge().next_change();
        let wait = due.map(|due| due.since(self.now()));
        let changed = tokio::select! {
            turn = self.turns.recv() => match turn {
                Some(turn) => self.note(&turn),
                // The host stack is gone: what is known is served on.
                None => return std::future::pending().await,
            },
            () = tokio::time::sleep(wait.unwrap_or(Duration::MAX)), if wait.is_some() => true,
        };
        let mut changed = changed;
        // What has come meanwhile goes into the same Generation.
        while let Ok(more) = self.turns.try_recv() {
            changed |= self.note(&more);
        }
        if !changed {
            return;
        }
        let (snapshot, tables) = self.builder.build(self.now());
        tracing::info!(generation = snapshot.generation.get(), "publishing");
        self.publisher.publish(tables);
        self.desk.set_snapshot(snapshot);
        self.report_extremes();
    }

    fn now(&self) -> Moment {
        Moment::from_elapsed(self.desk.started.elapsed())
    }

    fn judge(&self) -> MutexGuard<'_, Judge> {
        self.builder.judge.lock().unwrap_or_else(PoisonError::into_inner)
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

//! The agent: what is to be served and what there is become rows and attachments.
//!
//! ```text
//! Source ──→ NodeView ─┐                       ┌→ maps ──→ vanished backends → Reaper (a thread of its own)
//! Devices → NodePlaces ┴→ Sync (Ledger, steps) ┘
//! Devices ─────────────→ Datapath: attach, detach       every second: look after all of it
//! namespaces ──────────→ clients
//! ```
//!
//! The loop is level-triggered: whatever woke it, what is wanted is compared with what there is. It may end at any
//! moment, by SIGTERM as by SIGKILL: what is in the kernel goes on, and the next agent takes it up.

use std::fs::File;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use spillway_cluster::node::NodeView;
use spillway_control::settings::node::NodeSettings;
use spillway_lb::model::{Affinity, Timeouts};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::attach::{self, Attachments};
use crate::clients::{self, Clients};
use crate::clock;
use crate::devices::{DeviceView, Devices};
use crate::gc::Collector;
use crate::health::Health;
use crate::layout;
use crate::ledger::{GoneBackend, NodePlaces};
use crate::maps::Maps;
use crate::names::Names;
use crate::namespaces::{self, Found, Namespace, Places};
use crate::pins::Pins;
use crate::places::{node_places, settings_row};
use crate::reaper::{Reaped, Reaper, Rows};
use crate::source::Source;
use crate::status::{StateDir, Status, unix_seconds};
use crate::sync::{Outcome, Sync};

/// How often everything is looked after.
const ROUND: Duration = Duration::from_secs(1);
/// Rounds between two looks at the attachments.
const ROUNDS_PER_CHECK: u64 = 3;
/// Rounds between two looks at the network namespaces, if nothing says that one came.
const ROUNDS_PER_SCAN: u64 = 30;

/// Between two sweeps of conntrack and nat, and between two slices of one.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
const SWEEP_PAUSE: Duration = Duration::from_millis(5);

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// What could not be started, and why.
pub fn run(settings: NodeSettings) -> anyhow::Result<()> {
    let state = StateDir::new(&settings.state_dir);
    state.create().with_context(|| format!("state_dir: cannot make {}", state.path().display()))?;
    let lock = state.try_lock().with_context(|| format!("lock {}", state.path().display()))?;
    let Some(lock) = lock else {
        bail!("state_dir {}: another spillway-node runs from it", state.path().display());
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async { Agent::start(settings, state, lock)?.serve().await })
}

/// What woke the loop.
enum Wake {
    Services,
    Devices,
    Scanned(Option<Found<Namespace>>),
    Reaped(Option<Reaped>),
    Round,
    Stop,
}

struct Agent {
    settings: NodeSettings,
    state: StateDir,
    source: Source,
    /// As last seen.
    view: Option<Arc<NodeView>>,
    devices: Devices,
    device_view: watch::Receiver<Arc<DeviceView>>,
    attachments: Attachments,
    maps: Maps,
    sync: Sync,
    clients: Clients,
    health: Health,
    host_netns: Option<u64>,
    clock: Instant,
    retry_at: Option<Duration>,
    row: layout::Settings,
    scan: Option<JoinHandle<std::io::Result<Found<Namespace>>>>,
    /// Backends whose sockets are to be closed, once the reaper is free.
    gone: Vec<GoneBackend>,
    reaper: Arc<Reaper>,
    reaping: Option<JoinHandle<std::io::Result<Reaped>>>,
    status: Status,
    rounds: u64,
    _lock: File,
}

impl Agent {
    fn start(settings: NodeSettings, state: StateDir, lock: File) -> anyhow::Result<Self> {
        let datapath = attach::load(&settings)?;
        let pins = Pins::new(&settings.datapath.pins);
        let mut maps = Maps::open(&pins)?;
        let sync = Sync::adopt(&mut maps)?;
        let rows = maps.devices.iter().collect::<Result<_, _>>().context("map devices")?;
        let clients = maps.clients.iter().collect::<Result<Vec<_>, _>>().context("map clients")?;
        let devices = Devices::start(attach::rules(&settings, &[]))?;
        let status = Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: unix_seconds(),
            node: settings.policy.node.clone(),
            kernel: datapath.features().sentences(),
            ..Status::default()
        };
        for line in datapath.notes().iter().chain(&status.kernel) {
            tracing::info!("{line}");
        }
        collect_garbage(&pins)?;
        Ok(Self {
            source: Source::start(settings.policy.clone(), settings.kubernetes.as_ref())?,
            view: None,
            device_view: devices.view(),
            devices,
            attachments: Attachments::new(datapath, rows),
            maps,
            sync,
            clients: Clients::adopt(clients),
            health: Health::start(settings.health),
            host_netns: namespaces::cookie().context("the cookie of this network namespace")?,
            clock: Instant::now(),
            retry_at: Some(Duration::ZERO),
            row: layout::Settings::default(),
            scan: None,
            gone: Vec::new(),
            reaper: Arc::new(reaper(&settings, &pins)),
            reaping: None,
            status,
            rounds: 0,
            settings,
            state,
            _lock: lock,
        })
    }

    async fn serve(mut self) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut round = tokio::time::interval(ROUND);
        loop {
            let wake = tokio::select! {
                () = self.source.changed() => Wake::Services,
                changed = self.device_view.changed() => {
                    changed.context("the devices of this node are not watched any more")?;
                    Wake::Devices
                }
                found = done(&mut self.scan) => Wake::Scanned(found),
                reaped = done(&mut self.reaping) => Wake::Reaped(reaped),
                _ = round.tick() => Wake::Round,
                _ = terminate.recv() => Wake::Stop,
                _ = interrupt.recv() => Wake::Stop,
            };
            match wake {
                Wake::Services => self.serve_services(),
                Wake::Devices => {
                    self.serve_services();
                    self.scan();
                }
                Wake::Scanned(found) => self.note_clients(found),
                Wake::Reaped(reaped) => self.note_reaped(reaped),
                Wake::Round => self.round(),
                Wake::Stop => break,
            }
        }
        tracing::info!("stopped; what is in the kernel goes on serving");
        self.source.stop().await;
        Ok(())
    }

    /// Makes the maps and the attachments follow what is known.
    fn serve_services(&mut self) {
        let devices = Arc::clone(&self.device_view.borrow_and_update());
        if let Some(view) = self.source.view() {
            self.devices.set_node_addresses(&view.node_addresses);
            self.view = Some(view);
        }
        if let Some(view) = self.view.clone() {
            let internal = &view.node_addresses;
            let places = node_places(&self.settings.node_ports, internal, &devices);
            let written = self.write(&view, &places);
            if let Err(error) = &written {
                tracing::error!("{error:#}; what was served before still is");
                self.status.failed = vec![format!("{error:#}")];
            }
            self.health.set(&view, written.is_ok());
        }
        let adjust = attach::adjust(self.settings.datapath.delivery);
        if let Err(error) = self.attachments.write_rows(&mut self.maps, &devices, adjust) {
            tracing::error!("map devices: {error}; maps.devices of the configuration makes room");
        }
        self.attach(&devices);
    }

    fn write(&mut self, view: &NodeView, places: &NodePlaces) -> anyhow::Result<()> {
        let row = settings_row(&self.settings, &view.node_addresses, places, self.host_netns);
        if row != self.row {
            self.maps.settings.set(0, row, 0).context("map settings")?;
            self.row = row;
        }
        let clock = self.clock;
        let outcome = self.sync.sync(&mut self.maps, view, places, || clock.elapsed())?;
        self.note_outcome(view, outcome);
        Ok(())
    }

    fn note_outcome(&mut self, view: &NodeView, outcome: Outcome) {
        let Outcome { touched, steps, failed, gone, retry_at, names_changed, spent } = outcome;
        if !steps.is_empty() {
            tracing::debug!(touched, ?steps, ?spent, "the maps follow");
        }
        let sentences: Vec<String> = failed.into_iter().map(|it| it.reason).collect();
        for sentence in sentences.iter().filter(|it| !self.status.failed.contains(it)) {
            tracing::error!("{sentence}");
        }
        self.status.failed = sentences;
        self.status.failed.extend(view.refused.iter().cloned());
        self.retry_at = retry_at;
        self.gone.extend(gone);
        self.reap();
        if names_changed {
            let names: Names = self.sync.ledger().names().collect();
            if let Err(error) = names.write(&self.state.names()) {
                tracing::warn!("{error}");
            }
        }
        let usage = self.sync.ledger().usage();
        self.status.services = usage.services.into();
        self.status.frontends = usage.frontends.into();
        self.status.backends = usage.backends.into();
        self.status.synced_at = Some(unix_seconds());
    }

    /// Attaches what is not: at first only when the maps say what is to be served, be it from before.
    fn attach(&mut self, devices: &DeviceView) {
        if self.attachments.is_attached() {
            self.attachments.follow(devices);
            return;
        }
        let is_filled = self.view.is_some() || self.attachments.datapath().fresh().is_empty();
        if is_filled && let Err(error) = self.attachments.begin(devices) {
            tracing::error!("{error}; it is tried again");
        }
    }

    /// Closes sockets whose backend vanished, one search after the other.
    fn reap(&mut self) {
        if self.gone.is_empty() || self.reaping.is_some() {
            return;
        }
        let (gone, reaper) = (std::mem::take(&mut self.gone), Arc::clone(&self.reaper));
        self.reaping = Some(tokio::task::spawn_blocking(move || Ok(reaper.reap(&gone))));
    }

    fn note_reaped(&mut self, reaped: Option<Reaped>) {
        self.reaping = None;
        if let Some(reaped) = reaped {
            reaped.errors.iter().for_each(|error| tracing::warn!("closing sockets: {error}"));
            if reaped.sockets > 0 {
                let sockets = reaped.sockets;
                tracing::info!(sockets, "closed sockets whose backend had vanished");
            }
            self.status.sockets_closed += reaped.sockets as u64;
        }
        self.reap();
    }

    /// Looks who the clients are, if any Service asks.
    fn scan(&mut self) {
        let is_asked = self.view.as_ref().is_some_and(|view| {
            view.services.iter().any(|service| service.affinity != Affinity::None)
        });
        if is_asked && self.scan.is_none() {
            self.scan = Some(tokio::task::spawn_blocking(|| namespaces::list(&Places::default())));
        }
    }

    fn note_clients(&mut self, found: Option<Found<Namespace>>) {
        self.scan = None;
        let Some(found) = found else { return };
        let host = layout::Client { ipv4: self.row.node_ipv4, ipv6: self.row.node_ipv6 };
        let host = self.host_netns.map(|cookie| (cookie, host));
        for write in self.clients.follow(&found.found, host) {
            let written = match write {
                clients::Write::Put(cookie, client) => self.maps.clients.insert(cookie, client, 0),
                clients::Write::Delete(cookie) => self.maps.clients.remove(&cookie),
            };
            if let Err(error) = written {
                tracing::warn!(
                    "map clients: {error}; maps.clients of the configuration makes room"
                );
            }
        }
    }

    /// Once a second.
    fn round(&mut self) {
        self.rounds += 1;
        if self.retry_at.is_some_and(|at| at <= self.clock.elapsed()) {
            self.retry_at = None;
            self.serve_services();
        }
        if self.rounds.is_multiple_of(ROUNDS_PER_CHECK) {
            self.attachments.check();
            let devices = Arc::clone(&self.device_view.borrow());
            self.attach(&devices);
        }
        if self.rounds % ROUNDS_PER_SCAN == 1 {
            self.scan();
        }
        self.say();
    }

    /// Writes the status.
    fn say(&mut self) {
        self.status.written_at = unix_seconds();
        self.status.source = self.source.name();
        self.status.warnings = self.source.warnings();
        self.status.warnings.extend(self.health.complaints());
        self.status.attached = self.attachments.lines();
        self.status.attach_lost = self.attachments.lost();
        if let Err(error) = self.state.write(&self.status) {
            tracing::warn!(
                "the status cannot be written to {}: {error}",
                self.state.path().display()
            );
        }
    }
}

/// The result of a task, once there is one; its own errors are told here. Without a task: never.
async fn done<T>(task: &mut Option<JoinHandle<std::io::Result<T>>>) -> Option<T> {
    let Some(task) = task else { return std::future::pending().await };
    match task.await {
        Ok(Ok(value)) => Some(value),
        Ok(Err(error)) => {
            tracing::warn!("{error}");
            None
        }
        Err(error) => {
            tracing::error!("a thread of the agent died: {error}");
            None
        }
    }
}

fn reaper(settings: &NodeSettings, pins: &Pins) -> Reaper {
    let rows = Rows::load(pins);
    if let Err(error) = &rows {
        tracing::warn!(
            "{error}; sockets of vanished backends are known by their peers' addresses alone"
        );
    }
    Reaper::new(rows.ok(), Places::default(), settings.datapath.reap_tcp)
}

/// Sweeps away rows of flows that are over, for as long as the process lives.
fn collect_garbage(pins: &Pins) -> anyhow::Result<()> {
    let mut collector = Collector::open(pins)?;
    let sweeps = move || {
        let timeouts = Timeouts::default();
        loop {
            thread::sleep(SWEEP_EVERY);
            match collector.sweep(&timeouts, clock::monotonic_ns, || thread::sleep(SWEEP_PAUSE)) {
                Ok(swept) => tracing::debug!(?swept, "rows of flows that are over"),
                Err(error) => tracing::warn!("conntrack and nat cannot be swept: {error}"),
            }
        }
    };
    thread::Builder::new().name("sweep".to_owned()).spawn(sweeps).context("a thread to sweep")?;
    Ok(())
}

//! `service list`, `backend list`, `health list`.

use std::collections::{BTreeMap, HashMap};
use std::net::{SocketAddr, SocketAddrV4};

use spillway_admin::{
    BackendRow, BackendState, CheckKind, FrontendKind, HealthRow, HealthState, Protocol, Scheduler,
    ServiceBackendRow, ServiceFilter, ServiceRow,
};
use spillway_control::health::{self, State};
use spillway_lb::ids::BackendId;
use spillway_lb::model;
use spillway_lb::snapshot::{Snapshot, SnapshotBackend, SnapshotService};

use super::conntrack::protocol;
use crate::desk::{Desk, DeskError};
use crate::host_thread::View;

/// Live flows, counted in one walk over the flow tables.
#[derive(Debug, Default)]
struct FlowCounts {
    frontends: HashMap<(SocketAddrV4, model::Protocol), u64>,
    /// By frontend and backend.
    pairs: HashMap<(SocketAddrV4, model::Protocol, BackendId), u64>,
    backends: HashMap<(SocketAddrV4, model::Protocol), u64>,
}

async fn count_flows(desk: &Desk) -> Result<FlowCounts, DeskError> {
    let mut counts = FlowCounts::default();
    for worker in 0..desk.workers() {
        let mut from = Some(0);
        while let Some(at) = from {
            let page = desk.flows(worker, at).await?;
            from = page.next;
            for record in &page.records {
                let protocol = record.protocol();
                let frontend = record.original().destination;
                let backend = record.reply().source;
                *counts.frontends.entry((frontend, protocol)).or_default() += 1;
                *counts.backends.entry((backend, protocol)).or_default() += 1;
                let pair = (frontend, protocol, record.backend_id());
                *counts.pairs.entry(pair).or_default() += 1;
            }
        }
    }
    Ok(counts)
}

const fn v4(address: SocketAddr) -> Option<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
    }
}

fn address(backend: &SnapshotBackend) -> SocketAddr {
    SocketAddr::new(backend.backend.address, backend.backend.port)
}

/// What the health checks say, by service and backend: a look-up, not a search, for each of the many
/// backends of many services.
type Checked<'v> = HashMap<(&'v str, SocketAddr), &'v health::Row>;

fn checked(view: &View) -> Checked<'_> {
    let key = |row: &'_ health::Row| SocketAddr::V4(row.target.backend);
    view.health.iter().map(|row| ((row.target.service.as_str(), key(row)), row)).collect()
}

fn state(backend: &SnapshotBackend, row: Option<&health::Row>) -> (BackendState, Option<String>) {
    if let Some(State::Down(error)) = row.map(|row| row.state) {
        return (BackendState::Down, Some(error.to_string()));
    }
    if backend.backend.weight == 0 {
        return (BackendState::Drained, None);
    }
    (BackendState::Active, None)
}

/// One row per frontend, numbered from 1 in the order of the configuration.
pub(super) async fn services(
    desk: &Desk,
    filter: &ServiceFilter,
) -> Result<Vec<ServiceRow>, DeskError> {
    let (view, flows) = (desk.view().await?, count_flows(desk).await?);
    let checks = checked(&view);
    let totals = desk.service_counts().await?;
    let snapshot = desk.snapshot();
    let frontends = snapshot.services.iter().flat_map(|service| {
        service.service.frontends.iter().map(move |frontend| (service, frontend))
    });
    let numbered = (1..).zip(frontends);
    let listed = numbered.filter(|(_, (service, _))| filter.matches(&service.service.name));
    let rows = listed.map(|(id, (service, frontend))| {
        let at = SocketAddr::new(frontend.address, frontend.port);
        let key = v4(at).map(|at| (at, frontend.protocol));
        let backend_row = |(index, backend): (u32, &SnapshotBackend)| {
            let row = checks.get(&(service.service.name.as_str(), address(backend))).copied();
            let (state, reason) = state(backend, row);
            let pair = key.map(|(at, protocol)| (at, protocol, backend.id));
            let flows = pair.and_then(|pair| flows.pairs.get(&pair));
            ServiceBackendRow {
                index,
                address: address(backend),
                state,
                reason,
                weight: backend.backend.weight,
                flows: flows.copied().unwrap_or(0),
            }
        };
        let total = totals.get(&service.id).copied().unwrap_or_default();
        ServiceRow {
            id,
            name: service.service.name.clone(),
            frontend: at,
            protocol: protocol(frontend.protocol),
            kind: kind(service.service.kind),
            scheduler: match service.service.scheduler {
                model::Scheduler::Random => Scheduler::Random,
                model::Scheduler::Maglev => Scheduler::Maglev,
            },
            backends: (1..).zip(&service.backends).map(backend_row).collect(),
            flows: key.and_then(|key| flows.frontends.get(&key)).copied().unwrap_or(0),
            flows_total: total.flows_created,
            refused_total: total.refused,
        }
    });
    Ok(rows.collect())
}

const fn kind(kind: model::ServiceKind) -> FrontendKind {
    match kind {
        model::ServiceKind::ClusterIp => FrontendKind::ClusterIp,
        model::ServiceKind::NodePort => FrontendKind::NodePort,
        model::ServiceKind::LoadBalancer => FrontendKind::LoadBalancer,
        model::ServiceKind::ExternalIp => FrontendKind::ExternalIp,
    }
}

/// Backends by address and protocol, merged over the services that use them; the worst state shows.
pub(super) async fn backends(desk: &Desk) -> Result<Vec<BackendRow>, DeskError> {
    let (view, flows) = (desk.view().await?, count_flows(desk).await?);
    let checks = checked(&view);
    let snapshot = desk.snapshot();
    let mut rows: BTreeMap<(SocketAddr, Protocol), BackendRow> = BTreeMap::new();
    for (service, backend, served) in uses(&snapshot) {
        let row = checks.get(&(service.service.name.as_str(), address(backend))).copied();
        let (state, reason) = state(backend, row);
        let since = row.map_or(desk.started.elapsed(), |row| view.now.since(row.since));
        let at = address(backend);
        let flows = v4(at).and_then(|at| flows.backends.get(&(at, served)));
        let entry = rows.entry((at, protocol(served))).or_insert_with(|| BackendRow {
            address: at,
            protocol: protocol(served),
            services: Vec::new(),
            state,
            reason: reason.clone(),
            weight: backend.backend.weight,
            since_seconds: since.as_secs(),
            flows: flows.copied().unwrap_or(0),
        });
        if !entry.services.contains(&service.service.name) {
            entry.services.push(service.service.name.clone());
        }
        if state == BackendState::Down && entry.state != BackendState::Down {
            (entry.state, entry.reason) = (state, reason);
            entry.since_seconds = since.as_secs();
        }
    }
    Ok(rows.into_values().collect())
}

/// Every backend of every service, once per protocol that the service's frontends speak.
fn uses(
    snapshot: &Snapshot,
) -> impl Iterator<Item = (&SnapshotService, &SnapshotBackend, model::Protocol)> {
    snapshot.services.iter().flat_map(|service| {
        let mut protocols: Vec<_> =
            service.service.frontends.iter().map(|frontend| frontend.protocol).collect();
        protocols.sort_unstable();
        protocols.dedup();
        service.backends.iter().flat_map(move |backend| {
            protocols.clone().into_iter().map(move |protocol| (&**service, backend, protocol))
        })
    })
}

pub(super) async fn health(desk: &Desk) -> Result<Vec<HealthRow>, DeskError> {
    let view = desk.view().await?;
    let snapshot = desk.snapshot();
    let named: HashMap<&str, &SnapshotService> =
        snapshot.services.iter().map(|it| (it.service.name.as_str(), &**it)).collect();
    let check_of = |name: &str| named.get(name)?.service.checks.first();
    let rows = view.health.iter().filter_map(|row| {
        let check = check_of(&row.target.service)?;
        Some(HealthRow {
            service: row.target.service.clone(),
            backend: SocketAddr::V4(row.target.backend),
            kind: match row.kind {
                model::CheckKind::Tcp => CheckKind::Tcp,
                model::CheckKind::Http { .. } | model::CheckKind::NodeEndpoints => CheckKind::Http,
            },
            target: target(row),
            state: match row.state {
                State::Unknown => HealthState::Unknown,
                State::Up => HealthState::Up,
                State::Down(_) => HealthState::Down,
            },
            last_error: row.last_error.map(|error| error.to_string()),
            last_check_seconds_ago: row.last_check.map(|at| view.now.since(at).as_secs()),
            last_latency_micros: row.last_latency.map(micros),
            successes: row.successes,
            failures: row.failures,
            transitions: row.transitions,
            interval_millis: millis(check.interval),
            timeout_millis: millis(check.timeout),
            fall: check.fall,
            rise: check.rise,
        })
    });
    Ok(rows.collect())
}

/// What is asked: `10.0.1.72:80`, or `http://10.0.1.72:80/healthz`.
fn target(row: &health::Row) -> String {
    match &row.kind {
        model::CheckKind::Tcp => row.address.to_string(),
        model::CheckKind::Http { path, .. } => format!("http://{}{path}", row.address),
        model::CheckKind::NodeEndpoints => format!("http://{}/", row.address),
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

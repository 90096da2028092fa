//! `service list`, `backend list`, `health list`.

use std::collections::{BTreeMap, HashMap};
use std::net::{SocketAddr, SocketAddrV4};

use spillway_admin::{
    BackendRow, BackendState, CheckKind, FrontendKind, HealthRow, HealthState, Protocol, Scheduler,
    ServiceBackendRow, ServiceFilter, ServiceRow,
};
use spillway_control::health::{
    self, Check, Judge, JudgeView, Judgement, Moment, ProbeError, State,
};
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

/// What each check has shown.
type Shown<'v> = HashMap<&'v Check, &'v health::Row>;

fn shown(view: &View) -> Shown<'_> {
    view.health.iter().map(|row| (&*row.check, row)).collect()
}

/// Whether a backend takes new flows, and what there is to say about it.
fn state(
    backend: &SnapshotBackend,
    seat: Option<&JudgeView>,
    shown: &Shown<'_>,
    now: Moment,
) -> (BackendState, Option<String>) {
    match seat.map_or(Judgement::Active, |seat| seat.judgement) {
        Judgement::Active if backend.backend.weight == 0 => (BackendState::Drained, None),
        Judgement::Active => (BackendState::Active, None),
        Judgement::FailOpen(_) => (BackendState::Active, Some("fail-open".to_owned())),
        Judgement::Held(_) => (BackendState::Active, Some("ejection held".to_owned())),
        Judgement::Down(error) => {
            let reason = seat.and_then(|seat| latest(seat, shown, now));
            (BackendState::Down, Some(reason.unwrap_or_else(|| error.to_string())))
        }
        Judgement::NoEndpoints => (BackendState::Down, Some(ProbeError::NoEndpoints.to_string())),
        Judgement::NotForwarded => (BackendState::Down, Some("IPv6 is not forwarded".to_owned())),
    }
}

/// What the first check that is down says now: the judge has heard no more than that it is.
fn latest(seat: &JudgeView, shown: &Shown<'_>, now: Moment) -> Option<String> {
    let mut rows = seat.checks.iter().filter_map(|check| shown.get(&**check));
    let (row, error) = rows.find_map(|row| match row.state {
        State::Down(error) => Some((row, error)),
        State::Unknown | State::Up => None,
    })?;
    let held = row.held_until.filter(|_| row.successes >= u32::from(row.check.clockwork.rise));
    Some(match held.map(|until| until.since(now).as_secs()) {
        Some(seconds) => format!("{error}, held down for {seconds}s more after flapping"),
        None => error.to_string(),
    })
}

/// One row per frontend, numbered from 1 in the order of the configuration.
pub(super) async fn services(
    desk: &Desk,
    filter: &ServiceFilter,
) -> Result<Vec<ServiceRow>, DeskError> {
    let (view, flows) = (desk.view().await?, count_flows(desk).await?);
    let totals = desk.service_counts().await?;
    let (snapshot, judge, shown) = (desk.snapshot(), desk.judge(), shown(&view));
    let frontends = snapshot.services.iter().flat_map(|service| {
        service.service.frontends.iter().map(move |frontend| (service, frontend))
    });
    let numbered = (1..).zip(frontends);
    let listed = numbered.filter(|(_, (service, _))| filter.matches(&service.service.name));
    let rows = listed.map(|(id, (service, frontend))| {
        let at = SocketAddr::new(frontend.address, frontend.port);
        let key = v4(at).map(|at| (at, frontend.protocol));
        let seats = judge.view(&service.service);
        let backend_row = |(index, backend): (u32, &SnapshotBackend)| {
            let seat = seats.get(index as usize - 1);
            let (state, reason) = state(backend, seat, &shown, view.now);
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

pub(crate) const fn kind(kind: model::ServiceKind) -> FrontendKind {
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
    let (snapshot, judge, shown) = (desk.snapshot(), desk.judge(), shown(&view));
    let mut rows: BTreeMap<(SocketAddr, Protocol), BackendRow> = BTreeMap::new();
    for (service, backend, seat, served) in uses(&snapshot, &judge) {
        let (state, reason) = state(backend, seat.as_ref(), &shown, view.now);
        let since = seat.map_or(desk.started.elapsed(), |seat| view.now.since(seat.since));
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

/// One backend of one service, and how it is judged.
type Use<'s> = (&'s SnapshotService, &'s SnapshotBackend, Option<JudgeView>, model::Protocol);

/// Every backend of every service, once per protocol that the service's frontends speak.
fn uses<'s>(snapshot: &'s Snapshot, judge: &Judge) -> impl Iterator<Item = Use<'s>> {
    snapshot.services.iter().flat_map(|service| {
        let mut protocols: Vec<_> =
            service.service.frontends.iter().map(|frontend| frontend.protocol).collect();
        protocols.sort_unstable();
        protocols.dedup();
        let seats = judge.view(&service.service).into_iter().map(Some);
        let seats = seats.chain(std::iter::repeat(None));
        service.backends.iter().zip(seats).flat_map(move |(backend, seat)| {
            protocols
                .clone()
                .into_iter()
                .map(move |protocol| (&**service, backend, seat.clone(), protocol))
        })
    })
}

pub(super) async fn health(desk: &Desk) -> Result<Vec<HealthRow>, DeskError> {
    let view = desk.view().await?;
    let (snapshot, judge, shown) = (desk.snapshot(), desk.judge(), shown(&view));
    let mut rows = Vec::new();
    for service in &snapshot.services {
        let seats = judge.view(&service.service);
        for (backend, seat) in service.backends.iter().zip(&seats) {
            let checks = seat.checks.iter().filter_map(|check| shown.get(&**check));
            rows.extend(checks.map(|row| health_row(service, backend, row, view.now)));
        }
    }
    Ok(rows)
}

fn health_row(
    service: &SnapshotService,
    backend: &SnapshotBackend,
    row: &health::Row,
    now: Moment,
) -> HealthRow {
    HealthRow {
        service: service.service.name.clone(),
        backend: address(backend),
        kind: match row.check.kind {
            model::CheckKind::Tcp => CheckKind::Tcp,
            model::CheckKind::Http { .. } | model::CheckKind::NodeEndpoints => CheckKind::Http,
        },
        target: row.check.to_string(),
        state: match row.state {
            State::Unknown => HealthState::Unknown,
            State::Up => HealthState::Up,
            State::Down(_) => HealthState::Down,
        },
        last_error: row.last_error.map(|error| error.to_string()),
        last_check_seconds_ago: row.last_check.map(|at| now.since(at).as_secs()),
        last_latency_micros: row.last_latency.map(micros),
        successes: row.successes,
        failures: row.failures,
        transitions: row.transitions,
        interval_millis: millis(row.check.clockwork.interval),
        timeout_millis: millis(row.check.clockwork.timeout),
        fall: row.check.clockwork.fall,
        rise: row.check.clockwork.rise,
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

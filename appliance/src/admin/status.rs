//! `status` and `drops`: the workers' counters, added up.

use std::time::Instant;

use spillway_admin::{DropReport, DropRow, PacketTotals, PollMode, Source, Status, WorkerRow};
use spillway_control::settings::Poll;
use spillway_host::HostCounters;
use spillway_lb::verdict::DropReason;

use crate::desk::{Desk, DeskError};
use crate::mailbox::Report;

pub(crate) async fn status(desk: &Desk) -> Result<Status, DeskError> {
    let (reports, host) = (desk.reports().await?, desk.view().await?.counters);
    let snapshot = desk.snapshot();
    let backends = || snapshot.services.iter().flat_map(|service| &service.backends);
    let serving = |backend: &&_| is_serving(backend);
    let frontends = snapshot.services.iter().map(|service| service.service.frontends.len()).sum();
    let cores = &desk.settings.dataplane.worker_cores;
    Ok(Status {
        name: desk.settings.name.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        pid: std::process::id(),
        uptime_seconds: desk.started.elapsed().as_secs(),
        generation: snapshot.generation.get(),
        poll: match desk.settings.dataplane.poll {
            Poll::Busy => PollMode::Busy,
            Poll::Adaptive => PollMode::Adaptive,
        },
        source: if desk.cluster.is_some() { Source::Kubernetes } else { Source::Static },
        cluster: desk.cluster.as_ref().map(|cluster| cluster.view().status(Instant::now())),
        workers: (0..).zip(reports.iter().zip(cores)).map(worker_row).collect(),
        flows: reports.iter().map(|report| u64::from(report.flows)).sum(),
        flows_max: reports.iter().map(|report| u64::from(report.flows_max)).sum(),
        services: count(snapshot.services.len()),
        frontends: count::<usize>(frontends),
        backends_serving: count(backends().filter(serving).count()),
        backends: count(backends().count()),
        packets: with_host(totals(&reports), &host),
    })
}

pub(crate) async fn drops(desk: &Desk) -> Result<DropReport, DeskError> {
    let (reports, host) = (desk.reports().await?, desk.view().await?.counters);
    let drops = DropReason::ALL.iter().map(|reason| {
        let workers: Vec<u64> =
            reports.iter().map(|report| report.counters.dropped(*reason)).collect();
        DropRow {
            number: u16::from(*reason as u8),
            reason: reason.name().into(),
            count: workers.iter().sum::<u64>() + dropped_by_host(*reason, &host),
            workers,
            description: reason.description().into(),
        }
    });
    Ok(DropReport { balance: with_host(totals(&reports), &host), drops: drops.collect() })
}

pub(crate) fn is_serving(backend: &spillway_lb::snapshot::SnapshotBackend) -> bool {
    backend.serving && backend.backend.weight > 0
}

fn count<T: TryInto<u32>>(number: T) -> u32 {
    number.try_into().unwrap_or(u32::MAX)
}

/// Frames that entered the box by its ports, and what became of them. What workers handed to each
/// other is taken out on both sides.
fn totals(reports: &[Report]) -> PacketTotals {
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    let lost = sum(|report| report.counters.dropped(DropReason::TransmitFull));
    PacketTotals {
        rx: sum(|report| report.counters.received - report.counters.taken_over),
        tx: sum(|report| report.counters.transmitted),
        local: sum(|report| report.counters.local),
        originated: sum(|report| report.counters.generated + report.counters.from_host),
        handed_over: sum(|report| report.counters.handed_over),
        dropped: sum(|report| report.counters.dropped_in_all()) - lost,
        lost_on_tx: lost,
    }
}

/// What the host stack dropped of the frames that workers gave it.
fn dropped_by_host(reason: DropReason, host: &HostCounters) -> u64 {
    if reason == DropReason::NeighborUnresolved {
        host.neighbors.frames_overflow + host.neighbors.frames_unresolved
    } else if reason == DropReason::HostRefused {
        host.probes.not_admitted
    } else {
        0
    }
}

/// The workers' totals, with the host stack's drops moved from the local frames to the drops.
fn with_host(totals: PacketTotals, host: &HostCounters) -> PacketTotals {
    let dropped: u64 = DropReason::ALL.iter().map(|reason| dropped_by_host(*reason, host)).sum();
    PacketTotals {
        local: totals.local.saturating_sub(dropped),
        dropped: totals.dropped + dropped,
        ..totals
    }
}

fn worker_row((id, (report, core)): (u16, (&Report, &usize))) -> WorkerRow {
    let totals = totals(std::slice::from_ref(report));
    WorkerRow {
        id,
        core: count(*core),
        flows: report.flows.into(),
        flows_max: report.flows_max.into(),
        generation: report.generation.get(),
        busy_percent: report.busy_permille.map(|permille| f64::from(permille) / 10.0),
        rx_packets: totals.rx,
        tx_packets: totals.tx,
        local_packets: totals.local,
        originated: totals.originated,
        handed_over: totals.handed_over,
        dropped: totals.dropped,
        lost_on_tx: totals.lost_on_tx,
    }
}

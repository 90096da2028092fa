//! The box at a glance.

use std::io::{self, Write};

use spillway_admin::{ClusterStatus, FeedStatus, Source, Status, WorkerRow};

use spillway_text::table::Table;
use spillway_text::text::{Layout, or_dash, percent, printable};

/// Writes the box, then a table of its workers.
///
/// # Errors
/// The output cannot be written.
pub(crate) fn write(status: &Status, layout: Layout, out: &mut impl Write) -> io::Result<()> {
    let packets = &status.packets;
    let mut facts = vec![
        ("Name", printable(&status.name).into_owned()),
        ("Version", printable(&status.version).into_owned()),
        ("PID", status.pid.to_string()),
        ("Uptime", layout.seconds(status.uptime_seconds)),
    ];
    facts.extend(cluster(status, layout));
    facts.extend([
        ("Generation", status.generation.to_string()),
        ("Poll", status.poll.to_string()),
        ("Services", format!("{} with {} frontends", status.services, status.frontends)),
        ("Backends", format!("{} of {} serving", status.backends_serving, status.backends)),
        ("Flows", flows(status.flows, status.flows_max, layout)),
        (
            "Packets",
            format!(
                "{} received, {} sent, {} local, {} dropped, {} lost",
                layout.count(packets.rx),
                layout.count(packets.tx),
                layout.count(packets.local),
                layout.count(packets.dropped),
                layout.count(packets.lost_on_tx),
            ),
        ),
    ]);
    for (name, value) in facts {
        writeln!(out, "{:<13}{value}", format!("{name}:"))?;
    }
    writeln!(out)?;
    write_workers(&status.workers, layout, out)
}

/// What there is to know of the cluster: one line in static mode.
fn cluster(status: &Status, layout: Layout) -> Vec<(&'static str, String)> {
    let Some(cluster) = &status.cluster else {
        let kubernetes = match status.source {
            Source::Static => "none (static)",
            Source::Kubernetes => "source of the Services",
        };
        return vec![("Kubernetes", kubernetes.to_owned())];
    };
    let feeds: Vec<String> = cluster
        .feeds
        .iter()
        .map(|feed| format!("{} {}", layout.count(feed.objects), feed.kind))
        .collect();
    let writes = &cluster.writes;
    let mut facts = vec![
        ("Cluster", api_server(cluster, layout)),
        ("Objects", if feeds.is_empty() { "none".to_owned() } else { feeds.join(", ") }),
    ];
    facts.extend(cluster.feeds.iter().filter_map(held).map(|held| ("Held", held)));
    facts.extend([
        (
            "Refused",
            match cluster.refused {
                0 => "none".to_owned(),
                some => format!("{some} (see: spillway service list --refused)"),
            },
        ),
        ("Leader", leader(cluster)),
        (
            "Writes",
            format!(
                "{} done, {} failed, {} pending{}",
                layout.count(writes.done),
                layout.count(writes.failed),
                layout.count(writes.pending),
                if writes.read_only { "; READ-ONLY: the cluster forbids writing" } else { "" },
            ),
        ),
    ]);
    facts
}

/// The API server, how old what it said is, and what went wrong.
fn api_server(cluster: &ClusterStatus, layout: Layout) -> String {
    let endpoint = printable(&cluster.endpoint);
    let version = cluster.server_version.as_deref();
    let version = version.map(|version| format!(" {}", printable(version))).unwrap_or_default();
    // The feed that was silent for longest; one that never spoke is older than all.
    let never = cluster.feeds.iter().any(|feed| feed.last_contact_seconds_ago.is_none());
    let oldest = cluster.feeds.iter().filter_map(|feed| feed.last_contact_seconds_ago);
    let oldest = oldest.reduce(f64::max).filter(|_| !never);
    let age = oldest.map(|seconds| age(seconds, layout));
    if !cluster.stale {
        return format!("{endpoint}{version}, synced {} ago", or_dash(age));
    }
    let age = age.map(|age| format!(" {age}")).unwrap_or_default();
    let error = cluster.feeds.iter().find_map(|feed| feed.error.as_deref());
    let error = printable(error.unwrap_or("no answer"));
    let serving = match (cluster.from_cache, cluster.feeds.iter().all(|feed| feed.synced)) {
        (true, _) => "serving the last state from disk",
        (false, true) => "serving last known state",
        (false, false) => "nothing known yet",
    };
    format!("{endpoint}{version}, STALE{age}: {error}, {serving}")
}

/// Tenths of a second below ten seconds; then as any other duration.
fn age(seconds: f64, layout: Layout) -> String {
    if seconds < 10.0 {
        return format!("{:.1}s", seconds.max(0.0));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive here, and whole seconds are wanted"
    )]
    layout.seconds(seconds as u64)
}

fn held(feed: &FeedStatus) -> Option<String> {
    let held = feed.held?;
    let kind = feed.kind;
    Some(format!(
        "{kind}: a list of {held} instead of {} is not believed yet \
         (spillway kubernetes accept-shrink {kind})",
        feed.objects
    ))
}

fn leader(cluster: &ClusterStatus) -> String {
    let holder = cluster.leader.holder.as_deref().map(printable);
    match (cluster.leader.is_leader, holder) {
        (true, _) => "this box".to_owned(),
        (false, Some(holder)) => holder.into_owned(),
        (false, None) => "unknown".to_owned(),
    }
}

fn flows(flows: u64, max: u64, layout: Layout) -> String {
    format!("{} of {} ({})", layout.count(flows), layout.count(max), percent(flows, max))
}

fn write_workers(workers: &[WorkerRow], layout: Layout, out: &mut impl Write) -> io::Result<()> {
    let columns: &[&str] = match layout {
        Layout::Table => {
            &["Worker", "Core", "Busy", "Flows", "RX", "TX", "Local", "Dropped", "Lost"]
        }
        Layout::Wide => &[
            "Worker",
            "Core",
            "Busy",
            "Flows",
            "Flows Max",
            "Generation",
            "RX",
            "TX",
            "Local",
            "Originated",
            "Handed Over",
            "Dropped",
            "Lost",
        ],
    };
    let mut table = Table::new(out, columns.iter().map(|&column| column.to_owned()).collect());
    for worker in workers {
        let busy = or_dash(worker.busy_percent.map(|busy| format!("{busy:.1}%")));
        let mut cells = vec![worker.id.to_string(), worker.core.to_string(), busy];
        let counts = match layout {
            Layout::Table => vec![
                worker.flows,
                worker.rx_packets,
                worker.tx_packets,
                worker.local_packets,
                worker.dropped,
                worker.lost_on_tx,
            ],
            Layout::Wide => vec![
                worker.flows,
                worker.flows_max,
                worker.generation,
                worker.rx_packets,
                worker.tx_packets,
                worker.local_packets,
                worker.originated,
                worker.handed_over,
                worker.dropped,
                worker.lost_on_tx,
            ],
        };
        cells.extend(counts.into_iter().map(|count| layout.count(count)));
        table.line(cells)?;
    }
    table.finish()
}

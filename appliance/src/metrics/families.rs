//! The metrics: names, meanings and values. `docs/metrics.md` lists them; a test compares.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use spillway_admin::{ClusterStatus, PortRow, SnatRow, WorkerRow};

use super::Sample;

/// The media type of what [`text`] returns.
pub(super) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of a sample, as Prometheus reads them.
pub(super) fn text(sample: Sample) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("spillway");
    registry.register_collector(Box::new(sample));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

impl Collector for Sample {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Out(encoder);
        self.the_box(&mut out)?;
        self.workers(&mut out)?;
        self.dropped(&mut out)?;
        self.per_service(&mut out)?;
        snat(&self.snat, &mut out)?;
        self.health(&mut out)?;
        ports(&self.ports, &mut out)?;
        match &self.status.cluster {
            Some(cluster) => self.cluster(cluster, &mut out),
            None => Ok(()),
        }
    }
}

/// A label's name and value.
type Label = (&'static str, String);

/// Writes one metric at a time.
struct Out<'e>(DescriptorEncoder<'e>);

impl Out<'_> {
    /// Never goes down; `_total` is added to the name.
    fn counter<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = ([Label; N], u64)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in rows {
            if labels.is_empty() {
                metric.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
            } else {
                metric
                    .encode_family(&labels)?
                    .encode_counter::<NoLabelSet, _, f64>(&value, None)?;
            }
        }
        Ok(())
    }

    /// Goes up and down; a whole number, or one with a fraction.
    fn gauge<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = ([Label; N], impl EncodeGaugeValue)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in rows {
            if labels.is_empty() {
                metric.encode_gauge(&value)?;
            } else {
                metric.encode_family(&labels)?.encode_gauge(&value)?;
            }
        }
        Ok(())
    }

    fn one(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.gauge(name, help, [([], value)])
    }

    fn count(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.counter(name, help, [([], value)])
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

impl Sample {
    fn the_box(&self, out: &mut Out<'_>) -> fmt::Result {
        let status = &self.status;
        let version = [([("version", status.version.clone())], 1)];
        out.gauge("build_info", "Version of the daemon; always 1", version)?;
        out.one("uptime_seconds", "Time since the daemon started", status.uptime_seconds)?;
        let help = "Number of the Snapshot that was published last";
        out.one("generation", help, status.generation)?;
        out.one("services", "Services that are served", status.services.into())?;
        out.one("frontends", "Frontends of all Services", status.frontends.into())?;
        out.one("backends", "Backends of all Services", status.backends.into())?;
        let help = "Backends that take new flows";
        out.one("backends_serving", help, status.backends_serving.into())?;
        out.count("flows_admitted", "Flows admitted, of all Services", self.flows_total)
    }

    fn workers(&self, out: &mut Out<'_>) -> fmt::Result {
        type Of = fn(&WorkerRow) -> u64;
        let counters: [(&str, &str, Of); 5] = [
            ("worker_rx_packets", "Packets received", |w| w.rx_packets),
            ("worker_tx_packets", "Packets that the ports took", |w| w.tx_packets),
            ("worker_local_packets", "Packets given to the host stack", |w| w.local_packets),
            ("worker_originated_packets", "Packets that the box made itself", |w| w.originated),
            (
                "worker_handed_over_packets",
                "Packets given to the worker that owns their flow",
                |w| w.handed_over,
            ),
        ];
        let gauges: [(&str, &str, Of); 3] = [
            ("worker_flows", "Live flows", |w| w.flows),
            ("worker_flows_max", "Flows that fit", |w| w.flows_max),
            ("worker_generation", "Number of the Snapshot in use", |w| w.generation),
        ];
        let workers = &self.status.workers;
        for (name, help, of) in counters {
            out.counter(name, help, workers.iter().map(|w| (worker(w), of(w))))?;
        }
        for (name, help, of) in gauges {
            out.gauge(name, help, workers.iter().map(|w| (worker(w), of(w))))?;
        }
        let busy = workers.iter().filter_map(|w| Some((worker(w), w.busy_percent? / 100.0)));
        out.gauge("worker_busy_ratio", "Share of the last second spent on packets", busy)
    }

    /// What the host stack dropped has `host` instead of a worker's number.
    fn dropped(&self, out: &mut Out<'_>) -> fmt::Result {
        let rows = self.drops.drops.iter().flat_map(|drop| {
            let labels = |worker: String| [("worker", worker), ("reason", drop.reason.clone())];
            let workers = drop.workers.iter().enumerate();
            let of_host = drop.count.saturating_sub(drop.workers.iter().sum());
            workers
                .map(move |(worker, packets)| (labels(worker.to_string()), *packets))
                .chain(std::iter::once((labels("host".to_owned()), of_host)))
        });
        out.counter("dropped_packets", "Packets dropped, by reason", rows)
    }

    fn per_service(&self, out: &mut Out<'_>) -> fmt::Result {
        let rows = |of: fn(&super::ServiceSample) -> u64| {
            self.services.iter().map(move |service| {
                let labels =
                    [("service", service.name.clone()), ("kind", service.kind.to_string())];
                (labels, of(service))
            })
        };
        let help = "Flows admitted";
        out.counter("service_flows_admitted", help, rows(|service| service.flows_total))?;
        let help = "Flows refused for want of a backend, a port or a record";
        out.counter("service_flows_refused", help, rows(|service| service.refused_total))?;
        out.gauge("service_backends", "Backends", rows(|service| count(service.backends)))?;
        let help = "Backends that take new flows";
        let serving = rows(|service| count(service.backends_serving));
        out.gauge("service_backends_serving", help, serving)?;
        let help = "Services that are served and not listed one by one, because there are too many";
        let unlisted = u64::from(self.status.services).saturating_sub(count(self.services.len()));
        out.one("services_unlisted", help, unlisted)
    }

    fn health(&self, out: &mut Out<'_>) -> fmt::Result {
        let probes = &self.host.probes;
        let states = self.health.states.iter();
        let states = states.map(|(state, number)| ([("state", state.to_string())], *number));
        out.gauge("health_checks", "Health checks, by what they say", states)?;
        let help = "Changes of a check between up and down";
        out.count("health_transitions", help, self.health.transitions_total)?;
        out.count("health_probes_started", "Probes sent", probes.started)?;
        let help = "Packets to a probe port that belong to no probe";
        out.count("health_stray_packets", help, probes.not_admitted)?;
        let help = "Probes that found no free source port";
        out.count("health_probes_without_port", help, probes.no_port)?;
        let help = "Panics of the probes' TCP stack; not counted against any backend";
        out.count("health_probe_panics", help, probes.panics)
    }

    fn cluster(&self, cluster: &ClusterStatus, out: &mut Out<'_>) -> fmt::Result {
        let feeds = || cluster.feeds.iter().map(|feed| ([("kind", feed.kind.to_string())], feed));
        let help = "1 when all objects of the kind were listed since the daemon started";
        let synced = feeds().map(|(kind, feed)| (kind, u64::from(feed.synced)));
        out.gauge("cluster_synced", help, synced)?;
        let help = "Time since the API server last said anything about the kind";
        let ages = feeds().filter_map(|(kind, feed)| Some((kind, feed.last_contact_seconds_ago?)));
        out.gauge("cluster_age_seconds", help, ages)?;
        let objects = feeds().map(|(kind, feed)| (kind, feed.objects));
        out.gauge("cluster_objects", "Objects of the kind that are known", objects)?;
        let help = "1 while a list of the kind shrank too much to be believed";
        let held = feeds().map(|(kind, feed)| (kind, u64::from(feed.held.is_some())));
        out.gauge("cluster_shrink_held", help, held)?;
        let help = "1 while what is known may be older than the cluster";
        out.one("cluster_stale", help, cluster.stale.into())?;
        let help = "1 while what is served comes from the disk";
        out.one("cluster_from_cache", help, cluster.from_cache.into())?;
        let help = "Services, or parts of one, that are not served";
        out.one("cluster_refused", help, cluster.refused.into())?;
        let help = "1 on the box that writes to the cluster";
        out.one("leader", help, cluster.leader.is_leader.into())?;
        let writes = &cluster.writes;
        let result = |result: &str| [("result", result.to_owned())];
        let results = [(result("done"), writes.done), (result("failed"), writes.failed)];
        out.counter("cluster_writes", "Writes to the cluster", results)?;
        out.one("cluster_writes_pending", "Writes that are not done yet", writes.pending)?;
        let help = "1 while the cluster forbids writing";
        out.one("cluster_read_only", help, writes.read_only.into())?;
        out.one("cluster_nodes", "Nodes of the cluster", count(self.nodes.1))?;
        let help = "Nodes that may take traffic, unless their checks fail";
        out.one("cluster_nodes_eligible", help, count(self.nodes.0))?;
        let pool = |name: &String| [("pool", name.clone())];
        let sizes = self.pools.iter().map(|row| (pool(&row.name), row.size));
        out.gauge("pool_addresses", "Addresses of the pool", sizes)?;
        let used = self.pools.iter().map(|row| (pool(&row.name), row.used));
        out.gauge("pool_addresses_used", "Addresses of the pool that Services have", used)
    }
}

fn worker(worker: &WorkerRow) -> [Label; 1] {
    [("worker", worker.id.to_string())]
}

/// Per SNAT address, and not per backend: a scrape does not grow with the backends.
fn snat(rows: &[SnatRow], out: &mut Out<'_>) -> fmt::Result {
    let mut sums: BTreeMap<IpAddr, (u64, u64, f64)> = BTreeMap::new();
    for row in rows {
        let (lent, capacity, fullest) = sums.entry(row.address).or_default();
        *lent += u64::from(row.in_use);
        *capacity = row.capacity.into();
        *fullest = fullest.max(f64::from(row.in_use) / f64::from(row.capacity.max(1)));
    }
    let address = |address: &IpAddr| [("address", address.to_string())];
    let lent = sums.iter().map(|(at, (lent, _, _))| (address(at), *lent));
    out.gauge("snat_ports_used", "SNAT ports lent, towards all backends", lent)?;
    let capacity = sums.iter().map(|(at, (_, capacity, _))| (address(at), *capacity));
    out.gauge("snat_ports_max", "SNAT ports that can be lent towards one backend", capacity)?;
    let fullest = sums.iter().map(|(at, (_, _, fullest))| (address(at), *fullest));
    let help = "Share of the ports that is lent towards the backend that has most";
    out.gauge("snat_ports_used_ratio", help, fullest)
}

fn ports(rows: &[PortRow], out: &mut Out<'_>) -> fmt::Result {
    type Of = fn(&PortRow) -> u64;
    let counters: [(&str, &str, Of); 8] = [
        ("port_rx_packets", "Packets received", |port| port.rx_packets),
        ("port_rx_bytes", "Bytes received", |port| port.rx_bytes),
        ("port_tx_packets", "Packets sent", |port| port.tx_packets),
        ("port_tx_bytes", "Bytes sent", |port| port.tx_bytes),
        ("port_rx_missed_packets", "Packets dropped because no queue had room", |port| {
            port.rx_missed
        }),
        ("port_rx_errors", "Packets received with errors", |port| port.rx_errors),
        ("port_tx_errors", "Packets that could not be sent", |port| port.tx_errors),
        ("port_rx_no_mbuf", "Receptions that failed for want of an Mbuf", |port| port.rx_no_mbuf),
    ];
    let label = |port: &PortRow| [("port", port.name.clone())];
    for (name, help, of) in counters {
        out.counter(name, help, rows.iter().map(|port| (label(port), of(port))))?;
    }
    let up = |port: &PortRow| u64::from(port.link == spillway_admin::LinkState::Up);
    out.gauge("port_up", "1 while the link is up", rows.iter().map(|port| (label(port), up(port))))
}

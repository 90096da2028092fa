//! The node in numbers, as Prometheus reads them: `spillway_node_*`.
//!
//! Everything is collected when it is asked for. Counts of the programs are read from the maps, so that they go on over
//! restarts of the agent.

use std::fmt;

use aya::maps::MapError;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use spillway_lb::verdict::DropReason;

use crate::layout::COUNTERS;
use crate::ledger::Usage;
use crate::maps::{self, Maps, Sizes};
use crate::views::drops::reason_name;

/// The media type of what [`text`] returns.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A feed of the cluster, such as Service.
#[derive(Clone, Debug, PartialEq)]
pub struct Feed {
    pub kind: String,
    pub is_synced: bool,
    pub objects: u64,
    /// Since the API server last said anything about the kind.
    pub age_seconds: Option<f64>,
}

/// What the agent knows beside the maps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Agent {
    pub version: String,
    pub uptime_seconds: u64,
    /// See [`crate::ledger::Ledger::usage`].
    pub usage: Usage,
    /// See [`crate::ledger::Ledger::served`].
    pub frontends: u64,
    pub backends: u64,
    /// Services that do not fit, or that the kernel refused.
    pub failed: u64,
    /// Syncs of the maps since the agent started, and those of them that could not even read the maps.
    pub syncs_total: u64,
    pub sync_errors_total: u64,
    /// Of the last one.
    pub sync_seconds: f64,
    /// Since the last one that succeeded; `None`: there was none yet.
    pub synced_seconds_ago: Option<f64>,
    /// Times that a program was found detached by somebody else.
    pub attach_lost_total: u64,
    pub feeds: Vec<Feed>,
}

/// What the programs counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By their names.
    pub counters: Vec<(&'static str, u64)>,
    /// By reason: all that this version knows, and what happened beyond.
    pub drops: Vec<(String, u64)>,
    /// Rows of the maps that only programs and packets fill, by name; those of the others are in [`Agent::usage`].
    pub rows: Vec<(&'static str, u64)>,
}

/// The node at one moment.
#[derive(Clone, Debug)]
pub struct Sample {
    pub agent: Agent,
    pub counts: Counts,
    pub sizes: Sizes,
}

impl Counts {
    /// Reads the maps. `rows` counts those of `affinity`, `conntrack` and `nat`, which takes a system call for each:
    /// [`crate::gc::Swept`] has two of them for nothing.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn read(maps: &Maps, rows: Vec<(&'static str, u64)>) -> Result<Self, MapError> {
        let counters = (0u32..).zip(COUNTERS);
        let counters = counters.map(|(at, name)| Ok((name, maps::sum(&maps.counters, at)?)));
        let known = |number: u32| DropReason::ALL.iter().any(|it| it.index() == number as usize);
        let mut drops = Vec::new();
        for number in 0..maps.drops.len() {
            let count = maps::sum(&maps.drops, number)?;
            if count > 0 || known(number) {
                drops.push((reason_name(number), count));
            }
        }
        Ok(Self { counters: counters.collect::<Result<_, MapError>>()?, drops, rows })
    }
}

/// All metrics of a sample, as Prometheus reads them.
///
/// # Errors
/// None that could happen: text is written into memory.
pub fn text(sample: Sample) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("spillway_node");
    registry.register_collector(Box::new(sample));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

impl Collector for Sample {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Out(encoder);
        self.agent(&mut out)?;
        self.maps(&mut out)?;
        self.programs(&mut out)?;
        self.feeds(&mut out)
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
}

impl Sample {
    fn agent(&self, out: &mut Out<'_>) -> fmt::Result {
        let agent = &self.agent;
        let version = [([("version", agent.version.clone())], 1)];
        out.gauge("build_info", "Version of the agent; always 1", version)?;
        let usage = agent.usage;
        let gauges = [
            ("uptime_seconds", "Time since the agent started", agent.uptime_seconds),
            (
                "services",
                "Ports of Services that are served, each family by itself",
                usage.services.into(),
            ),
            ("frontends", "Frontends of all Services", agent.frontends),
            ("backends", "Backends of all Services", agent.backends),
            (
                "services_failed",
                "Services that do not fit the maps, or that the kernel refused",
                agent.failed,
            ),
        ];
        for (name, help, value) in gauges {
            out.gauge(name, help, [([], value)])?;
        }
        let counters = [
            ("syncs", "Times that the maps were made to follow what is wanted", agent.syncs_total),
            (
                "sync_errors",
                "Times that the maps could not be read for it",
                agent.sync_errors_total,
            ),
            (
                "attach_lost",
                "Times that a program was found detached by somebody else",
                agent.attach_lost_total,
            ),
        ];
        for (name, help, value) in counters {
            out.counter(name, help, [([], value)])?;
        }
        let help = "How long the last sync took";
        out.gauge("sync_duration_seconds", help, [([], agent.sync_seconds)])?;
        let help = "Time since the last sync that succeeded; missing until there was one";
        out.gauge("sync_age_seconds", help, agent.synced_seconds_ago.map(|age| ([], age)))
    }

    fn maps(&self, out: &mut Out<'_>) -> fmt::Result {
        let (usage, sizes) = (self.agent.usage, self.sizes);
        let mut rows: Vec<(&str, u64)> = vec![
            ("frontends", usage.frontends.into()),
            ("choices", usage.choices.into()),
            ("backends", usage.backends.into()),
            ("source_ranges", usage.source_ranges.into()),
        ];
        rows.extend(self.counts.rows.iter().copied());
        let size = |map: &str| {
            u64::from(match map {
                "frontends" => sizes.frontends,
                "choices" => sizes.choices,
                "backends" => sizes.backends,
                "affinity" => sizes.affinity,
                "source_ranges" => sizes.source_ranges,
                "clients" => sizes.clients,
                "conntrack" => sizes.conntrack,
                "nat" => sizes.nat,
                "devices" => sizes.devices,
                _ => 0,
            })
        };
        let label = |map: &str| [("map", map.to_owned())];
        let used = rows.iter().map(|(map, used)| (label(map), *used));
        out.gauge("map_entries", "Entries in use, those that rest too", used)?;
        let max = rows.iter().map(|(map, _)| (label(map), size(map)));
        out.gauge("map_entries_max", "Entries that fit", max)?;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let share = |used: u64, max: u64| used as f64 / max.max(1) as f64;
        let pressure = rows.iter().map(|(map, used)| (label(map), share(*used, size(map))));
        out.gauge("map_used_ratio", "Share of the entries that is in use", pressure)
    }

    fn programs(&self, out: &mut Out<'_>) -> fmt::Result {
        let events = self.counts.counters.iter();
        let events = events.map(|(event, count)| ([("event", (*event).to_owned())], *count));
        out.counter("events", "What the programs did, by kind", events)?;
        let drops = self.counts.drops.iter();
        let drops = drops.map(|(reason, count)| ([("reason", reason.clone())], *count));
        out.counter("dropped_packets", "Packets dropped, by reason", drops)
    }

    fn feeds(&self, out: &mut Out<'_>) -> fmt::Result {
        let feeds = || self.agent.feeds.iter().map(|feed| ([("kind", feed.kind.clone())], feed));
        let help = "1 when all objects of the kind were listed since the agent started";
        let synced = feeds().map(|(kind, feed)| (kind, u64::from(feed.is_synced)));
        out.gauge("cluster_synced", help, synced)?;
        let objects = feeds().map(|(kind, feed)| (kind, feed.objects));
        out.gauge("cluster_objects", "Objects of the kind that are known", objects)?;
        let help = "Time since the API server last said anything about the kind";
        let ages = feeds().filter_map(|(kind, feed)| Some((kind, feed.age_seconds?)));
        out.gauge("cluster_age_seconds", help, ages)
    }
}

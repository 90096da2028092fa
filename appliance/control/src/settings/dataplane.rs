//! Reads `[dataplane]`.

use std::collections::BTreeMap;

use super::report::{Report, Span, Spanned};
use super::section::{List, Section};
use super::types::{DataplaneSettings, LogLevel, MemorySettings, Poll, Steering};

/// Workers that the tables' owner arithmetic and a NIC's queues allow for.
const WORKERS_MAX: usize = 64;

pub(super) const LOG_LEVELS: [(&str, LogLevel); 5] = [
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

/// The section as read, with the place of what is checked against other sections.
#[derive(Debug)]
pub(super) struct DataplaneDraft {
    pub(super) settings: DataplaneSettings,
    pub(super) workers_at: Span,
    /// Some entry of `worker_cores` could not be read.
    pub(super) workers_are_incomplete: bool,
    pub(super) mbufs_at: Span,
}

pub(super) fn read(
    mut section: Section<'_>,
    cpus_online: usize,
    report: &Report,
) -> DataplaneDraft {
    let main_core = section.integer::<usize>("main_core", 0..=i64::from(u16::MAX));
    if let Some(core) = &main_core {
        check_core(&section, "main_core", core, cpus_online);
    }
    let main_core = main_core.map_or(0, |core| core.value);
    let oversubscribe = section.boolean("oversubscribe").unwrap_or(false);
    let mistakes = report.count();
    let workers = section.list("worker_cores", |section, node| {
        section.integer_node::<usize>("worker_cores", node, &(0..=i64::from(u16::MAX)))
    });
    let workers_are_incomplete = mistakes != report.count();
    if let Some(workers) = workers.as_ref().filter(|_| !workers_are_incomplete) {
        check_workers(&section, workers, cpus_online, oversubscribe);
    }
    let workers_at = workers.as_ref().map_or(section.at, |workers| workers.at);
    // Without a word from the operator: one worker, beside the main core if there is a core.
    let beside = usize::from(main_core == 0 && cpus_online > 1);
    let worker_cores = match workers {
        Some(workers) if !workers.items.is_empty() => {
            workers.items.iter().map(|core| core.value).collect()
        }
        Some(_) | None => vec![beside],
    };

    let flows_max = section.integer("flows_max", 1024..=64 << 20);
    let snat_backends_max = section.integer("snat_backends_max", 1..=65_536);
    let memory_mib = section.integer("memory_mib", 64..=1 << 20);
    let mbufs = section.integer("mbufs", 1024..=4 << 20);
    let mbufs_at = mbufs.as_ref().map_or(section.at, |mbufs: &Spanned<u32>| mbufs.at);
    let settings = DataplaneSettings {
        main_core,
        worker_cores,
        poll: section
            .choice("poll", &[("adaptive", Poll::Adaptive), ("busy", Poll::Busy)])
            .map_or(Poll::default(), |poll| poll.value),
        flows_max: flows_max.map_or(262_144, |flows| flows.value),
        snat_backends_max: snat_backends_max.map_or(1024, |backends| backends.value),
        memory: read_memory(&mut section),
        memory_mib: memory_mib.map_or(512, |mib| mib.value),
        mbufs: mbufs.map_or(16_384, |mbufs| mbufs.value),
        steering: section
            .choice("steering", &[("software", Steering::Software), ("nic", Steering::Nic)])
            .map_or(Steering::default(), |steering| steering.value),
        log_level: section
            .choice("log_level", &LOG_LEVELS)
            .map_or(LogLevel::Warn, |level| level.value),
    };
    section.finish();
    DataplaneDraft { settings, workers_at, workers_are_incomplete, mbufs_at }
}

fn read_memory(section: &mut Section<'_>) -> MemorySettings {
    let words = [
        ("auto", MemorySettings::Auto),
        ("hugepages", MemorySettings::Hugepages),
        ("ordinary", MemorySettings::Ordinary),
    ];
    section.choice("memory", &words).map_or(MemorySettings::default(), |memory| memory.value)
}

fn check_core(section: &Section<'_>, key: &str, core: &Spanned<usize>, cpus_online: usize) {
    if core.value >= cpus_online {
        let cores = if cpus_online == 1 { "core" } else { "cores" };
        section.error(
            core.at,
            &format!("{key}: there is no core {}", core.value),
            Some(&format!(
                "this machine has {cpus_online} {cores}, 0 to {}",
                cpus_online.saturating_sub(1)
            )),
        );
    }
}

fn check_workers(
    section: &Section<'_>,
    workers: &List<usize>,
    cpus_online: usize,
    oversubscribe: bool,
) {
    if workers.is_empty {
        let help = "name at least one core, such as worker_cores = [1]";
        section.error(workers.at, "no worker: worker_cores is empty", Some(help));
    }
    if workers.items.len() > WORKERS_MAX {
        let count = workers.items.len();
        let message = format!("worker_cores: {count} workers are too many");
        section.error(workers.at, &message, Some(&format!("at most {WORKERS_MAX}")));
    }
    let mut seen: BTreeMap<usize, Span> = BTreeMap::new();
    for core in &workers.items {
        check_core(section, "worker_cores", core, cpus_online);
        if seen.insert(core.value, core.at).is_some() && !oversubscribe {
            section.error(
                core.at,
                &format!("worker_cores: core {} is listed twice", core.value),
                Some("two workers on one core slow each other; if that is meant, say oversubscribe = true"),
            );
        }
    }
}

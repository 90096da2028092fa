//! What was measured on. Nothing here names the machine, only what it can do.

use std::fs;

use serde::Serialize;

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) tsc_hz: u64,
    pub(crate) kernel: String,
    pub(crate) dpdk: String,
    /// `hugepages` or `ordinary`.
    pub(crate) memory: String,
}

impl Machine {
    pub(crate) fn look(tsc_hz: u64, dpdk: String, memory: &str) -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
        let cpu = model.map_or("unknown", |line| line.trim_start_matches([' ', '\t', ':']));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        // Only the version: what comes after the dash is the builder's own.
        let kernel = kernel.split(['-', '\n']).next().unwrap_or_default().to_owned();
        Self {
            cpu: cpu.to_owned(),
            cores: cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
            tsc_hz,
            kernel,
            dpdk,
            memory: memory.to_owned(),
        }
    }
}

/// Threads that ran or wanted to, averaged over the last minute.
pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

//! Checks of the sections against each other: addresses, ranges of ports, workers.

mod addresses;
mod kubernetes;
mod pools;
mod ports;
mod routes;
mod services;
mod snat;

use super::draft::Draft;
use super::report::Report;

/// Reports everything that no section can know alone.
pub(super) fn check(draft: &Draft, report: &Report) {
    ports::check(draft, report);
    snat::check(draft, report);
    services::check(draft, report);
    routes::check(draft, report);
    kubernetes::check(draft, report);
    pools::check(draft, report);
    check_memory(draft, report);
}

/// Packet buffers have to fit into the memory that DPDK may take.
fn check_memory(draft: &Draft, report: &Report) {
    // DPDK 22.11: struct rte_mbuf, headroom, and 2 KiB of data or the longest frame (Ethernet
    // header, tag, checksum: 22 bytes), whichever is more.
    const OVERHEAD_BYTES: u64 = 128 + 128;
    let settings = &draft.dataplane.settings;
    let frame_bytes = draft.ports.iter().map(|port| u64::from(port.mtu) + 22).max().unwrap_or(0);
    let needed_bytes = u64::from(settings.mbufs) * (OVERHEAD_BYTES + frame_bytes.max(2048));
    let needed_mib = needed_bytes.div_ceil(1 << 20);
    if needed_mib > u64::from(settings.memory_mib) {
        let message = format!(
            "dataplane: {} mbufs take {needed_mib} MiB, and memory_mib is {}",
            settings.mbufs, settings.memory_mib
        );
        let help = format!("raise memory_mib above {needed_mib}, or lower mbufs");
        report.error_with_help(draft.dataplane.mbufs_at, message, help);
    }
}

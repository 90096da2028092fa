//! Reads `[maps]`.

use super::super::section::Section;
use super::types::MapSizes;

/// Rows that fit into a locked memory of a few gigabytes; more is a slip of the finger.
const ROWS_MAX: i64 = 16 << 20;

pub(super) fn read(mut section: Section<'_>) -> MapSizes {
    let mut sizes = MapSizes::default();
    let keys: [(&'static str, &mut u32); 9] = [
        ("frontends", &mut sizes.frontends),
        ("choices", &mut sizes.choices),
        ("backends", &mut sizes.backends),
        ("source_ranges", &mut sizes.source_ranges),
        ("clients", &mut sizes.clients),
        ("devices", &mut sizes.devices),
        ("affinity", &mut sizes.affinity),
        ("conntrack", &mut sizes.conntrack),
        ("nat", &mut sizes.nat),
    ];
    for (key, size) in keys {
        if let Some(said) = section.integer::<u32>(key, 64..=ROWS_MAX) {
            *size = said.value;
        }
    }
    // A ring is whole pages, and a power of two of them; 64 KiB is the largest page that a kernel has.
    if let Some(said) = section.integer::<u32>("events_bytes", 64 << 10..=64 << 20) {
        if said.value.is_power_of_two() {
            sizes.events_bytes = said.value;
        } else {
            let next = said.value.next_power_of_two();
            let message = format!("events_bytes must be a power of two, not {}", said.value);
            section.error(said.at, &message, Some(&format!("write {} or {next}", next / 2)));
        }
    }
    section.finish();
    sizes
}

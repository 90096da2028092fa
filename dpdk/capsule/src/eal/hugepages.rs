//! Looks for hugepages before DPDK does, whose own message helps nobody.

use std::fs;
use std::path::Path;

use super::{EalError, Memory};

const SIZES: &str = "/sys/kernel/mm/hugepages";
const TWO_MIB: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB";

/// MiB of 2 MiB hugepages that nobody uses; 0 where the kernel has none.
pub fn hugepages_free_mib() -> u64 {
    free_mib(Path::new(TWO_MIB), 2)
}

fn read(directory: &Path, file: &str) -> u64 {
    fs::read_to_string(directory.join(file)).ok().and_then(|t| t.trim().parse().ok()).unwrap_or(0)
}

/// Free pages, and those that the kernel would still make on demand.
fn free_mib(directory: &Path, page_mib: u64) -> u64 {
    let reserved = read(directory, "resv_hugepages");
    let free = read(directory, "free_hugepages").saturating_sub(reserved);
    let surplus = read(directory, "surplus_hugepages");
    let on_demand = read(directory, "nr_overcommit_hugepages").saturating_sub(surplus);
    free.saturating_add(on_demand).saturating_mul(page_mib)
}

/// Refuses memory that is not there.
pub(super) fn check(memory: Memory) -> Result<(), EalError> {
    let Memory::Hugepages { mib } = memory else { return Ok(()) };
    let sizes = fs::read_dir(SIZES).into_iter().flatten().flatten();
    let free_mib: u64 = sizes
        .filter_map(|entry| {
            let name = entry.file_name();
            let kib = name.to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?;
            Some(free_mib(&entry.path(), kib.parse::<u64>().ok()? >> 10))
        })
        .sum();
    if free_mib < u64::from(mib) {
        let pages = u64::from(mib).div_ceil(2);
        return Err(EalError::Hugepages { wanted_mib: mib, free_mib, pages });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_memory_than_any_machine_has_is_refused_with_advice() {
        let text = check(Memory::Hugepages { mib: u32::MAX }).unwrap_err().to_string();
        assert!(text.contains("vm.nr_hugepages=2147483648"), "{text}");
        assert!(text.contains("ordinary memory"), "{text}");
    }

    #[test]
    fn ordinary_memory_needs_no_hugepages() {
        assert!(check(Memory::Ordinary { mib: u32::MAX }).is_ok());
    }
}

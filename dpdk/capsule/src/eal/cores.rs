//! Which processor cores there are.

use std::fs;

/// Processor cores that the kernel has online; empty when it does not say.
pub fn cores_online() -> Vec<usize> {
    fs::read_to_string("/sys/devices/system/cpu/online")
        .map(|text| parse(&text))
        .unwrap_or_default()
}

/// A list as the kernel writes it: `0-3,8,10-11`.
fn parse(list: &str) -> Vec<usize> {
    list.trim()
        .split(',')
        .filter_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Some(first.parse::<usize>().ok()?..=last.parse::<usize>().ok()?)
        })
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_list_is_read() {
        assert_eq!(parse("0-1,4,6-7\n"), [0, 1, 4, 6, 7]);
        assert_eq!(parse("0\n"), [0]);
        assert!(parse("\n").is_empty());
    }

    #[test]
    fn this_machine_has_a_core() {
        assert!(cores_online().contains(&0));
    }
}

//! SNAT ports as a resource: derived, lent and given back without a lock.
//!
//! A port is free or lent *per (SNAT address, backend)*, so the whole range is available towards
//! each backend. Where the search starts is a keyed hash of the client's tuple and the backend (RFC
//! 6056: unpredictable from outside, and the same again on a restarted box); the next free port of
//! this worker's share is taken. The owner of a port is a pure function of its low bits.

use std::collections::HashMap;
use std::net::SocketAddrV4;

use crate::hash::HashKey;
use crate::ids::WorkerId;
use crate::model::{Protocol, SnatRange};

/// The worker that owns a SNAT port, for `workers` >= 1.
///
/// The low bits of the port pick one of the next power of two shares; with three workers the fourth
/// share goes to the first worker again.
#[inline]
pub fn port_owner(port: u16, workers: u16) -> WorkerId {
    let mask = workers.next_power_of_two().wrapping_sub(1);
    let share = port & mask;
    WorkerId::new(if share >= workers { share - workers } else { share })
}

/// Towards whom ports are lent.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Binding {
    /// Index of the SNAT address in the configuration.
    pub range: u16,
    pub backend: SocketAddrV4,
    pub protocol: Protocol,
}

/// Why no port was lent.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum SnatError {
    /// Every port of this worker's share is lent towards this backend.
    PortsExhausted,
    /// Every bitmap is in use for other backends.
    BackendsFull,
}

/// This worker's ports of one SNAT range, numbered densely: `index` ↔ port.
#[derive(Clone, Debug)]
struct Share {
    range: SnatRange,
    /// Low bits of the ports that are ours; one or two values.
    residues: Vec<u32>,
    stride: u32,
    /// First multiple of `stride` at or below the range.
    base: u32,
    /// One past the highest index.
    indices: u32,
    /// Ports of the range that are ours.
    capacity: u32,
}

impl Share {
    fn new(range: &SnatRange, worker: WorkerId, workers: u16) -> Self {
        let stride = u32::from(workers.next_power_of_two());
        let base = u32::from(*range.ports.start()) / stride * stride;
        let residues: Vec<u32> = (0..stride)
            .filter(|low| u16::try_from(*low).is_ok_and(|low| port_owner(low, workers) == worker))
            .collect();
        let groups = (u32::from(*range.ports.end()) - base) / stride + 1;
        let indices = groups * u32::try_from(residues.len()).unwrap_or(0);
        let mut share = Self { range: range.clone(), residues, stride, base, indices, capacity: 0 };
        share.capacity =
            u32::try_from((0..indices).filter(|index| share.port(*index).is_some()).count())
                .unwrap_or(0);
        share
    }

    /// The port of an index; `None` outside of the range.
    fn port(&self, index: u32) -> Option<u16> {
        let residues = u32::try_from(self.residues.len()).ok()?;
        let group = index.checked_div(residues)?;
        let low = self.residues.get((index % residues) as usize)?;
        let port = u16::try_from(self.base + group * self.stride + low).ok()?;
        self.range.ports.contains(&port).then_some(port)
    }

    fn index(&self, port: u16) -> Option<u32> {
        let offset = u32::from(port).checked_sub(self.base)?;
        let low = self.residues.iter().position(|low| *low == offset % self.stride)?;
        let residues = u32::try_from(self.residues.len()).ok()?;
        Some(offset / self.stride * residues + u32::try_from(low).ok()?)
    }
}

/// Which indices of a share are lent towards one backend.
#[derive(Clone, Debug)]
struct Bitmap {
    binding: Option<Binding>,
    lent: u32,
    /// A set bit is not to be had.
    taken: Box<[u64]>,
}

impl Bitmap {
    /// First free index at or after `start`, cyclic.
    fn search(&self, start: u32) -> Option<u32> {
        let words = self.taken.len();
        let first = (start / 64) as usize;
        for step in 0..=words {
            let at = (first + step) % words;
            let mut free = !*self.taken.get(at)?;
            if step == 0 {
                free &= u64::MAX << (start % 64);
            }
            if free != 0 {
                return u32::try_from(at).ok().map(|at| at * 64 + free.trailing_zeros());
            }
        }
        None
    }

    fn word(&mut self, index: u32) -> Option<&mut u64> {
        self.taken.get_mut((index / 64) as usize)
    }
}

/// What is lent towards one backend, for display.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    pub binding: Binding,
    pub lent: u32,
    /// Ports of this worker's share.
    pub capacity: u32,
}

/// The SNAT ports of one worker. Nothing is allocated after `new`.
#[derive(Debug)]
pub struct SnatPorts {
    shares: Vec<Share>,
    bitmaps: Vec<Bitmap>,
    by_binding: HashMap<Binding, u32, HashKey>,
    unused: Vec<u32>,
}

impl SnatPorts {
    /// `backends_max`: (SNAT address, backend) pairs that may have flows at once; each takes up to
    /// 8 KiB divided by the number of workers while it has.
    pub fn new(
        ranges: &[SnatRange],
        worker: WorkerId,
        workers: u16,
        backends_max: u32,
        key: HashKey,
    ) -> Self {
        let shares: Vec<Share> =
            ranges.iter().map(|range| Share::new(range, worker, workers)).collect();
        let longest = shares.iter().map(|share| share.indices).max().unwrap_or(0);
        let words = longest.div_ceil(64).max(1) as usize;
        let bitmap = || Bitmap { binding: None, lent: 0, taken: vec![0; words].into() };
        Self {
            shares,
            bitmaps: (0..backends_max).map(|_| bitmap()).collect(),
            // Four times the entries: hashbrown then clears tombstones in place and never grows.
            by_binding: HashMap::with_capacity_and_hasher(backends_max as usize * 4, key),
            unused: (0..backends_max).rev().collect(),
        }
    }

    /// Lends a port towards a backend; `hash` decides where the search starts.
    ///
    /// # Errors
    /// [`SnatError`]; nothing has changed then.
    pub fn lend(&mut self, binding: Binding, hash: u64) -> Result<SocketAddrV4, SnatError> {
        let share = self.shares.get(usize::from(binding.range)).ok_or(SnatError::PortsExhausted)?;
        if share.capacity == 0 {
            return Err(SnatError::PortsExhausted);
        }
        let at = match self.by_binding.get(&binding) {
            Some(at) => *at,
            None => Self::bind(
                &mut self.bitmaps,
                &mut self.unused,
                &mut self.by_binding,
                binding,
                share,
            )?,
        };
        let bitmap = self.bitmaps.get_mut(at as usize).ok_or(SnatError::BackendsFull)?;
        if bitmap.lent >= share.capacity {
            return Err(SnatError::PortsExhausted);
        }
        // Multiplication maps the hash onto the indices without a division.
        let start = u32::try_from(((hash >> 32) * u64::from(share.indices)) >> 32).unwrap_or(0);
        let index = bitmap.search(start).ok_or(SnatError::PortsExhausted)?;
        let port = share.port(index).ok_or(SnatError::PortsExhausted)?;
        if let Some(word) = bitmap.word(index) {
            *word |= 1 << (index % 64);
        }
        bitmap.lent += 1;
        Ok(SocketAddrV4::new(share.range.address, port))
    }

    /// Takes a port back. `false`: it was not lent.
    pub fn give_back(&mut self, binding: Binding, port: u16) -> bool {
        let Some(at) = self.by_binding.get(&binding).copied() else { return false };
        let share = self.shares.get(usize::from(binding.range));
        let share = share.filter(|share| share.range.ports.contains(&port));
        let Some(index) = share.and_then(|share| share.index(port)) else { return false };
        let Some(bitmap) = self.bitmaps.get_mut(at as usize) else { return false };
        let Some(word) = bitmap.word(index) else { return false };
        let bit = 1 << (index % 64);
        if *word & bit == 0 {
            return false;
        }
        *word &= !bit;
        bitmap.lent -= 1;
        if bitmap.lent == 0 {
            bitmap.binding = None;
            self.by_binding.remove(&binding);
            self.unused.push(at);
        }
        true
    }

    /// Which range an address belongs to.
    pub fn range_of(&self, snat: SocketAddrV4) -> Option<u16> {
        let at = self.shares.iter().position(|share| share.range.address == *snat.ip())?;
        u16::try_from(at).ok()
    }

    /// What is lent, backend by backend.
    pub fn usage(&self) -> impl Iterator<Item = Usage> + '_ {
        self.bitmaps.iter().filter_map(|bitmap| {
            let binding = bitmap.binding?;
            let capacity = self.shares.get(usize::from(binding.range))?.capacity;
            Some(Usage { binding, lent: bitmap.lent, capacity })
        })
    }

    fn bind(
        bitmaps: &mut [Bitmap],
        unused: &mut Vec<u32>,
        by_binding: &mut HashMap<Binding, u32, HashKey>,
        binding: Binding,
        share: &Share,
    ) -> Result<u32, SnatError> {
        let at = unused.pop().ok_or(SnatError::BackendsFull)?;
        let bitmap = bitmaps.get_mut(at as usize).ok_or(SnatError::BackendsFull)?;
        bitmap.binding = Some(binding);
        bitmap.taken.fill(0);
        // What lies outside of the range is taken for good. Those indices are the first and the
        // last group only, and the words after them.
        let words = u32::try_from(bitmap.taken.len()).unwrap_or(0);
        let group = u32::try_from(share.residues.len()).unwrap_or(1);
        let head = 0..group.min(share.indices);
        let tail = share.indices.saturating_sub(group)..words * 64;
        for index in head.chain(tail) {
            let outside = index >= share.indices || share.port(index).is_none();
            if outside && let Some(word) = bitmap.word(index) {
                *word |= 1 << (index % 64);
            }
        }
        by_binding.insert(binding, at);
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;
    use std::net::Ipv4Addr;

    const KEY: HashKey = HashKey([1, 2]);
    const SNAT: Ipv4Addr = Ipv4Addr::new(172, 26, 50, 101);

    fn ports(range: std::ops::RangeInclusive<u16>, worker: u16, workers: u16) -> SnatPorts {
        let range = SnatRange { address: SNAT, ports: range };
        SnatPorts::new(&[range], WorkerId::new(worker), workers, 2, KEY)
    }

    fn towards(last: u8) -> Binding {
        let backend = SocketAddrV4::new(Ipv4Addr::new(10, 0, 1, last), 80);
        Binding { range: 0, backend, protocol: Protocol::Tcp }
    }

    #[test]
    fn a_range_of_one_port_lends_exactly_that_port_once() {
        let mut ports = ports(31210..=31210, 0, 1);
        let lent = ports.lend(towards(72), 0xdead_beef_0000_0000).unwrap();
        assert_eq!(lent, SocketAddrV4::new(SNAT, 31210));
        assert_eq!(ports.lend(towards(72), 1), Err(SnatError::PortsExhausted));
        // The same port is free towards another backend.
        assert_eq!(ports.lend(towards(73), 1).unwrap().port(), 31210);
        assert!(ports.give_back(towards(72), 31210));
        assert!(!ports.give_back(towards(72), 31210), "twice");
        assert!(ports.lend(towards(72), 2).is_ok());
    }

    #[test]
    fn more_backends_than_bitmaps_are_refused_until_one_is_idle() {
        let mut ports = ports(1024..=2047, 0, 1);
        let first = ports.lend(towards(1), 0).unwrap().port();
        ports.lend(towards(2), 0).unwrap();
        assert_eq!(ports.lend(towards(3), 0), Err(SnatError::BackendsFull));
        assert!(ports.give_back(towards(1), first));
        assert!(ports.lend(towards(3), 0).is_ok());
    }

    proptest! {
        #[test]
        fn the_shares_of_all_workers_cover_the_range_once_and_every_port_has_its_owner(
            workers in 1u16..9, start in 1u16..3000, len in 0u16..700, hash: u64
        ) {
            let mut seen = HashSet::new();
            for worker in 0..workers {
                let mut ports = ports(start..=start + len, worker, workers);
                let mut at = hash;
                loop {
                    at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    match ports.lend(towards(9), at) {
                        Ok(lent) => {
                            prop_assert_eq!(port_owner(lent.port(), workers), WorkerId::new(worker));
                            prop_assert!(seen.insert(lent.port()), "{} lent twice", lent.port());
                        }
                        Err(error) => {
                            prop_assert_eq!(error, SnatError::PortsExhausted);
                            break;
                        }
                    }
                }
            }
            prop_assert_eq!(seen.len(), usize::from(len) + 1);
            prop_assert!(seen.iter().all(|port| (start..=start + len).contains(port)));
        }

        #[test]
        fn lending_and_giving_back_in_any_order_never_lends_a_port_twice(
            program in proptest::collection::vec((any::<bool>(), any::<u32>()), 1..400)
        ) {
            let mut ports = ports(2000..=2099, 1, 2);
            let mut lent: Vec<u16> = Vec::new();
            for (lend, random) in program {
                if lend {
                    if let Ok(port) = ports.lend(towards(7), u64::from(random) << 32) {
                        prop_assert!(!lent.contains(&port.port()));
                        lent.push(port.port());
                    } else {
                        prop_assert_eq!(lent.len(), 50);
                    }
                } else if !lent.is_empty() {
                    let port = lent.swap_remove(random as usize % lent.len());
                    prop_assert!(ports.give_back(towards(7), port));
                }
                let usage: u32 = ports.usage().map(|usage| usage.lent).sum();
                prop_assert_eq!(usage as usize, lent.len());
            }
        }
    }
}

//! The hash index: two entries per flow, tags first, one cache line per bucket.
//!
//! A full bucket overflows into the next one, at most [`PROBE_MAX`] lines further. Each bucket
//! counts the entries that wanted it and went on, so a lookup that misses stops at the first bucket
//! which never overflowed, and a removal leaves no tombstone.

use bytemuck::{Pod, Zeroable};

use super::key::Direction;
use super::record::FlowIndex;
use crate::prefetch::prefetch;

/// Buckets that one lookup may touch.
pub(super) const PROBE_MAX: usize = 16;
/// Entries of one bucket.
pub(super) const BUCKET_ENTRIES: usize = 8;

/// An index entry: record number and direction. 0 is empty.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry(u32);

impl Entry {
    pub(super) const fn new(flow: FlowIndex, direction: Direction) -> Self {
        Self(flow.0 << 1 | matches!(direction, Direction::Reply) as u32)
    }

    pub(super) const fn flow(self) -> FlowIndex {
        FlowIndex(self.0 >> 1)
    }

    pub(super) const fn direction(self) -> Direction {
        if self.0 & 1 == 0 { Direction::Original } else { Direction::Reply }
    }
}

/// Eight entries and their tags: one cache line.
#[derive(Copy, Clone, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
pub(super) struct Bucket {
    /// 16 bits of each entry's hash; 0 is empty.
    tags: [u16; BUCKET_ENTRIES],
    entries: [u32; BUCKET_ENTRIES],
    /// Entries that hashed here and lie further on.
    overflow: u32,
    spare: [u32; 3],
}

const _: () = assert!(size_of::<Bucket>() == 64);

/// Where a hash points: home bucket and tag.
#[derive(Copy, Clone, Debug)]
struct Home {
    bucket: usize,
    tag: u16,
}

#[inline]
fn home(hash: u64, buckets: usize) -> Home {
    // The high half picks the bucket by multiplication (no division, any count), the low bits tag.
    let bucket = (((hash >> 32) * buckets as u64) >> 32) as usize;
    #[expect(clippy::cast_possible_truncation, reason = "the low 16 bits are the tag")]
    let tag = (hash as u16).max(1);
    Home { bucket, tag }
}

/// The bucket `step` lines after `home`, cyclic.
#[inline]
fn nth(home: Home, step: usize, buckets: usize) -> usize {
    let at = home.bucket + step;
    if at >= buckets { at - buckets } else { at }
}

#[inline]
pub(super) fn prefetch_home(buckets: &[Bucket], hash: u64) {
    if let Some(bucket) = buckets.get(home(hash, buckets.len()).bucket) {
        prefetch(bucket);
    }
}

/// Tags of a bucket that equal `tag`, as a bit mask.
#[inline]
fn matching(bucket: &Bucket, tag: u16) -> u32 {
    let mut mask = 0;
    for (bit, have) in bucket.tags.iter().enumerate() {
        mask |= u32::from(*have == tag) << bit;
    }
    mask
}

/// First entry of the home bucket whose tag fits; a guess that the record confirms.
#[inline]
pub(super) fn candidate(buckets: &[Bucket], hash: u64) -> Option<Entry> {
    let home = home(hash, buckets.len());
    let bucket = buckets.get(home.bucket)?;
    let mask = matching(bucket, home.tag);
    if mask == 0 {
        return None;
    }
    bucket.entries.get(mask.trailing_zeros() as usize).map(|entry| Entry(*entry))
}

/// Looks through all buckets of `hash` for an entry that `is_it` confirms.
pub(super) fn find(
    buckets: &[Bucket],
    hash: u64,
    mut is_it: impl FnMut(Entry) -> bool,
) -> Option<Entry> {
    let home = home(hash, buckets.len());
    for step in 0..PROBE_MAX {
        let bucket = buckets.get(nth(home, step, buckets.len()))?;
        let mut mask = matching(bucket, home.tag);
        while mask != 0 {
            let entry = Entry(*bucket.entries.get(mask.trailing_zeros() as usize)?);
            if is_it(entry) {
                return Some(entry);
            }
            mask &= mask - 1;
        }
        if bucket.overflow == 0 {
            return None;
        }
    }
    None
}

/// Enters an entry; `false` when all of its buckets are full.
#[must_use]
pub(super) fn insert(buckets: &mut [Bucket], hash: u64, entry: Entry) -> bool {
    let count = buckets.len();
    let home = home(hash, count);
    for step in 0..PROBE_MAX {
        let Some(bucket) = buckets.get_mut(nth(home, step, count)) else { return false };
        let Some(free) = bucket.tags.iter().position(|tag| *tag == 0) else { continue };
        let (Some(tag), Some(place)) = (bucket.tags.get_mut(free), bucket.entries.get_mut(free))
        else {
            return false;
        };
        *tag = home.tag;
        *place = entry.0;
        for passed in 0..step {
            if let Some(bucket) = buckets.get_mut(nth(home, passed, count)) {
                bucket.overflow += 1;
            }
        }
        return true;
    }
    false
}

/// Takes an entry out; `false` when it was not there.
pub(super) fn remove(buckets: &mut [Bucket], hash: u64, entry: Entry) -> bool {
    let count = buckets.len();
    let home = home(hash, count);
    for step in 0..PROBE_MAX {
        let Some(bucket) = buckets.get_mut(nth(home, step, count)) else { return false };
        let found = bucket
            .tags
            .iter_mut()
            .zip(bucket.entries.iter_mut())
            .find(|(tag, have)| **tag == home.tag && **have == entry.0);
        let Some((tag, place)) = found else { continue };
        *tag = 0;
        *place = 0;
        for passed in 0..step {
            if let Some(bucket) = buckets.get_mut(nth(home, passed, count)) {
                bucket.overflow -= 1;
            }
        }
        return true;
    }
    false
}

/// Entries in all buckets; each bucket's tags and entries agree on which places are taken.
#[cfg(test)]
pub(super) fn entry_count(buckets: &[Bucket]) -> usize {
    let places = buckets.iter().flat_map(|bucket| bucket.tags.iter().zip(&bucket.entries));
    places
        .filter(|(tag, entry)| {
            assert_eq!(**tag == 0, **entry == 0);
            **tag != 0
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn empty(count: usize) -> Vec<Bucket> {
        vec![Bucket::zeroed(); count]
    }

    #[test]
    fn a_full_neighbourhood_refuses_and_nothing_is_half_entered() {
        let mut buckets = empty(64);
        let hash = 5 << 58;
        for (flow, _) in (1..).zip(0..PROBE_MAX * BUCKET_ENTRIES) {
            assert!(insert(&mut buckets, hash, Entry::new(FlowIndex(flow), Direction::Original)));
        }
        let before = buckets.clone();
        assert!(!insert(&mut buckets, hash, Entry::new(FlowIndex(999), Direction::Reply)));
        assert_eq!(bytemuck::cast_slice::<_, u8>(&before), bytemuck::cast_slice(&buckets));
    }

    proptest! {
        #[test]
        fn any_program_of_inserts_and_removes_agrees_with_a_hash_map(
            program in proptest::collection::vec((any::<bool>(), 0u32..200, 0u64..12), 1..600)
        ) {
            let mut buckets = empty(16);
            let mut model: HashMap<u32, u64> = HashMap::new();
            for (add, flow, spot) in program {
                let entry = Entry::new(FlowIndex(flow + 1), Direction::Original);
                // Few homes and few tags, so that overflow and false tag matches happen.
                let hash = spot << 60 | u64::from(flow % 3);
                if add && !model.contains_key(&flow) {
                    if insert(&mut buckets, hash, entry) {
                        model.insert(flow, hash);
                    }
                } else if let Some(hash) = model.remove(&flow) {
                    prop_assert!(remove(&mut buckets, hash, entry));
                }
                for (flow, hash) in &model {
                    let want = Entry::new(FlowIndex(flow + 1), Direction::Original);
                    prop_assert_eq!(find(&buckets, *hash, |entry| entry == want), Some(want));
                }
            }
            for (flow, hash) in model.drain() {
                let entry = Entry::new(FlowIndex(flow + 1), Direction::Original);
                prop_assert!(remove(&mut buckets, hash, entry));
            }
            prop_assert!(bytemuck::cast_slice::<_, u8>(&buckets).iter().all(|byte| *byte == 0));
        }
    }
}

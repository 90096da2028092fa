//! Maglev's lookup table: consistent hashing by permutation fill (Eisenbud et al., NSDI'16, 3.4).
//!
//! Every box that knows the same backends, weights and seed builds the same table, in whatever order
//! it learnt of them, so that a flow without a record finds the same backend everywhere.

use std::fmt;
use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher24;
use siphasher::sip128::{Hasher128, SipHasher24 as SipHasher24Wide};

/// Table sizes, all prime so that every skip visits every slot (Cilium's list, ended where a slot
/// number still fits 16 bits).
pub const SIZES: [u16; 9] = [251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521];

/// Slots per backend that keep the difference between backends, and the needless moves when one
/// leaves, at about one percent (Cilium's rule).
const SLOTS_PER_BACKEND: usize = 100;

/// Backends of one table; further ones get no slot.
pub const BACKENDS_MAX: usize = 65_521;

const EMPTY: u16 = u16::MAX;
const _: () = assert!(BACKENDS_MAX <= EMPTY as usize, "EMPTY must be no backend's index");

/// One backend as the table sees it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct MaglevBackend {
    /// See [`identity`].
    pub identity: u64,
    /// Share of the slots relative to the other backends; 0 takes none.
    pub weight: u16,
}

/// The stable number of a backend within its Service: a function of address and port alone, the same
/// on every box and in every release.
pub fn identity(address: IpAddr, port: u16) -> u64 {
    let octets = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    };
    let mut hasher = SipHasher24::new();
    hasher.write(&octets);
    hasher.write(&port.to_be_bytes());
    hasher.finish()
}

/// The table: an immutable array of backend indices.
#[derive(Clone, PartialEq, Eq)]
pub struct Table {
    slots: Box<[u16]>,
}

/// A backend during the fill.
struct Turn {
    index: u16,
    weight: u32,
    /// Grows by the weight each round; a slot costs the largest weight.
    credit: u32,
    /// Next slot of the backend's permutation.
    position: u32,
    skip: u32,
}

impl Table {
    /// Builds the table. Its size depends on the number of backends given, so pass those that are
    /// out of service too, with weight 0: then the size stays when they come and go.
    ///
    /// With no weight at all the table is empty. Otherwise each backend of a weight has a slot, as
    /// long as there are as many slots as backends, and its share is exact to about one slot.
    pub fn build(backends: &[MaglevBackend], seed: [u8; 16]) -> Self {
        let weight_max = backends.iter().take(BACKENDS_MAX).map(|b| b.weight).max().unwrap_or(0);
        if weight_max == 0 {
            return Self { slots: Box::default() };
        }
        let size = size_for(backends.len());
        let mut turns = turns(backends, seed, size, weight_max);
        let mut slots = vec![EMPTY; usize::from(size)].into_boxed_slice();
        fill(&mut slots, &mut turns, weight_max);
        Self { slots }
    }

    /// The index, in the slice that the table was built from, of the backend for `hash`; `None` when no
    /// backend has a weight. Any well-mixed hash will do, also one of only 32 bits.
    #[inline]
    pub fn pick(&self, hash: u64) -> Option<u16> {
        let slot = hash.checked_rem(u64::try_from(self.slots.len()).ok()?)?;
        self.slots.get(usize::try_from(slot).ok()?).copied()
    }

    /// The slots in order, each the index of a backend; empty, or one of [`SIZES`] long.
    pub fn slots(&self) -> &[u16] {
        &self.slots
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("slots", &self.slots.len()).finish_non_exhaustive()
    }
}

fn size_for(backends: usize) -> u16 {
    let wanted = backends.saturating_mul(SLOTS_PER_BACKEND);
    let [.., largest] = SIZES;
    SIZES.into_iter().find(|size| usize::from(*size) >= wanted).unwrap_or(largest)
}

/// The backends that take part, in canonical order.
fn turns(backends: &[MaglevBackend], seed: [u8; 16], size: u16, weight_max: u16) -> Vec<Turn> {
    let mut taking: Vec<(u64, u16, u16)> = (0u16..)
        .zip(backends.iter().take(BACKENDS_MAX))
        .filter(|(_, backend)| backend.weight > 0)
        .map(|(index, backend)| (backend.identity, backend.weight, index))
        .collect();
    taking.sort_unstable();
    taking
        .into_iter()
        .map(|(identity, weight, index)| {
            let (position, skip) = permutation(identity, seed, size);
            // The first round gives one slot to each, so that no weight is too small for any.
            let credit = u32::from(weight_max - weight);
            Turn { index, weight: u32::from(weight), credit, position, skip }
        })
        .collect()
}

/// Offset and skip of a backend's walk over the slots.
fn permutation(identity: u64, seed: [u8; 16], size: u16) -> (u32, u32) {
    let mut hasher = SipHasher24Wide::new_with_key(&seed);
    hasher.write(&identity.to_le_bytes());
    let hash = hasher.finish128();
    let below = |hash: u64, bound: u16| {
        // A remainder of a 16-bit bound always fits; 0 is never reached.
        u32::try_from(hash.checked_rem(u64::from(bound)).unwrap_or(0)).unwrap_or(0)
    };
    (below(hash.h1, size), below(hash.h2, size - 1) + 1)
}

/// Round after round, each backend that can pay takes the next free slot of its permutation.
fn fill(slots: &mut [u16], turns: &mut [Turn], weight_max: u16) {
    let size = u32::try_from(slots.len()).unwrap_or(u32::MAX);
    let price = u32::from(weight_max);
    let mut free = size;
    // The backend of the largest weight pays in every round, so that each round takes a slot.
    while free > 0 {
        for turn in &mut *turns {
            turn.credit += turn.weight;
            if turn.credit < price {
                continue;
            }
            turn.credit -= price;
            take_next(slots, turn, size);
            free -= 1;
            if free == 0 {
                return;
            }
        }
    }
}

/// Walks to the next free slot. There is one, and the walk visits all: size is prime.
fn take_next(slots: &mut [u16], turn: &mut Turn, size: u32) {
    loop {
        let slot = slots.get_mut(turn.position as usize);
        turn.position += turn.skip;
        if turn.position >= size {
            turn.position -= size;
        }
        if let Some(slot) = slot
            && *slot == EMPTY
        {
            *slot = turn.index;
            return;
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "counts are small"
)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const SEED: [u8; 16] = *b"spillway-maglev!";

    fn backend(number: u32, weight: u16) -> MaglevBackend {
        let address = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
        MaglevBackend { identity: identity(address, 80), weight }
    }

    fn equal(count: u32) -> Vec<MaglevBackend> {
        (0..count).map(|number| backend(number, 1)).collect()
    }

    /// Slots of each backend.
    fn counts(table: &Table, backends: usize) -> Vec<usize> {
        let mut counts = vec![0; backends];
        for slot in table.slots() {
            counts[usize::from(*slot)] += 1;
        }
        counts
    }

    /// Share of the slots that changed though their backend stayed.
    fn needless_moves(before: &Table, after: &Table, gone: u16) -> f64 {
        assert_eq!(before.slots().len(), after.slots().len(), "the size must stay");
        let pairs = before.slots().iter().zip(after.slots());
        let moved = pairs.filter(|(old, new)| **old != gone && old != new).count();
        moved as f64 / before.slots().len() as f64
    }

    #[test]
    fn all_sizes_are_prime_and_grow() {
        for size in SIZES {
            assert!((2..256).filter(|d| *d < size).all(|d| size % d != 0), "{size}");
        }
        assert!(SIZES.is_sorted());
    }

    #[test]
    fn the_size_is_the_next_prime_above_a_hundred_slots_for_each_backend() {
        let sizes = [(1, 251), (2, 251), (3, 509), (5, 509), (6, 1021), (100, 16381), (328, 65521)];
        for (backends, size) in sizes {
            assert_eq!(size_for(backends), size, "{backends} backends");
        }
        assert_eq!(size_for(1_000_000), 65521);
        assert_eq!(size_for(usize::MAX), 65521);
    }

    #[test]
    fn no_backend_or_no_weight_picks_none() {
        assert_eq!(Table::build(&[], SEED).pick(7), None);
        assert_eq!(Table::build(&[backend(0, 0), backend(1, 0)], SEED).pick(7), None);
    }

    #[test]
    fn a_single_backend_gets_every_hash() {
        let table = Table::build(&[backend(0, 0), backend(1, 3)], SEED);
        for hash in [0, 1, 250, 251, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(table.pick(hash), Some(1));
        }
    }

    #[test]
    fn equal_backends_differ_by_one_slot_at_most() {
        for count in [1, 2, 3, 10, 100, 655] {
            let table = Table::build(&equal(count), SEED);
            let counts = counts(&table, count as usize);
            let (min, max) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(max - min <= 1, "{count} backends: {min}..{max}");
        }
    }

    #[test]
    fn removing_one_backend_moves_few_slots_of_the_others() {
        for (count, bound) in [(3, 0.04), (10, 0.03), (100, 0.015), (327, 0.015)] {
            let before = Table::build(&equal(count), SEED);
            let mut worst: f64 = 0.0;
            for gone in (0..count).step_by(count as usize / 3) {
                let mut backends = equal(count);
                backends[gone as usize].weight = 0;
                let after = Table::build(&backends, SEED);
                assert!(
                    !after.slots().contains(&(gone as u16)),
                    "a backend without weight has a slot"
                );
                worst = worst.max(needless_moves(&before, &after, gone as u16));
            }
            assert!(worst <= bound, "{count} backends: {worst} of the slots moved needlessly");
        }
    }

    #[test]
    fn another_seed_gives_another_table() {
        let (a, b) = (Table::build(&equal(10), SEED), Table::build(&equal(10), [0; 16]));
        let same = a.slots().iter().zip(b.slots()).filter(|(a, b)| a == b).count();
        assert!(same < a.slots().len() / 4, "{same} slots are the same");
    }

    #[test]
    fn the_table_of_three_backends_is_the_same_in_every_release() {
        // Filled and hashed apart from this code, by the paper's listing.
        let table = Table::build(&equal(3), SEED);
        let mut hasher = SipHasher24::new();
        table.slots().iter().for_each(|slot| hasher.write(&slot.to_le_bytes()));
        assert_eq!((table.slots().len(), hasher.finish()), (509, 2_029_702_698_431_318_502));
    }

    #[test]
    fn identity_is_the_same_in_every_release_and_tells_its_parts_apart() {
        let v4 = IpAddr::from([10, 0, 1, 72]);
        // Computed apart from this code, by the definition of SipHash-2-4.
        assert_eq!(identity(v4, 80), 16_153_096_038_726_136_949);
        assert_ne!(identity(v4, 80), identity(v4, 81));
        assert_ne!(identity(v4, 80), identity(IpAddr::from([10, 0, 1, 73]), 80));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn the_order_in_which_backends_are_given_does_not_matter(
            weights in vec(0u16..100, 1..40), seed: [u8; 16], rotation: usize
        ) {
            let backends: Vec<_> =
                (0..).zip(&weights).map(|(number, weight)| backend(number, *weight)).collect();
            let mut shuffled = backends.clone();
            shuffled.reverse();
            shuffled.rotate_left(rotation % weights.len());
            let (a, b) = (Table::build(&backends, seed), Table::build(&shuffled, seed));
            prop_assert_eq!(a.slots().len(), b.slots().len());
            for (a, b) in a.slots().iter().zip(b.slots()) {
                prop_assert_eq!(backends[usize::from(*a)], shuffled[usize::from(*b)]);
            }
        }

        #[test]
        fn shares_follow_weights_to_about_one_slot(weights in vec(any::<u16>(), 1..30), seed: [u8; 16]) {
            let backends: Vec<_> =
                (0..).zip(&weights).map(|(number, weight)| backend(number, *weight)).collect();
            let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
            prop_assume!(total > 0.0);
            let table = Table::build(&backends, seed);
            let size = table.slots().len() as f64;
            // One slot of rounding for itself, and one for every other's.
            let others = weights.len() as f64 / total * f64::from(*weights.iter().max().unwrap());
            for (weight, count) in weights.iter().zip(counts(&table, weights.len())) {
                let ideal = f64::from(*weight) / total * size;
                prop_assert!((count as f64 - ideal).abs() <= 2.0 + others, "{ideal} {count}");
                prop_assert_eq!(*weight == 0, count == 0);
            }
        }
    }
}

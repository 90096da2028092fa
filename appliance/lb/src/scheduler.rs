//! Random choice by weight, and the numbers that it draws.

use std::fmt;

/// Pseudo-random numbers for scheduling, not for secrets: xoshiro256++ (Blackman and Vigna, 2019), seeded
/// through splitmix64. One for each worker.
#[derive(Clone)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// Every seed is good, also 0.
    pub fn new(seed: u64) -> Self {
        let mut mixed = seed;
        let state = [(); 4].map(|()| splitmix64(&mut mixed));
        Self { state }
    }

    /// The next number, uniform over all of `u64`.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        let [s0, s1, s2, s3] = &mut self.state;
        let result = s0.wrapping_add(*s3).rotate_left(23).wrapping_add(*s0);
        let shifted = *s1 << 17;
        *s2 ^= *s0;
        *s3 ^= *s1;
        *s1 ^= *s2;
        *s0 ^= *s3;
        *s2 ^= shifted;
        *s3 = s3.rotate_left(45);
        result
    }
}

impl fmt::Debug for Rng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rng").finish_non_exhaustive()
    }
}

fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A column of the alias table: its owner below the threshold, the alias from there on.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct Column {
    /// In units of 2^-32.
    threshold: u32,
    alias: u16,
}

/// Random choice by weight in constant time (Walker's alias method, built as by Vose, 1991).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WeightedRandom {
    columns: Box<[Column]>,
}

impl WeightedRandom {
    /// From the backends' weights; those beyond the first 65,536 are not picked. All zero: nothing
    /// is ever picked.
    pub fn build(weights: &[u16]) -> Self {
        let weights = weights.get(..1 << 16).unwrap_or(weights);
        let total: u64 = weights.iter().copied().map(u64::from).sum();
        if total == 0 {
            return Self::default();
        }
        // A column holds `total` units, so that the arithmetic is exact: all weights together, each
        // taken as many times as there are columns, fill the columns without remainder.
        let count = weights.len() as u64;
        let mut columns: Vec<Column> =
            (0..=u16::MAX).zip(weights).map(|(alias, _)| Column { threshold: 0, alias }).collect();
        let scaled = (0..=u16::MAX).zip(weights).map(|(index, w)| (index, u64::from(*w) * count));
        let (mut small, mut large): (Vec<_>, Vec<_>) =
            scaled.partition(|(_, units)| *units < total);
        while let Some((owner, units)) = small.pop()
            && let Some((alias, rest)) = large.pop()
        {
            if let Some(column) = columns.get_mut(usize::from(owner)) {
                *column = Column { threshold: share(units, total), alias };
            }
            let left = rest - (total - units);
            if left < total { small.push((alias, left)) } else { large.push((alias, left)) }
        }
        Self { columns: columns.into_boxed_slice() }
    }

    /// The index of a weight, drawn by a uniform `random`; `None` when all weights are zero.
    #[inline]
    pub fn pick(&self, random: u64) -> Option<u16> {
        let count = u64::try_from(self.columns.len()).ok()?;
        // The upper half chooses a column without bias worth speaking of, the lower half tosses.
        let index = ((random >> 32) * count) >> 32;
        let column = self.columns.get(usize::try_from(index).ok()?)?;
        if random & 0xffff_ffff < u64::from(column.threshold) {
            u16::try_from(index).ok()
        } else {
            Some(column.alias)
        }
    }
}

/// `units / total` in units of 2^-32, `units < total`; 0 only for 0 or next to it.
fn share(units: u64, total: u64) -> u32 {
    // At most 2^16 weights of 2^16 each: 2^32 in total, and units below that, so nothing overflows.
    u32::try_from((units << 32).checked_div(total).unwrap_or(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "counts are small")]
mod tests {
    use super::{Rng, *};
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// The exact probability of each index, in units of 2^-32 of a column.
    fn probabilities(random: &WeightedRandom) -> Vec<f64> {
        let count = random.columns.len();
        let mut sums = vec![0.0; count];
        for (owner, column) in random.columns.iter().enumerate() {
            let own = f64::from(column.threshold) / 2f64.powi(32);
            sums[owner] += own / count as f64;
            sums[usize::from(column.alias)] += (1.0 - own) / count as f64;
        }
        sums
    }

    #[test]
    fn xoshiro_gives_the_published_numbers() {
        // Reference implementation, state 1, 2, 3, 4.
        let mut rng = Rng { state: [1, 2, 3, 4] };
        let numbers = [(); 4].map(|()| rng.next_u64());
        assert_eq!(numbers, [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]);
    }

    #[test]
    fn splitmix_gives_the_published_numbers() {
        let mut state = 1_234_567;
        let numbers = [(); 2].map(|()| splitmix64(&mut state));
        assert_eq!(numbers, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn two_seeds_give_two_sequences_and_one_seed_gives_one() {
        let numbers = |seed| {
            let mut rng = Rng::new(seed);
            [(); 4].map(|()| rng.next_u64())
        };
        assert_eq!(numbers(0), numbers(0));
        assert_ne!(numbers(0), numbers(1));
        assert_ne!(numbers(0), [0; 4]);
    }

    #[test]
    fn no_weight_picks_none() {
        for weights in [&[][..], &[0], &[0, 0, 0]] {
            let random = WeightedRandom::build(weights);
            assert_eq!(random.pick(0), None);
            assert_eq!(random.pick(u64::MAX), None);
        }
    }

    #[test]
    fn one_weight_is_always_picked() {
        let random = WeightedRandom::build(&[0, 0, 5]);
        let mut rng = Rng::new(1);
        assert!((0..1000).all(|_| random.pick(rng.next_u64()) == Some(2)));
        assert_eq!(random.pick(0), Some(2));
        assert_eq!(random.pick(u64::MAX), Some(2));
    }

    #[test]
    fn drawn_shares_follow_the_weights() {
        let weights = [1u16, 2, 0, 3, 10];
        let random = WeightedRandom::build(&weights);
        let mut rng = Rng::new(42);
        let mut drawn = [0u32; 5];
        for _ in 0..160_000 {
            drawn[usize::from(random.pick(rng.next_u64()).unwrap())] += 1;
        }
        for (weight, drawn) in weights.into_iter().zip(drawn) {
            // Five standard deviations at most are 1,000.
            assert!(drawn.abs_diff(u32::from(weight) * 10_000) < 1_000, "{weight}: {drawn}");
        }
        assert_eq!(drawn[2], 0);
    }

    #[test]
    fn the_largest_input_neither_overflows_nor_loses_a_weight() {
        let random = WeightedRandom::build(&vec![u16::MAX; 70_000]);
        assert_eq!(random.columns.len(), 1 << 16);
        assert_eq!(random.pick(u64::MAX), Some(u16::MAX));
        assert_eq!(random.pick(0), Some(0));
    }

    proptest! {
        #[test]
        fn probabilities_equal_the_weights(weights in vec(any::<u16>(), 1..200)) {
            let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
            prop_assume!(total > 0.0);
            let random = WeightedRandom::build(&weights);
            for (weight, probability) in weights.iter().zip(probabilities(&random)) {
                prop_assert!((probability - f64::from(*weight) / total).abs() < 1e-8);
            }
        }

        #[test]
        fn weight_zero_is_never_picked(
            weights in vec(prop_oneof![Just(0u16), any::<u16>()], 1..50), draws in vec(any::<u64>(), 50)
        ) {
            let random = WeightedRandom::build(&weights);
            for draw in draws.into_iter().chain([0, 0xffff_ffff, u64::MAX]) {
                match random.pick(draw) {
                    Some(index) => prop_assert!(weights[usize::from(index)] > 0),
                    None => prop_assert!(weights.iter().all(|weight| *weight == 0)),
                }
            }
        }
    }
}

//! Jitter: keeps checks of many backends, and of many boxes, from falling into step.

use std::time::Duration;

/// SplitMix64 (Steele, Lea, Flood 2014): tiny, seeded, good enough to spread a schedule.
#[derive(Clone, Debug)]
pub(super) struct Spread(u64);

impl Spread {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// `interval` stretched or shrunk by up to `percent`, uniformly.
    pub(super) fn around(&mut self, interval: Duration, percent: u8) -> Duration {
        let swing = interval * u32::from(percent) / 100;
        let swing_us = u64::try_from(swing.as_micros()).unwrap_or(u64::MAX / 4).min(u64::MAX / 4);
        let offset_us = self.draw() % (2 * swing_us + 1);
        interval.saturating_sub(Duration::from_micros(swing_us)) + Duration::from_micros(offset_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_jittered_interval_stays_within_its_share(
            seed: u64, millis in 1_u64..100_000, percent in 0_u8..=50,
        ) {
            let interval = Duration::from_millis(millis);
            let swing = interval * u32::from(percent) / 100;
            let jittered = Spread::new(seed).around(interval, percent);
            prop_assert!(jittered + swing >= interval && jittered <= interval + swing);
        }
    }

    #[test]
    fn jitter_reaches_both_ends_of_its_share() {
        let mut rng = Spread::new(7);
        let drawn: Vec<_> =
            (0..1_000).map(|_| rng.around(Duration::from_secs(1), 10).as_millis()).collect();
        assert!(drawn.iter().any(|ms| *ms < 905), "never short");
        assert!(drawn.iter().any(|ms| *ms > 1_095), "never long");
    }

    #[test]
    fn no_jitter_is_exactly_the_interval() {
        let interval = Duration::from_secs(2);
        assert_eq!(Spread::new(1).around(interval, 0), interval);
    }
}

//! Places in an array: which are free, which rest before they may be taken again.
//!
//! First fit, from the lowest place on, so that what is taken stays together. What is given back rests until a
//! moment that the caller names: a program that read a row before it was replaced may still look there.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// `count` places from `first` on.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Range {
    pub first: u32,
    pub count: u32,
}

impl Range {
    /// The place after the last.
    pub const fn end(self) -> u32 {
        self.first.saturating_add(self.count)
    }
}

/// The places of one array.
#[derive(Clone, Debug)]
pub(super) struct Ranges {
    /// First place and end of what is free; neighbours are always joined.
    free: BTreeMap<u32, u32>,
    /// In the order in which they were given back.
    resting: VecDeque<(Duration, Range)>,
    used: u32,
}

impl Ranges {
    /// All places of an array but those before `first` and those that are `taken`, which do not overlap.
    pub(super) fn new(first: u32, end: u32, taken: impl IntoIterator<Item = Range>) -> Self {
        let mut taken: Vec<Range> = taken.into_iter().filter(|range| range.count > 0).collect();
        taken.sort_unstable();
        let mut ranges = Self { free: BTreeMap::new(), resting: VecDeque::new(), used: 0 };
        let mut at = first;
        for range in taken {
            if range.first > at {
                ranges.free.insert(at, range.first);
            }
            at = at.max(range.end());
            ranges.used += range.count;
        }
        if at < end {
            ranges.free.insert(at, end);
        }
        ranges
    }

    /// Takes `count` places in one piece; `None`: there is no such piece.
    pub(super) fn take(&mut self, count: u32) -> Option<Range> {
        if count == 0 {
            return Some(Range::default());
        }
        let (first, end) = self
            .free
            .iter()
            .map(|(first, end)| (*first, *end))
            .find(|(first, end)| end - first >= count)?;
        self.free.remove(&first);
        let range = Range { first, count };
        if range.end() < end {
            self.free.insert(range.end(), end);
        }
        self.used += count;
        Some(range)
    }

    /// Gives back what nobody has seen yet: it can be taken at once.
    pub(super) fn give_back(&mut self, range: Range) {
        self.used = self.used.saturating_sub(range.count);
        self.join(range);
    }

    /// Gives back what somebody may still look at.
    pub(super) fn rest(&mut self, range: Range, until: Duration) {
        if range.count > 0 {
            self.resting.push_back((until, range));
        }
    }

    /// Frees what has rested long enough.
    pub(super) fn wake(&mut self, now: Duration) {
        while let Some((until, range)) = self.resting.front().copied()
            && until <= now
        {
            self.resting.pop_front();
            self.give_back(range);
        }
    }

    /// When the next rest is over.
    pub(super) fn next_wake(&self) -> Option<Duration> {
        self.resting.front().map(|(until, _)| *until)
    }

    /// Places that are taken, those that rest too.
    pub(super) const fn used(&self) -> u32 {
        self.used
    }

    /// Places that rest.
    pub(super) fn resting(&self) -> u32 {
        self.resting.iter().map(|(_, range)| range.count).sum()
    }

    fn join(&mut self, range: Range) {
        if range.count == 0 {
            return;
        }
        let (mut first, mut end) = (range.first, range.end());
        if let Some((before, before_end)) = self.free.range(..first).next_back()
            && *before_end == first
        {
            first = *before;
        }
        if let Some(after_end) = self.free.remove(&end) {
            end = after_end;
        }
        self.free.insert(first, end);
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const fn at(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    #[test]
    fn what_rests_cannot_be_taken_before_its_time() {
        let mut ranges = Ranges::new(0, 10, []);
        let first = ranges.take(6).unwrap();
        assert_eq!(ranges.take(5), None);
        ranges.rest(first, at(1));
        ranges.wake(Duration::from_millis(999));
        assert_eq!((ranges.take(5), ranges.used(), ranges.resting()), (None, 6, 6));
        ranges.wake(at(1));
        assert_eq!(ranges.take(10), Some(Range { first: 0, count: 10 }));
    }

    #[test]
    fn what_others_have_is_left_alone() {
        let taken = [Range { first: 4, count: 2 }, Range { first: 1, count: 1 }];
        let mut ranges = Ranges::new(1, 8, taken);
        assert_eq!(ranges.used(), 3);
        assert_eq!(ranges.take(2), Some(Range { first: 2, count: 2 }));
        assert_eq!(ranges.take(2), Some(Range { first: 6, count: 2 }));
        assert_eq!(ranges.take(1), None);
        assert_eq!(ranges.take(0), Some(Range::default()));
    }

    proptest! {
        #[test]
        fn no_place_is_taken_twice_and_none_is_lost(moves in vec((any::<bool>(), 0u32..9), 1..200)) {
            let mut ranges = Ranges::new(1, 40, []);
            let mut taken: Vec<Range> = Vec::new();
            for (second, (is_take, number)) in (0u64..).zip(moves) {
                ranges.wake(at(second));
                if is_take {
                    taken.extend(ranges.take(number).filter(|range| range.count > 0));
                } else if !taken.is_empty() {
                    let range = taken.swap_remove(number as usize % taken.len());
                    ranges.rest(range, at(second + 3));
                }
                let mut places: Vec<u32> = taken.iter().flat_map(|it| it.first..it.end()).collect();
                prop_assert!(places.iter().all(|place| (1..40).contains(place)));
                let count = places.len();
                places.sort_unstable();
                places.dedup();
                prop_assert_eq!(count, places.len());
                prop_assert_eq!(u32::try_from(count).unwrap() + ranges.resting(), ranges.used());
            }
            taken.drain(..).for_each(|range| ranges.rest(range, at(1000)));
            ranges.wake(at(1000));
            prop_assert_eq!(ranges.take(39), Some(Range { first: 1, count: 39 }));
        }
    }
}

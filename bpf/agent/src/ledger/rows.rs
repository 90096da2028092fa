//! Rows of `backends`: which are free, which rest.
//!
//! The row that has been free for longest is taken first. Sockets, flows and clients remember rows by their number: the
//! later one has another backend, the fewer are left that must find out.

use std::collections::VecDeque;
use std::time::Duration;

/// Free rows of `backends`.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    /// In the order in which they became free.
    free: VecDeque<u32>,
    /// In the order in which they were given up.
    resting: VecDeque<(Duration, u32)>,
}

impl Rows {
    pub(super) fn new(free: impl IntoIterator<Item = u32>) -> Self {
        Self { free: free.into_iter().collect(), resting: VecDeque::new() }
    }

    /// Takes `count` rows, or none.
    pub(super) fn take(&mut self, count: usize) -> Option<Vec<u32>> {
        (count <= self.free.len()).then(|| self.free.drain(..count).collect())
    }

    /// Gives back rows that were taken and not used, in their order.
    pub(super) fn give_back(&mut self, rows: Vec<u32>) {
        rows.into_iter().rev().for_each(|row| self.free.push_front(row));
    }

    /// Gives up a row that somebody may still look at.
    pub(super) fn rest(&mut self, row: u32, until: Duration) {
        self.resting.push_back((until, row));
    }

    /// Frees what has rested long enough.
    pub(super) fn wake(&mut self, now: Duration) {
        while let Some((until, row)) = self.resting.front().copied()
            && until <= now
        {
            self.resting.pop_front();
            self.free.push_back(row);
        }
    }

    /// When the next rest is over.
    pub(super) fn next_wake(&self) -> Option<Duration> {
        self.resting.front().map(|(until, _)| *until)
    }

    /// Rows that can be taken now.
    pub(super) fn free(&self) -> usize {
        self.free.len()
    }

    /// Rows that rest.
    pub(super) fn resting(&self) -> usize {
        self.resting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_that_was_free_for_longest_comes_first_and_one_that_rests_never() {
        let mut rows = Rows::new(1..4);
        assert_eq!(rows.take(2), Some(vec![1, 2]));
        rows.rest(1, Duration::from_secs(5));
        assert_eq!(rows.take(2), None);
        assert_eq!((rows.free(), rows.resting()), (1, 1));
        rows.wake(Duration::from_secs(5));
        assert_eq!(rows.take(2), Some(vec![3, 1]));
        rows.give_back(vec![3, 1]);
        assert_eq!(rows.take(1), Some(vec![3]));
    }
}

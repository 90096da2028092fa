//! Counters by name, so that a test can say what changed.

use std::collections::BTreeMap;
use std::iter::Sum;

use spillway_lb::counters::Counters;
use spillway_lb::verdict::DropReason;

/// Counts that are not 0, by name; drops by the name of their reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    pub(super) fn of(counters: &Counters) -> Self {
        let named = [
            ("received", counters.received),
            ("taken_over", counters.taken_over),
            ("transmitted", counters.transmitted),
            ("local", counters.local),
            ("handed_over", counters.handed_over),
            ("generated", counters.generated),
            ("from_host", counters.from_host),
            ("echo_answered", counters.echo_answered),
            ("flows_created", counters.flows_created),
            ("flows_expired", counters.flows_expired),
        ];
        let dropped =
            DropReason::ALL.iter().map(|reason| (reason.name(), counters.dropped(*reason)));
        named.into_iter().chain(dropped).collect()
    }

    pub(super) fn since(&self, before: &Self) -> Self {
        let earlier = |name| before.0.get(name).copied().unwrap_or(0);
        self.0.iter().map(|(name, count)| (*name, count - earlier(name))).collect()
    }
}

impl FromIterator<(&'static str, u64)> for Tally {
    fn from_iter<I: IntoIterator<Item = (&'static str, u64)>>(counts: I) -> Self {
        Self(counts.into_iter().filter(|(_, count)| *count > 0).collect())
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        let mut all = Self::default();
        for (name, count) in tallies.flat_map(|tally| tally.0) {
            *all.0.entry(name).or_default() += count;
        }
        all
    }
}

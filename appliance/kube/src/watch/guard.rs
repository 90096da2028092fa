//! The shrink guard: a read of the cluster that suddenly loses most of it is kept back until a second one
//! agrees. Pure: time is an argument.
//!
//! An API server behind a broken etcd, a replica that has just started or a wrong selector says "nothing is
//! there" with the same words as an empty cluster. Serving the last state for half a minute longer harms
//! nobody; taking every service down does.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use spillway_cluster::{Kind, ObjectKey};

/// Below this number of objects, half of them may go without a question.
const COUNT_MIN: usize = 4;

/// A read that is kept back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub since: Instant,
    /// When the next read that agrees is applied.
    pub until: Instant,
    /// Objects that are still served.
    pub kept: usize,
    /// How many of them the API server no longer lists.
    pub lost: usize,
}

/// What to do with a complete read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    Apply,
    Hold(Held),
}

/// Remembers the read that is kept back.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    kind: Kind,
    hold: Duration,
    held: Option<(Held, BTreeSet<ObjectKey>)>,
}

impl Guard {
    pub(crate) fn new(kind: Kind, hold: Duration) -> Self {
        Self { kind, hold, held: None }
    }

    /// Judges a complete read against what is served.
    pub(crate) fn judge<'a>(
        &mut self,
        known: impl Iterator<Item = &'a ObjectKey>,
        listed: BTreeSet<ObjectKey>,
        now: Instant,
    ) -> Judgement {
        let (kept, lost) = losses(known, &listed);
        if !is_shrunk(self.kind, kept, lost) {
            self.held = None;
            return Judgement::Apply;
        }
        // The second read agrees when it has not lost most of what the first one still had.
        let first = self.held.take().filter(|(_, first)| {
            let (kept, lost) = losses(first.iter(), &listed);
            !is_shrunk(self.kind, kept, lost)
        });
        let (held, first) = match first {
            Some((held, _)) if now >= held.until => return Judgement::Apply,
            // Compared with the first one for as long as it is held: a slow fall is a fall.
            Some((held, first)) => (Held { kept, lost, ..held }, first),
            None => (Held { since: now, until: now + self.hold, kept, lost }, listed),
        };
        self.held = Some((held.clone(), first));
        Judgement::Hold(held)
    }

    /// The operator says that it is true: the next read is applied if it agrees with the one that is held.
    pub(crate) fn accept(&mut self, now: Instant) {
        if let Some((held, _)) = &mut self.held {
            held.until = now;
        }
    }
}

fn losses<'a>(
    known: impl Iterator<Item = &'a ObjectKey>,
    listed: &BTreeSet<ObjectKey>,
) -> (usize, usize) {
    known.fold((0, 0), |(kept, lost), key| (kept + 1, lost + usize::from(!listed.contains(key))))
}

fn is_shrunk(kind: Kind, known: usize, lost: usize) -> bool {
    match kind {
        Kind::Service | Kind::EndpointSlice => known >= COUNT_MIN && lost * 2 > known,
        // Without nodes nothing at all is served, however few they were.
        Kind::Node => known > 0 && lost == known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_secs(30);

    fn keys(range: std::ops::Range<usize>) -> BTreeSet<ObjectKey> {
        range.map(|n| ObjectKey { namespace: "n".into(), name: format!("{n:04}") }).collect()
    }

    struct World {
        guard: Guard,
        start: Instant,
        known: BTreeSet<ObjectKey>,
    }

    impl World {
        fn new(kind: Kind, known: usize) -> Self {
            Self { guard: Guard::new(kind, HOLD), start: Instant::now(), known: keys(0..known) }
        }

        fn is_held(&mut self, listed: std::ops::Range<usize>, after_s: u64) -> bool {
            let now = self.start + Duration::from_secs(after_s);
            self.guard.judge(self.known.iter(), keys(listed), now) != Judgement::Apply
        }
    }

    #[test]
    fn exactly_half_of_the_services_may_go_and_one_more_is_held() {
        assert!(!World::new(Kind::Service, 10).is_held(0..5, 0));
        assert!(World::new(Kind::Service, 10).is_held(0..4, 0));
        assert!(World::new(Kind::EndpointSlice, 10).is_held(0..4, 0));
    }

    #[test]
    fn new_objects_do_not_hide_that_the_old_ones_are_gone() {
        assert!(World::new(Kind::Service, 10).is_held(10..100, 0));
    }

    #[test]
    fn three_services_may_all_go_but_four_may_not() {
        assert!(!World::new(Kind::Service, 3).is_held(0..0, 0));
        assert!(World::new(Kind::Service, 4).is_held(0..0, 0));
    }

    #[test]
    fn nodes_are_held_only_when_all_of_them_go() {
        assert!(World::new(Kind::Node, 1).is_held(0..0, 0));
        assert!(!World::new(Kind::Node, 10).is_held(0..1, 0));
        assert!(!World::new(Kind::Node, 0).is_held(0..0, 0));
    }

    #[test]
    fn a_second_read_that_agrees_is_applied_after_the_hold_and_not_before() {
        let mut world = World::new(Kind::Service, 10);
        assert!(world.is_held(0..2, 0));
        assert!(world.is_held(0..2, 29));
        assert!(!world.is_held(0..2, 30));
    }

    #[test]
    fn a_similar_second_read_agrees_and_one_that_lost_far_more_does_not() {
        let mut similar = World::new(Kind::Service, 100);
        assert!(similar.is_held(0..40, 0));
        assert!(!similar.is_held(0..39, 31));
        let mut falling = World::new(Kind::Service, 100);
        assert!(falling.is_held(0..40, 0));
        assert!(falling.is_held(0..10, 31), "a new fall is held from its own beginning");
        assert!(falling.is_held(0..10, 60));
        assert!(!falling.is_held(0..10, 61));
    }

    #[test]
    fn a_read_that_has_everything_back_is_applied_at_once_and_forgets_the_first() {
        let mut world = World::new(Kind::Service, 10);
        assert!(world.is_held(0..2, 0));
        assert!(!world.is_held(0..10, 5));
        assert!(world.is_held(0..2, 40), "not the second read of the old one");
    }

    #[test]
    fn the_operator_can_accept_what_is_held() {
        let mut world = World::new(Kind::Service, 10);
        assert!(world.is_held(0..2, 0));
        world.guard.accept(world.start + Duration::from_secs(3));
        assert!(!world.is_held(0..2, 4));
    }

    #[test]
    fn accepting_when_nothing_is_held_changes_nothing() {
        let mut world = World::new(Kind::Service, 10);
        world.guard.accept(world.start);
        assert!(world.is_held(0..2, 0));
    }
}

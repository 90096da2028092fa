//! What is to be written, in which order, and when. Pure: time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use spillway_cluster::ObjectKey;

use crate::pace::{Backoff, Jitter, Trouble};
use crate::settings::Clockwork;

/// Twenty patches a second,
const TOKEN_EVERY: Duration = Duration::from_millis(50);
/// and so many at once.
const BURST: u32 = 100;

/// Lets so much through and no more.
#[derive(Debug)]
pub(crate) struct Bucket {
    tokens: u32,
    filled: Instant,
}

impl Bucket {
    pub(crate) fn new(now: Instant) -> Self {
        Self { tokens: BURST, filled: now }
    }

    /// Takes a token, or says when there is one.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let earned =
            now.saturating_duration_since(self.filled).as_millis() / TOKEN_EVERY.as_millis();
        let earned = u32::try_from(earned).unwrap_or(BURST);
        self.tokens = self.tokens.saturating_add(earned).min(BURST);
        self.filled = if self.tokens == BURST { now } else { self.filled + TOKEN_EVERY * earned };
        match self.tokens.checked_sub(1) {
            Some(left) => {
                self.tokens = left;
                Ok(())
            }
            None => Err(self.filled + TOKEN_EVERY),
        }
    }
}

struct Waiting<P> {
    patch: P,
    not_before: Instant,
    /// Who came first is served first.
    turn: u64,
}

/// One patch for each object, newest first served last.
pub(crate) struct Queue<P> {
    waiting: BTreeMap<ObjectKey, Waiting<P>>,
    busy: BTreeSet<ObjectKey>,
    /// Of objects whose last patch has failed.
    backoffs: BTreeMap<ObjectKey, (Backoff, Instant)>,
    clockwork: Clockwork,
    jitter: Jitter,
    turn: u64,
}

impl<P> Queue<P> {
    pub(crate) fn new(clockwork: Clockwork, jitter: Jitter) -> Self {
        Self {
            waiting: BTreeMap::new(),
            busy: BTreeSet::new(),
            backoffs: BTreeMap::new(),
            clockwork,
            jitter,
            turn: 0,
        }
    }

    /// Takes a patch in, in place of an older one. A new plan does not shorten the wait of an object whose last
    /// patch has failed.
    pub(crate) fn put(&mut self, key: ObjectKey, patch: P, now: Instant) {
        let not_before = self.backoffs.get(&key).map_or(now, |(_, until)| (*until).max(now));
        self.turn += 1;
        let turn = self.waiting.get(&key).map_or(self.turn, |waiting| waiting.turn);
        self.waiting.insert(key, Waiting { patch, not_before, turn });
    }

    /// The patch whose turn it is. Its object is busy until [`Self::done`] or [`Self::failed`].
    pub(crate) fn take(&mut self, now: Instant) -> Option<(ObjectKey, P)> {
        let is_ready = |(key, waiting): &(&ObjectKey, &Waiting<P>)| {
            waiting.not_before <= now && !self.busy.contains(*key)
        };
        let ready = self.waiting.iter().filter(is_ready);
        let key = ready.min_by_key(|(_, waiting)| waiting.turn).map(|(key, _)| key.clone())?;
        let waiting = self.waiting.remove(&key)?;
        self.busy.insert(key.clone());
        Some((key, waiting.patch))
    }

    /// When there may be something to take.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let idle = self.waiting.iter().filter(|(key, _)| !self.busy.contains(*key));
        idle.map(|(_, waiting)| waiting.not_before).min()
    }

    /// The patch has been answered for good.
    pub(crate) fn done(&mut self, key: &ObjectKey) {
        self.busy.remove(key);
        self.backoffs.remove(key);
        // A plan that came meanwhile does not wait for a failure that is over.
    }

    /// The patch is to be tried again, unless there is a newer one.
    pub(crate) fn failed(
        &mut self,
        key: ObjectKey,
        patch: P,
        trouble: Trouble,
        wait_min: Duration,
        now: Instant,
    ) {
        self.busy.remove(&key);
        let (clockwork, jitter) = (&self.clockwork, &self.jitter);
        let fresh = || (Backoff::new(clockwork, jitter.clone()), now);
        let (backoff, until) = self.backoffs.entry(key.clone()).or_insert_with(fresh);
        *until = now + backoff.after(trouble).max(wait_min);
        let until = *until;
        self.turn += 1;
        let turn = self.turn;
        let waiting = self.waiting.entry(key).or_insert(Waiting { patch, not_before: until, turn });
        waiting.not_before = waiting.not_before.max(until);
    }

    /// Gives up all that waits.
    pub(crate) fn drain(&mut self) -> Vec<ObjectKey> {
        std::mem::take(&mut self.waiting).into_keys().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Queue<u32> {
        Queue::new(Clockwork::default(), Jitter::new(Some(1), 1))
    }

    fn key(name: &str) -> ObjectKey {
        ObjectKey { namespace: "n".into(), name: name.into() }
    }

    #[test]
    fn the_newest_plan_of_an_object_wins_and_keeps_its_place() {
        let (mut queue, now) = (queue(), Instant::now());
        queue.put(key("a"), 1, now);
        queue.put(key("b"), 2, now);
        queue.put(key("a"), 3, now);
        assert_eq!(queue.take(now), Some((key("a"), 3)));
        assert_eq!(queue.take(now), Some((key("b"), 2)));
        assert_eq!(queue.take(now), None);
    }

    #[test]
    fn an_object_is_patched_by_one_at_a_time() {
        let (mut queue, now) = (queue(), Instant::now());
        queue.put(key("a"), 1, now);
        queue.take(now).unwrap();
        queue.put(key("a"), 2, now);
        assert_eq!((queue.take(now), queue.wake_at()), (None, None));
        queue.done(&key("a"));
        assert_eq!(queue.take(now), Some((key("a"), 2)));
    }

    #[test]
    fn a_failed_patch_comes_again_later_and_later_and_a_new_plan_does_not_hurry_it() {
        let (mut queue, mut now) = (queue(), Instant::now());
        queue.put(key("a"), 1, now);
        let mut waits = Vec::new();
        for _ in 0..4 {
            let (key, patch) = queue.take(now).unwrap();
            queue.failed(key, patch, Trouble::Answered, Duration::ZERO, now);
            assert_eq!(queue.take(now), None);
            let until = queue.wake_at().unwrap();
            waits.push(until - now);
            now = until;
        }
        assert!(waits[3] > waits[0] * 2, "{waits:?}");
        let (taken, patch) = queue.take(now).unwrap();
        queue.failed(taken, patch, Trouble::Answered, Duration::ZERO, now);
        queue.put(key("a"), 9, now);
        assert_eq!(queue.take(now), None);
        assert_eq!(queue.take(queue.wake_at().unwrap()), Some((key("a"), 9)));
    }

    #[test]
    fn a_failed_patch_does_not_replace_a_newer_one() {
        let (mut queue, now) = (queue(), Instant::now());
        queue.put(key("a"), 1, now);
        let (taken, patch) = queue.take(now).unwrap();
        queue.put(key("a"), 2, now);
        queue.failed(taken, patch, Trouble::Answered, Duration::ZERO, now);
        assert_eq!(queue.take(now + Duration::from_mins(1)), Some((key("a"), 2)));
    }

    #[test]
    fn a_hundred_go_at_once_and_then_twenty_a_second() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        assert!((0..100).all(|_| bucket.take(start).is_ok()));
        let mut now = start;
        for _ in 0..40 {
            now = bucket.take(now).unwrap_err();
            assert_eq!(bucket.take(now), Ok(()));
        }
        assert_eq!(now - start, Duration::from_secs(2));
        let later = now + Duration::from_mins(1);
        assert!((0..100).all(|_| bucket.take(later).is_ok()));
        assert!(bucket.take(later).is_err());
    }
}

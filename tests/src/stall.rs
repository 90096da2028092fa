//! Notices when the machine itself stands still: an overloaded host, a stolen core, a paused guest.
//!
//! Tests that measure time would otherwise blame the box for it. A thread sleeps for 10 ms over and
//! over; what it oversleeps, the box may have overslept too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// One nap of the watching thread.
const NAP: Duration = Duration::from_millis(10);
/// Oversleeping that is normal where a few threads share a core.
const NORMAL: Duration = Duration::from_millis(20);

/// Watches from its start to its end.
#[derive(Debug)]
pub struct StallWatch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stalled_us: AtomicU64,
    is_over: AtomicBool,
}

impl StallWatch {
    /// Starts to watch.
    pub fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let watched = Arc::clone(&shared);
        let thread = thread::spawn(move || watch(&watched));
        Self { shared, thread: Some(thread) }
    }

    /// How long the machine stood still so far, small delays not counted.
    pub fn stalled(&self) -> Duration {
        Duration::from_micros(self.shared.stalled_us.load(Ordering::Relaxed))
    }
}

impl Drop for StallWatch {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It cannot panic, and there would be nobody to tell.
            let _ = thread.join();
        }
    }
}

fn watch(shared: &Shared) {
    while !shared.is_over.load(Ordering::Relaxed) {
        let begin = Instant::now();
        thread::sleep(NAP);
        let overslept = begin.elapsed().saturating_sub(NAP);
        if overslept > NORMAL {
            let overslept_us = u64::try_from(overslept.as_micros()).unwrap_or(u64::MAX);
            shared.stalled_us.fetch_add(overslept_us, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_ends_when_it_is_dropped_and_counts_only_while_it_runs() {
        let begin = Instant::now();
        let watch = StallWatch::start();
        thread::sleep(Duration::from_millis(50));
        let stalled = watch.stalled();
        drop(watch);
        assert!(stalled <= begin.elapsed(), "{stalled:?}");
    }
}

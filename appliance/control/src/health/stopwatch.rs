//! For tests that promise a speed.

use std::time::Duration;

/// Time that this thread computes: what a busy machine does meanwhile is not counted.
pub(super) struct Stopwatch(Duration);

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self(computed())
    }

    pub(super) fn elapsed(&self) -> Duration {
        computed().saturating_sub(self.0)
    }
}

fn computed() -> Duration {
    // Linux, Documentation/scheduler/sched-stats.rst: nanoseconds on the processor come first.
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

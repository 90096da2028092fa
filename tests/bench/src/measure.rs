//! The loops that are measured. All of them receive and send the same way.

use std::fs;
use std::time::Duration;

use capsule::{Burst, Tsc, TxQueue};
use serde::Serialize;
use spillway_appliance::pipeline::Inlet;
use spillway_lb::batch::Verdicts;
use spillway_lb::forward::Origin;

use crate::flows::Flows;
use crate::source::Source;
use crate::world::World;

/// What one loop took in one round.
#[derive(Copy, Clone, Debug, Serialize)]
pub(crate) struct Sample {
    pub(crate) frames: u64,
    /// TSC cycles per frame while the thread had its core.
    pub(crate) cycles: f64,
    pub(crate) ns: f64,
    pub(crate) mpps: f64,
    /// Share of the time in which other threads had the core.
    pub(crate) core_lost: f64,
}

impl Sample {
    /// `frames` in `cycles`, of which `waited` were lost to other threads.
    #[expect(clippy::cast_precision_loss, reason = "a ratio of numbers far below 2^52")]
    pub(crate) fn new(tsc: Tsc, frames: u64, cycles: u64, waited: Duration) -> Self {
        let ticks = tsc.hz() as f64;
        let core_lost = (waited.as_secs_f64() * ticks / cycles.max(1) as f64).clamp(0.0, 0.99);
        let each = cycles as f64 * (1.0 - core_lost) / frames.max(1) as f64;
        let ns = each * 1e9 / ticks;
        Self { frames, cycles: each, ns, mpps: 1e3 / ns, core_lost }
    }
}

/// Time for which a thread that never sleeps was kept from its core, so far.
///
/// From the scheduler's account (`/proc/*/schedstat`, second field), which is exact to the
/// nanosecond; zero on a kernel without it.
pub(crate) fn waited(schedstat: &str) -> Duration {
    let text = fs::read_to_string(schedstat).unwrap_or_default();
    let nanos = text.split_whitespace().nth(1).and_then(|field| field.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

const THIS_THREAD: &str = "/proc/thread-self/schedstat";

/// A stretch of time on this thread.
struct Span {
    tsc: Tsc,
    waited: Duration,
    begin: u64,
    end: u64,
}

impl Span {
    fn begin(tsc: Tsc, length: Duration) -> Self {
        let nanos = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        let waited = waited(THIS_THREAD);
        let begin = tsc.now();
        Self { tsc, waited, begin, end: begin + tsc.ticks(nanos) }
    }

    fn finish(self, frames: u64) -> Sample {
        let cycles = self.tsc.now() - self.begin;
        let waited = waited(THIS_THREAD).saturating_sub(self.waited);
        Sample::new(self.tsc, frames, cycles, waited)
    }
}

/// A queue pair of its own, for loops without a pipeline.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) inlet: Inlet,
    pub(crate) tx: TxQueue,
}

/// Receive and transmit alone: what testpmd's `io` does.
pub(crate) fn io(tsc: Tsc, wire: &mut Wire, length: Duration) -> Sample {
    passing(tsc, wire, length, |_| {})
}

/// Receive, make packets, transmit.
pub(crate) fn generator(
    tsc: Tsc,
    wire: &mut Wire,
    flows: &Flows,
    source: &mut Source,
    length: Duration,
) -> Sample {
    passing(tsc, wire, length, |burst| source.fill(flows, burst))
}

#[inline]
fn passing(
    tsc: Tsc,
    wire: &mut Wire,
    length: Duration,
    mut each: impl FnMut(&mut Burst),
) -> Sample {
    let mut burst = Burst::new();
    let mut frames = 0;
    let span = Span::begin(tsc, length);
    while tsc.now() < span.end {
        wire.inlet.receive(&mut burst);
        each(&mut burst);
        frames += wire.tx.send(&mut burst) as u64;
    }
    span.finish(frames)
}

/// Receive, make packets, and everything that a worker does with them.
pub(crate) fn whole(tsc: Tsc, world: &mut World, source: &mut Source, length: Duration) -> Sample {
    let World { pipeline, inlet, clock, flows, .. } = world;
    let (mut burst, mut verdicts) = (Burst::new(), Verdicts::new());
    let before = pipeline.forwarder().counters.transmitted;
    let span = Span::begin(tsc, length);
    loop {
        let (cycles, now) = clock.read();
        if cycles >= span.end {
            break;
        }
        inlet.receive(&mut burst);
        source.fill(flows, &mut burst);
        pipeline.process(now, Origin::Port, &mut burst, &mut verdicts);
        pipeline.flush();
        pipeline.expire(now);
    }
    span.finish(pipeline.forwarder().counters.transmitted - before)
}

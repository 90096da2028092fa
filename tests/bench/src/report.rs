//! The outcome: a table for people, JSON for everybody else.

use std::fmt::{self, Write};

use serde::Serialize;
use spillway_lb::conntrack::Direction;
use spillway_lb::model::Protocol;

use crate::machine::Machine;
use crate::measure::Sample;
use crate::stats::Summary;

/// Beyond this share of a core lost to others, the numbers are not worth quoting.
const CORE_LOST_MAX: f64 = 0.1;

/// Changes with any change of a field's name or meaning.
pub(crate) const SCHEMA: u32 = 1;

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) schema: u32,
    /// `release` or `debug`: only the first is worth quoting.
    pub(crate) build: &'static str,
    pub(crate) machine: Machine,
    pub(crate) settings: Settings,
    pub(crate) noise: Noise,
    /// dpdk-testpmd, by mode.
    pub(crate) testpmd: Vec<Series>,
    /// Our own receive and transmit, without anything between.
    pub(crate) io: Series,
    pub(crate) cases: Vec<Case>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Settings {
    pub(crate) device: String,
    pub(crate) frame_bytes: usize,
    pub(crate) burst: usize,
    pub(crate) rounds: usize,
    /// Length of every measurement.
    pub(crate) seconds: f64,
}

#[derive(Copy, Clone, Debug, Serialize)]
pub(crate) struct Noise {
    /// One-minute load before and after.
    pub(crate) load: [f64; 2],
    /// Largest share of a measurement in which another thread had the core; accounted for.
    pub(crate) core_lost_max: f64,
}

/// One thing measured over all rounds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) rounds: Vec<Sample>,
    pub(crate) cycles: Summary,
    pub(crate) ns: Summary,
    pub(crate) mpps: Summary,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Case {
    pub(crate) flows: u32,
    /// `udp` or `tcp`.
    pub(crate) protocol: &'static str,
    /// `original` or `reply`.
    pub(crate) direction: &'static str,
    /// Frames that were compared byte by byte before the rounds and after them.
    pub(crate) frames_checked: usize,
    /// Receive, make packets, transmit: what the whole has besides the pipeline.
    pub(crate) generator: Series,
    pub(crate) whole: Series,
    /// Whole minus generator, round by round.
    pub(crate) pipeline_cycles: Summary,
    pub(crate) pipeline_ns: Summary,
    /// Mpps of the whole by Mpps of testpmd in the same round.
    pub(crate) of_testpmd_io: Summary,
    pub(crate) of_testpmd_5tswap: Summary,
}

pub(crate) const fn protocol_word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

pub(crate) const fn direction_word(direction: Direction) -> &'static str {
    match direction {
        Direction::Original => "original",
        Direction::Reply => "reply",
    }
}

impl Series {
    pub(crate) fn new(name: impl Into<String>, rounds: Vec<Sample>) -> Self {
        let of = |field: fn(&Sample) -> f64| Summary::of(rounds.iter().map(field));
        Self {
            name: name.into(),
            cycles: of(|sample| sample.cycles),
            ns: of(|sample| sample.ns),
            mpps: of(|sample| sample.mpps),
            rounds,
        }
    }

    /// This series by another one, round by round.
    pub(crate) fn pairs(&self, other: &Self, f: fn(&Sample, &Sample) -> f64) -> Summary {
        Summary::of(self.rounds.iter().zip(&other.rounds).map(|(a, b)| f(a, b)))
    }
}

impl Report {
    /// The largest share of any measurement that other threads took.
    pub(crate) fn core_lost_max(&self) -> f64 {
        let cases = self.cases.iter().flat_map(|case| [&case.generator, &case.whole]);
        let all = cases.chain(&self.testpmd).chain([&self.io]);
        all.flat_map(|series| &series.rounds).map(|sample| sample.core_lost).fold(0.0, f64::max)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { build, machine, settings, noise, testpmd, io, cases, .. } = self;
        let Machine { cpu, cores, kernel, dpdk, memory, .. } = machine;
        #[expect(clippy::cast_precision_loss, reason = "a frequency to three digits")]
        let ghz = machine.tsc_hz as f64 / 1e9;
        writeln!(
            f,
            "{build} build, {dpdk}, {} bytes over {}, bursts of {}, one core; {} rounds of {} s",
            settings.frame_bytes,
            settings.device,
            settings.burst,
            settings.rounds,
            settings.seconds
        )?;
        writeln!(f, "{cpu}, {cores} cores, TSC {ghz:.3} GHz, Linux {kernel}, {memory}")?;
        let [before, after] = noise.load;
        let lost = noise.core_lost_max * 100.0;
        writeln!(
            f,
            "load {before} before, {after} after; at most {lost:.1} % of a core lost to others \
             (taken out)"
        )?;
        if noise.core_lost_max > CORE_LOST_MAX {
            writeln!(f, "THE MACHINE WAS BUSY: caches were shared too. Repeat in a quiet moment.")?;
        }
        writeln!(f)?;
        writeln!(f, "{:<22}{:>22}{:>22}{:>22}", "", "cycles/frame", "ns/frame", "Mpps")?;
        for series in testpmd.iter().chain([io]) {
            let Series { name, cycles, ns, mpps, .. } = series;
            writeln!(f, "{name:<22}{cycles:>22.1}{ns:>22.1}{mpps:>22.1}")?;
        }
        let mut head = String::new();
        for column in ["I/O + generator, ns", "whole, ns", "difference, ns", "difference, cycles"] {
            write!(head, "{column:>22}")?;
        }
        write!(head, "{:>20}{:>20}{:>20}", "whole, Mpps", "of io", "of 5tswap")?;
        writeln!(f, "\n{:<22}{head}", "flows")?;
        for case in cases {
            let name = format!("{} {} {}", case.flows, case.protocol, case.direction);
            writeln!(
                f,
                "{name:<22}{:>22.1}{:>22.1}{:>22.1}{:>22.0}{:>20.1}{:>20.2}{:>20.2}",
                case.generator.ns,
                case.whole.ns,
                case.pipeline_ns,
                case.pipeline_cycles,
                case.whole.mpps,
                case.of_testpmd_io,
                case.of_testpmd_5tswap
            )?;
        }
        let checked: usize = cases.iter().map(|case| case.frames_checked).sum();
        writeln!(
            f,
            "\nmedian (min..max) of the rounds; ratios are of Mpps in the same round. Every frame \
             was transmitted, none dropped;\n{checked} frames were compared byte by byte with what \
             they must be, both checksums in full."
        )
    }
}

//! The order of events: make the flows, then round after round measure everything once.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use capsule::{Burst, RxQueue, TxQueue};
use spillway_appliance::pipeline::Inlet;
use spillway_lb::conntrack::Direction;
use spillway_lb::ids::PortId;
use spillway_lb::model::Protocol;

use crate::check;
use crate::flows::Flows;
use crate::machine;
use crate::measure::{self, Sample, Wire};
use crate::report::{Case, Noise, Report, SCHEMA, Series, Settings, direction_word, protocol_word};
use crate::source::Source;
use crate::stage::{DEVICE, Directory, Stage};
use crate::template::FRAME_BYTES;
use crate::testpmd::{self, MODES};
use crate::world::{Wiring, World};

/// What is to be measured.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    /// Of one measurement.
    pub(crate) length: Duration,
    pub(crate) flows: Vec<u32>,
    /// Directory for the flow tables' files.
    pub(crate) tables: PathBuf,
}

/// One case: its traffic and what its rounds gave.
struct Running {
    world: Arc<Mutex<World>>,
    direction: Direction,
    source: Arc<Mutex<Source>>,
    frames_checked: usize,
    generator: Vec<Sample>,
    whole: Vec<Sample>,
}

/// Everything that is measured, with what the rounds have given so far.
struct Bench {
    stage: Stage,
    wire: Arc<Mutex<Wire>>,
    length: Duration,
    cases: Vec<Running>,
    testpmd: [Vec<Sample>; 2],
    io: Vec<Sample>,
}

/// Runs the plan.
///
/// # Errors
/// DPDK or testpmd does not run, or a packet came out wrong.
pub(crate) fn run(plan: &Plan) -> anyhow::Result<Report> {
    let before = machine::load();
    let mut bench = Bench::new(plan)?;
    for round in 1..=plan.rounds {
        eprintln!("round {round} of {}", plan.rounds);
        bench.round()?;
    }
    for case in &mut bench.cases {
        case.check(&bench.stage)?;
    }
    Ok(bench.report(plan, before))
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // A job that panicked has already ended the run.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bench {
    fn new(plan: &Plan) -> anyhow::Result<Self> {
        let worlds = plan.flows.len() * 2;
        let (stage, queues) = Stage::start(u16::try_from(worlds + 1)?)?;
        let mut queues = queues.into_iter();
        let (rx, tx) = queues.next().context("no queues")?;
        let wire = Wire { inlet: Inlet::new(PortId::new(0), rx), tx };
        let mut cases = Vec::new();
        let directory = Directory::new(&plan.tables)?;
        for count in &plan.flows {
            for protocol in [Protocol::Udp, Protocol::Tcp] {
                let pair = queues.next().context("too few queues")?;
                let world = world(&stage, &directory, pair, Flows::new(protocol, *count))?;
                let world = Arc::new(Mutex::new(world));
                for direction in [Direction::Original, Direction::Reply] {
                    let mut case = Running::new(&world, direction)?;
                    case.check(&stage)?;
                    cases.push(case);
                }
            }
        }
        Ok(Self {
            stage,
            wire: Arc::new(Mutex::new(wire)),
            length: plan.length,
            cases,
            testpmd: [Vec::new(), Vec::new()],
            io: Vec::new(),
        })
    }

    /// Measures everything once, on one core, one after the other.
    fn round(&mut self) -> anyhow::Result<()> {
        let (tsc, length) = (self.stage.tsc, self.length);
        let peer = testpmd::measure(tsc, &self.stage.peer, length)?;
        for (rounds, sample) in self.testpmd.iter_mut().zip(peer) {
            rounds.push(sample);
        }
        let wire = Arc::clone(&self.wire);
        self.io.push(self.stage.on_worker(move || measure::io(tsc, &mut lock(&wire), length))?);
        for case in &mut self.cases {
            let (world, source) = (Arc::clone(&case.world), Arc::clone(&case.source));
            let wire = Arc::clone(&self.wire);
            let (generator, whole) = self.stage.on_worker(move || {
                let (mut world, mut source) = (lock(&world), lock(&source));
                let wire = &mut lock(&wire);
                let generator = measure::generator(tsc, wire, &world.flows, &mut source, length);
                (generator, measure::whole(tsc, &mut world, &mut source, length))
            })?;
            case.generator.push(generator);
            case.whole.push(whole);
        }
        Ok(())
    }

    fn report(self, plan: &Plan, load_before: f64) -> Report {
        let [io, swap] = self.testpmd;
        let testpmd: [Series; 2] = [(MODES[0], io), (MODES[1], swap)]
            .map(|(mode, rounds)| Series::new(format!("testpmd {mode}"), rounds));
        let cases = self.cases.into_iter().map(|case| case.finish(&testpmd)).collect();
        let mut report = Report {
            schema: SCHEMA,
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
            machine: self.stage.machine,
            settings: Settings {
                device: DEVICE.into(),
                frame_bytes: FRAME_BYTES,
                burst: Burst::CAPACITY,
                rounds: plan.rounds,
                seconds: plan.length.as_secs_f64(),
            },
            noise: Noise { load: [load_before, machine::load()], core_lost_max: 0.0 },
            testpmd: testpmd.into(),
            io: Series::new("spillway I/O alone", self.io),
            cases,
        };
        report.noise.core_lost_max = report.core_lost_max();
        report
    }
}

/// A world with its flows established, through the same code that is measured.
fn world(
    stage: &Stage,
    directory: &Directory,
    (rx, tx): (RxQueue, TxQueue),
    flows: Flows,
) -> anyhow::Result<World> {
    let (host, tsc, port_mac) = (stage.host.clone(), stage.tsc, stage.port_mac);
    let file = directory.join("flows");
    let name = format!("{} {} flows", flows.count, protocol_word(flows.protocol));
    let world = World::new(&file, Wiring { rx, tx, host, tsc, port_mac }, flows);
    // The mapping keeps the memory; whatever happens now, no file is left.
    let _ = fs::remove_file(&file);
    let mut world = world?;
    eprintln!("establishing {name}");
    stage
        .on_worker(move || world.establish().map(|()| world))?
        .with_context(|| format!("establishing {name}"))
}

impl Running {
    fn new(world: &Arc<Mutex<World>>, direction: Direction) -> anyhow::Result<Self> {
        let source = lock(world).source(direction)?;
        Ok(Self {
            world: Arc::clone(world),
            direction,
            source: Arc::new(Mutex::new(source)),
            frames_checked: 0,
            generator: Vec::new(),
            whole: Vec::new(),
        })
    }

    /// Compares what leaves with what must, and the counters with each other.
    fn check(&mut self, stage: &Stage) -> anyhow::Result<()> {
        let (world, direction) = (Arc::clone(&self.world), self.direction);
        let checked = stage.on_worker(move || check::frames(&mut lock(&world), direction))?;
        self.frames_checked += checked.with_context(|| {
            let flows = &lock(&self.world).flows;
            let words = (protocol_word(flows.protocol), direction_word(direction));
            format!("{} flows, {} {}", flows.count, words.0, words.1)
        })?;
        Ok(())
    }

    fn finish(self, [io, swap]: &[Series; 2]) -> Case {
        let (flows, protocol) = {
            let world = lock(&self.world);
            (world.flows.count, world.flows.protocol)
        };
        let generator = Series::new("I/O + generator", self.generator);
        let whole = Series::new("whole", self.whole);
        Case {
            flows,
            protocol: protocol_word(protocol),
            direction: direction_word(self.direction),
            frames_checked: self.frames_checked,
            pipeline_cycles: whole.pairs(&generator, |whole, io| whole.cycles - io.cycles),
            pipeline_ns: whole.pairs(&generator, |whole, io| whole.ns - io.ns),
            of_testpmd_io: whole.pairs(io, |whole, peer| whole.mpps / peer.mpps),
            of_testpmd_5tswap: whole.pairs(swap, |whole, peer| whole.mpps / peer.mpps),
            generator,
            whole,
        }
    }
}

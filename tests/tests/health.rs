//! A backend that dies leaves in time, hurts nobody else, and comes back.

use std::time::{Duration, Instant};

use spillway_admin::BackendState;
use spillway_tests::daemon::{Daemon, Options, lab_with_box};
use spillway_tests::error::ensure;
use spillway_tests::lab::topology::NodeId;
use spillway_tests::report::{Refusal, Requests, Witness};
use spillway_tests::stall::StallWatch;
use spillway_tests::{Lab, Result, Topology, sandbox};

const NODE_PORT: &str = "172.26.50.101:30645";
const ECHO: &str = "172.26.50.110:7777";
const VICTIM: NodeId = NodeId::new(2);

const INTERVAL: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_millis(250);
const FALL: u32 = 3;
const RISE: u32 = 2;

/// What measuring adds: `spillway service list` is polled, and two cores carry box, clients,
/// servers and the poll.
const SLACK: Duration = Duration::from_millis(400);

/// When a change that does not come is given up.
const PATIENCE: Duration = Duration::from_secs(20);

fn start() -> Result<(Lab, Daemon)> {
    let options = Options::example("static")
        .set(&format!("health.interval={}ms", INTERVAL.as_millis()))
        .set(&format!("health.timeout={}ms", TIMEOUT.as_millis()))
        .set(&format!("health.fall={FALL}"))
        .set(&format!("health.rise={RISE}"))
        .set("health.jitter=0");
    lab_with_box(Topology::two_arm(3), &options)
}

/// How long a dead backend may stay in.
fn removal_max() -> Duration {
    INTERVAL * FALL + TIMEOUT
}

/// Waits for a change and says how long it took, without the time that the machine stood still.
fn timed(daemon: &mut Daemon, state: BackendState) -> Result<Duration> {
    let watch = StallWatch::start();
    let begin = Instant::now();
    daemon.wait_for_state(VICTIM, state, PATIENCE)?;
    Ok(begin.elapsed().saturating_sub(watch.stalled()))
}

/// The change came within the allowed time.
fn in_time(daemon: &mut Daemon, state: BackendState, allowed: Duration) -> Result<()> {
    let took = timed(daemon, state)?;
    ensure(took <= allowed + SLACK, || format!("{state} after {took:?}, allowed: {allowed:?}"))
}

#[test]
fn a_killed_backend_is_out_in_time_and_nobody_else_notices() {
    sandbox::test(|| {
        let (mut lab, mut daemon) = start()?;
        let mut witnesses =
            lab.start_client(&format!("witness --to {NODE_PORT} --connections 30"))?;
        witnesses.wait_for_log("ready", Duration::from_secs(10))?;
        std::thread::sleep(Duration::from_millis(500));

        lab.kill_server(VICTIM)?;
        in_time(&mut daemon, BackendState::Down, removal_max())?;
        let reason = daemon.health()?.into_iter().find(|row| row.target.contains("10.0.1.72"));
        let reason = reason.and_then(|row| row.last_error).unwrap_or_default();
        ensure(reason == "connection refused", || format!("last error: {reason}"))?;

        // From here on nobody is sent there any more.
        let words = format!("http --to {NODE_PORT} --requests 300 --parallel 10");
        let report: Requests = lab.start_client(&words)?.report()?;
        ensure(report.ok == 300 && !report.nodes.contains_key("n2"), || format!("{report:?}"))?;

        let witnesses: Vec<Witness> = witnesses.finish()?;
        let (victims, others): (Vec<_>, Vec<_>) =
            witnesses.into_iter().partition(|witness| witness.node == "n2");
        ensure(others.iter().all(Witness::lost_nothing) && others.len() >= 5, || {
            format!("{others:?}")
        })?;
        ensure(victims.iter().all(|witness| witness.broken.is_some()), || format!("{victims:?}"))
    });
}

#[test]
fn a_backend_that_hangs_is_out_in_time_too() {
    sandbox::test(|| {
        let (lab, mut daemon) = start()?;
        // The kernel still completes handshakes for it; only the answer never comes.
        lab.pause_server(VICTIM)?;
        in_time(&mut daemon, BackendState::Down, removal_max())?;
        lab.resume_server(VICTIM)?;
        in_time(&mut daemon, BackendState::Active, INTERVAL * (RISE + 1))
    });
}

#[test]
fn a_backend_comes_back_after_enough_good_checks_and_not_before() {
    sandbox::test(|| {
        let (mut lab, mut daemon) = start()?;
        lab.kill_server(VICTIM)?;
        in_time(&mut daemon, BackendState::Down, removal_max())?;
        lab.start_server(VICTIM)?;
        let took = timed(&mut daemon, BackendState::Active)?;
        let most = INTERVAL * (RISE + 1) + SLACK;
        ensure(took <= most, || format!("back after {took:?}, allowed: {most:?}"))?;
        // The first good check may come at once, the others each an interval later.
        let least = (INTERVAL * (RISE - 1)).saturating_sub(SLACK);
        ensure(took >= least, || format!("back after {took:?}, before {RISE} checks"))?;
        let words = format!("http --to {NODE_PORT} --requests 300 --parallel 10");
        let report: Requests = lab.start_client(&words)?.report()?;
        ensure(report.ok == 300 && report.nodes.len() == 3, || format!("{report:?}"))
    });
}

#[test]
fn without_a_backend_clients_are_refused_at_once() {
    sandbox::test(|| {
        let (mut lab, mut daemon) = start()?;
        for node in [1, 2, 3].map(NodeId::new) {
            lab.kill_server(node)?;
        }
        for node in [1, 2, 3].map(NodeId::new) {
            daemon.wait_for_state(node, BackendState::Down, PATIENCE)?;
        }
        let before = daemon.dropped("no-backend")?;
        for words in [
            format!("refused --to {NODE_PORT} --protocol tcp"),
            format!("refused --to {ECHO} --protocol udp"),
        ] {
            let report: Refusal = lab.start_client(&words)?.report()?;
            ensure(report.outcome == "refused", || format!("{words}: {report:?}"))?;
            ensure(report.elapsed_ms < 500, || format!("{words}: {report:?}"))?;
        }
        let refused = daemon.dropped("no-backend")? - before;
        ensure(refused == 2, || format!("{refused} packets counted as no-backend"))
    });
}

//! `xtask demo`: what the box is for, in half a minute.

mod show;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use spillway_admin::BackendState;
use spillway_tests::daemon::{Daemon, FIRST, Options, overrides};
use spillway_tests::lab::topology::{FRONT, NodeId};
use spillway_tests::process::{Process, output};
use spillway_tests::report::{Requests, Witness};
use spillway_tests::stall::StallWatch;
use spillway_tests::{Lab, Topology, sandbox};

use crate::{keep, lab as shell};
use show::Headings;

/// Frontend of the classic flow.
const NODE_PORT: u16 = 30645;
/// Requests before the failure, and again after it.
const REQUESTS: u32 = 100;
/// A third of 100, give or take: a fair draw misses this once in more than 100,000 demos.
const SHARE_MIN: u64 = 13;
/// The node whose server dies.
const VICTIM: NodeId = NodeId::new(2);
/// Connections that live through its death; a third each, so some to every node.
const WITNESSES: u32 = 30;
/// What measuring adds: a poll of `service list`, and two cores for everything.
const SLACK: Duration = Duration::from_millis(700);
/// When a change that does not come is given up.
const PATIENCE: Duration = Duration::from_secs(20);

/// Shows it, in a sandbox.
pub(crate) fn run(is_kept: bool) -> Result<ExitCode> {
    if sandbox::is_inside() {
        return inside(is_kept);
    }
    if !is_kept {
        return keep::run_inside();
    }
    let (code, pid) = keep::run_and_keep()?;
    let pid = shell::kept_by(pid)?;
    println!("\nThe lab stays up as process {pid}.");
    println!("  scripts/lab --stop {pid}    ends it, with everything in it");
    println!("  scripts/lab --enter {pid}   opens a shell in it, which knows:\n{}", shell::WORDS);
    Ok(code)
}

fn inside(is_kept: bool) -> Result<ExitCode> {
    if is_kept {
        keep::give_up_with_parent();
    }
    sandbox::settle()?;
    let mut headings = Headings::default();
    show::title("Spillway: a load-balancer box in front of three servers")?;
    let mut lab = Lab::with_servers(Topology::two_arm(3))?;
    let mut daemon = None;
    let outcome = play(&mut headings, &mut lab, &mut daemon);
    let is_success = outcome.is_ok();
    match outcome {
        Ok(()) => println!("\ndemo: PASS"),
        Err(error) => {
            println!("\ndemo: FAIL: {error:#}");
            if let Some(daemon) = daemon.as_mut() {
                println!("the end of the daemon's log:\n{}", daemon.process().log_tail());
            }
        }
    }
    if is_kept {
        shell::write_rc_file(&lab)?;
        keep::stay(is_success);
    }
    Ok(if is_success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn play(headings: &mut Headings, lab: &mut Lab, slot: &mut Option<Daemon>) -> Result<()> {
    headings.next("The lab")?;
    let nodes: Vec<NodeId> = lab.node_ids().collect();
    show::picture(&nodes)?;
    show::say(&format!(
        "Namespaces sw-{id}-client, -box, -n1 to -n3, joined by veth pairs. Real TCP stacks at both\n\
         ends; in the middle nothing but DPDK: the kernel in sw-{id}-box has not one address.",
        id = lab.id()
    ))?;

    headings.next("The box")?;
    let begin = Instant::now();
    let daemon = slot.insert(Daemon::start(lab, &Options::example("static"))?);
    let settings = overrides(lab, FIRST).join(" \\\n       --set ");
    let words = format!("spillwayd run --config config/static.toml \\\n       --set {settings}");
    show::command(&words, "")?;
    show::say(&format!("Ready after {:.1} s.", begin.elapsed().as_secs_f64()))?;
    for node in &nodes {
        daemon.wait_for_state(*node, BackendState::Active, PATIENCE)?;
    }

    first_request(headings, lab)?;
    headings.next(&format!("{REQUESTS} requests, each on a connection of its own"))?;
    let counts = curl_many(lab)?;
    show::distribution(&counts)?;
    for node in &nodes {
        let share = counts.get(&node.name()).copied().unwrap_or(0);
        ensure!(share >= SHARE_MIN, "{} answered only {share} of {REQUESTS}", node.name());
    }

    headings.next("What the box says")?;
    show::command("spillway service list", &daemon.ask("service list")?)?;
    let flows = "conntrack list --frontend 172.26.50.101:30645 --limit 5";
    show::command(&format!("spillway {flows}"), &daemon.ask(flows)?)?;

    failure(headings, lab, daemon)?;

    headings.next(&format!("{REQUESTS} more requests"))?;
    let counts = curl_many(lab)?;
    show::distribution(&counts)?;
    ensure!(!counts.contains_key(&VICTIM.name()), "{} is dead and answered", VICTIM.name());

    recovery(headings, lab, daemon)
}

fn first_request(headings: &mut Headings, lab: &Lab) -> Result<()> {
    headings.next("One request")?;
    let url = format!("http://{FRONT}:{NODE_PORT}/");
    let answer = lab.client().run(&["curl", "-sS", "--max-time", "5", &url])?;
    show::command(&format!("curl {url}"), &answer)?;
    show::say("The node says its name, and who it thinks asked: the box, not the client.")?;
    Ok(())
}

/// Requests by curl, as a user would; answers per node. All must succeed.
fn curl_many(lab: &Lab) -> Result<BTreeMap<String, u64>> {
    let script = format!(
        "for i in $(seq {REQUESTS}); do curl -sS --max-time 5 http://{FRONT}:{NODE_PORT}/ || exit 1; done"
    );
    let mut command = lab.client().command("sh");
    let answers = output(command.args(["-c", &script])).context("a request failed")?;
    let mut counts = BTreeMap::new();
    for answer in answers.lines() {
        let Some((node, _peer)) = answer.split_once(' ') else { bail!("odd answer: {answer}") };
        let count: &mut u64 = counts.entry(node.to_owned()).or_default();
        *count = count.saturating_add(1);
    }
    let total: u64 = counts.values().sum();
    ensure!(total == u64::from(REQUESTS), "{total} of {REQUESTS} requests were answered");
    Ok(counts)
}

/// Kills a server under load, and says what the clients felt.
fn failure(headings: &mut Headings, lab: &mut Lab, daemon: &mut Daemon) -> Result<()> {
    headings.next(&format!("The server on {} is killed under load", VICTIM.name()))?;
    let to = format!("{FRONT}:{NODE_PORT}");
    let mut witnesses =
        lab.start_client(&format!("witness --to {to} --connections {WITNESSES}"))?;
    witnesses.wait_for_log("ready", Duration::from_secs(10))?;
    let load = lab.start_client(&format!("load --to {to} --parallel 4"))?;
    std::thread::sleep(Duration::from_secs(1));

    let allowed = removal_max(daemon)?;
    let watch = StallWatch::start();
    let begin = Instant::now();
    lab.kill_server(VICTIM)?;
    daemon.wait_for_state(VICTIM, BackendState::Down, PATIENCE)?;
    let (took, stalled) = (begin.elapsed(), watch.stalled());
    drop(watch);
    ensure!(
        took <= allowed + SLACK + stalled,
        "{} was out only after {took:?}, {allowed:?} are allowed",
        VICTIM.name()
    );
    let out_unix_ms = unix_ms();
    show::command("spillway service list", &daemon.ask("service list")?)?;
    show::say(&format!(
        "{} was out after {:.2} s. Allowed: {:.2} s, interval × fall + timeout, jitter included.",
        VICTIM.name(),
        took.as_secs_f64(),
        allowed.as_secs_f64()
    ))?;
    std::thread::sleep(Duration::from_secs(1));
    judge_load(load, out_unix_ms)?;
    judge_witnesses(witnesses)
}

/// How long a dead backend may stay in, by its health check's own clockwork.
fn removal_max(daemon: &Daemon) -> Result<Duration> {
    let health = daemon.health()?;
    let longest = health.iter().map(|row| {
        // An interval may be stretched by its jitter; the example's configuration says 10 percent.
        let interval = row.interval_millis.saturating_mul(11) / 10;
        interval.saturating_mul(u64::from(row.fall)).saturating_add(row.timeout_millis)
    });
    longest.max().map(Duration::from_millis).context("`health list` is empty")
}

fn judge_load(load: Process, out_unix_ms: u64) -> Result<()> {
    let load: Requests = load.finish()?;
    show::say(&format!(
        "Load meanwhile: {} requests answered, {} refused while {} was still in, none after.",
        load.ok,
        load.failed,
        VICTIM.name()
    ))?;
    ensure!(load.ok > 0, "no request of the load was answered: {load:?}");
    if let Some((_, last)) = load.failures_unix_ms {
        // A request that was under way when the backend went may fail a moment later.
        let late = last.saturating_sub(out_unix_ms);
        ensure!(late < 500, "a request failed {late} ms after the removal: {:?}", load.errors);
    }
    Ok(())
}

fn judge_witnesses(witnesses: Process) -> Result<()> {
    let witnesses: Vec<Witness> = witnesses.finish()?;
    let (victims, others): (Vec<_>, Vec<_>) =
        witnesses.into_iter().partition(|witness| witness.node == VICTIM.name());
    let records: u64 = others.iter().map(|witness| witness.echoed).sum();
    let slowest = others.iter().map(|witness| witness.slowest_ms).max().unwrap_or(0);
    if let Some(hurt) = others.iter().find(|witness| !witness.lost_nothing()) {
        bail!("a connection to another node was hurt: {hurt:?}");
    }
    ensure!(!others.is_empty(), "there was no witness to another node");
    show::say(&format!(
        "Connections that stood: {} to the other nodes lost nothing ({records} records checked byte\n\
         by byte, the slowest came back after {slowest} ms); {} to {} ended with their server.",
        others.len(),
        victims.len(),
        VICTIM.name()
    ))?;
    Ok(())
}

fn recovery(headings: &mut Headings, lab: &mut Lab, daemon: &mut Daemon) -> Result<()> {
    headings.next(&format!("{} comes back", VICTIM.name()))?;
    lab.start_server(VICTIM)?;
    let begin = Instant::now();
    daemon.wait_for_state(VICTIM, BackendState::Active, PATIENCE)?;
    show::say(&format!(
        "{} takes connections again after {:.2} s of good checks.",
        VICTIM.name(),
        begin.elapsed().as_secs_f64()
    ))?;
    Ok(())
}

fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

//! The daemon ends, in good order or not, and the next one starts at once.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use spillway_admin::BackendState;
use spillway_tests::daemon::{Daemon, FIRST, Options, lab_with_box, socket};
use spillway_tests::error::ensure;
use spillway_tests::report::Requests;
use spillway_tests::stall::StallWatch;
use spillway_tests::{Lab, LabError, Result, Topology, sandbox};

const NODE_PORT: &str = "172.26.50.101:30645";

fn ensure_serving(lab: &Lab, daemon: &mut Daemon) -> Result<()> {
    for node in lab.node_ids() {
        daemon.wait_for_state(node, BackendState::Active, Duration::from_secs(20))?;
    }
    let words = format!("http --to {NODE_PORT} --requests 100 --parallel 10");
    let report: Requests = lab.start_client(&words)?.report()?;
    ensure(report.ok == 100, || {
        let drops = daemon.ask("drops").unwrap_or_default();
        format!("{report:?}\n{drops}\n{}", daemon.process().log_tail())
    })
}

/// Files on a hugetlbfs that a process has mapped.
fn hugepage_files(pid: u32) -> Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/mounts").map_err(LabError::io("read /proc/mounts"))?;
    let mounts: Vec<&str> = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            let (directory, kind) = (words.next()?, words.next()?);
            (kind == "hugetlbfs").then_some(directory)
        })
        .collect();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"));
    let maps = maps.map_err(LabError::io("read the daemon's maps"))?;
    let paths = maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..]));
    let ours = paths.filter(|path| mounts.iter().any(|mount| path.starts_with(mount)));
    Ok(ours.filter(|path| !path.ends_with("(deleted)")).map(PathBuf::from).collect())
}

#[test]
fn a_killed_daemon_leaves_nothing_that_stops_the_next() {
    sandbox::test(|| {
        let options = Options::example("static");
        let (lab, mut daemon) = lab_with_box(Topology::two_arm(3), &options)?;
        let namespaces = || fs::read_dir("/run/netns").map(Iterator::count);
        let before = namespaces().map_err(LabError::io("list namespaces"))?;
        for _ in 0..2 {
            // In the middle of its work, with flows in the table.
            let words = format!("load --to {NODE_PORT} --parallel 4");
            let load = lab.start_client(&words)?;
            std::thread::sleep(Duration::from_millis(300));
            let files = hugepage_files(daemon.process().pid())?;
            daemon.process().kill()?;
            drop(load);
            let left: Vec<_> = files.iter().filter(|file| file.exists()).collect();
            ensure(left.is_empty(), || format!("left behind: {left:?}"))?;
            let after = namespaces().map_err(LabError::io("list namespaces"))?;
            ensure(after == before, || format!("{before} namespaces before, {after} after"))?;

            let (begin, watch) = (Instant::now(), StallWatch::start());
            daemon = Daemon::start(&lab, &options)?;
            let took = begin.elapsed().saturating_sub(watch.stalled());
            ensure(took < Duration::from_secs(10), || format!("ready only after {took:?}"))?;
            ensure_serving(&lab, &mut daemon)?;
        }
        Ok(())
    });
}

#[test]
fn sigterm_ends_the_daemon_in_good_order() {
    sandbox::test(|| {
        let options = Options::example("static");
        let (lab, mut daemon) = lab_with_box(Topology::two_arm(1), &options)?;
        let status = daemon.stop()?;
        ensure(status.success(), || format!("{status}: {}", daemon.process().log_tail()))?;
        ensure(!socket(&lab, FIRST).exists(), || "the admin socket is left behind".to_owned())?;
        let error = daemon.ask("status").err().map(|error| error.to_string()).unwrap_or_default();
        ensure(error.contains("exit status: 1"), || format!("spillway status said: {error}"))
    });
}

#[test]
fn two_boxes_work_side_by_side() {
    sandbox::test(|| {
        let options = Options::example("static");
        let (first, mut first_box) = lab_with_box(Topology::two_arm(3), &options)?;
        let (second, mut second_box) = lab_with_box(Topology::two_arm(3), &options)?;
        ensure_serving(&first, &mut first_box)?;
        ensure_serving(&second, &mut second_box)?;
        ensure_serving(&first, &mut first_box)
    });
}

//! `xtask lab`: a shell in a lab; and the labs that `demo --keep` left up.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::Args;
use spillway_tests::daemon::{self, Daemon};
use spillway_tests::lab::topology::{CLIENT, FRONT};
use spillway_tests::{Lab, Topology, programs, sandbox};

use crate::keep;

/// Read by the shell when it starts: words for playing.
pub(crate) const RC_FILE: &str = "/run/sw-lab.bashrc";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Lists the labs that are up, by process id.
    #[arg(long, group = "action")]
    list: bool,
    /// Opens a shell in a lab that is up.
    #[arg(long, group = "action")]
    enter: bool,
    /// Ends a lab that is up.
    #[arg(long, group = "action")]
    stop: bool,
    /// Which lab; not needed when only one is up.
    #[arg(requires = "action")]
    pid: Option<u32>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if options.list {
        kept()?.iter().for_each(|pid| println!("{pid}"));
        Ok(ExitCode::SUCCESS)
    } else if options.enter {
        enter(choose(options.pid)?)
    } else if options.stop {
        stop(choose(options.pid)?)
    } else if sandbox::is_inside() {
        shell()
    } else {
        keep::run_inside()
    }
}

/// Inside: a lab, a box, a shell.
fn shell() -> Result<ExitCode> {
    sandbox::settle()?;
    let lab = Lab::with_servers(Topology::two_arm(3))?;
    let _daemon = Daemon::start(&lab, &daemon::Options::example("static"))?;
    write_rc_file(&lab)?;
    println!("A lab is up: client {CLIENT}, box {FRONT}, nodes 10.0.1.71 to 10.0.1.73.");
    println!("{WORDS}Leave with `exit`; nothing stays behind.");
    let status = bash().status().context("start bash")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the shell knows besides its usual words.
pub(crate) const WORDS: &str = "  client COMMAND    runs a command where the client is:  client curl -s http://172.26.50.101:30645/
  node N COMMAND    ... on a node:                       node 2 ss -tn
  box COMMAND       ... in the box's namespace:          box ip -s link
  spillway ...      asks the box:                        spillway service list
  log               shows what the box has logged
";

/// Writes the shell's words for a lab.
pub(crate) fn write_rc_file(lab: &Lab) -> Result<()> {
    let id = lab.id();
    let programs_dir = programs::path(programs::SPILLWAY)?;
    let programs_dir = programs_dir.parent().unwrap_or(Path::new("/")).display().to_string();
    let socket = daemon::socket(lab, daemon::FIRST);
    let text = format!(
        "export PATH='{programs_dir}':$PATH SPILLWAY_ADMIN_SOCKET='{socket}'\n\
         client() {{ ip netns exec sw-{id}-client \"$@\"; }}\n\
         node() {{ local n=$1; shift; ip netns exec sw-{id}-n$n \"$@\"; }}\n\
         box() {{ ip netns exec sw-{id}-box \"$@\"; }}\n\
         log() {{ cat /run/sw-{id}/spillwayd.log; }}\n\
         PS1='sw-{id}# '\n",
        socket = socket.display(),
    );
    fs::write(RC_FILE, text).with_context(|| format!("write {RC_FILE}"))
}

fn bash() -> Command {
    let mut command = Command::new("bash");
    // `--rcfile` counts for interactive shells, BASH_ENV for those that read a script from stdin.
    command.args(["--rcfile", RC_FILE]).env("BASH_ENV", RC_FILE);
    command
}

fn enter(pid: u32) -> Result<ExitCode> {
    let mut command = Command::new("nsenter");
    command.args(["--target", &pid.to_string(), "--mount", "--net", "--pid", "--"]);
    command.args(["bash", "--rcfile", RC_FILE]).env("BASH_ENV", RC_FILE);
    // Only returns when it failed.
    Err(command.exec()).context("start nsenter (package util-linux)")
}

fn stop(pid: u32) -> Result<ExitCode> {
    let status = Command::new("sh").args(["-c", &format!("kill -KILL {pid}")]).status();
    let status = status.context("start sh")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn choose(pid: Option<u32>) -> Result<u32> {
    let kept = kept()?;
    match (pid, kept.as_slice()) {
        (Some(pid), _) if kept.contains(&pid) => Ok(pid),
        (Some(pid), _) => bail!("process {pid} is no lab of this checkout; see --list"),
        (None, [only]) => Ok(*only),
        (None, []) => bail!("no lab is up; `scripts/demo --keep` leaves one"),
        (None, _) => bail!("{} labs are up, name one: {kept:?}", kept.len()),
    }
}

/// The lab that a sandbox's outermost process started.
pub(crate) fn kept_by(parent: u32) -> Result<u32> {
    let parent = format!("PPid:\t{parent}");
    let is_child = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| line == parent)
    };
    kept()?.into_iter().find(is_child).context("the lab is gone")
}

/// First processes of sandboxes that run this very program.
fn kept() -> Result<Vec<u32>> {
    let ours = std::env::current_exe().context("find xtask")?;
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc").context("read /proc")? {
        let Ok(entry) = entry else { continue };
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // Processes come and go; one that has gone is none of ours.
        let exe = fs::read_link(entry.path().join("exe"));
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        if exe.is_ok_and(|exe| exe == ours) && is_first_in_its_namespace(&status) {
            pids.push(pid);
        }
    }
    Ok(pids)
}

/// `NSpid:` lists a process's id in each PID namespace, from ours down to its own.
fn is_first_in_its_namespace(status: &str) -> bool {
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let ids: Vec<&str> = ids.unwrap_or_default().split_whitespace().collect();
    ids.len() > 1 && ids.last() == Some(&"1")
}

#[cfg(test)]
mod tests {
    use super::is_first_in_its_namespace;

    #[test]
    fn the_first_process_of_a_sandbox_is_known_by_its_ids() {
        assert!(is_first_in_its_namespace("Name:\txtask\nNSpid:\t4711\t1\n"));
        assert!(!is_first_in_its_namespace("NSpid:\t4711\t12\n"));
        assert!(!is_first_in_its_namespace("NSpid:\t1\n"));
    }
}

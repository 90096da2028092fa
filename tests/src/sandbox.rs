//! A private mount, network and PID namespace around a whole program.
//!
//! The program starts itself again inside; there it is process 1. The kernel kills everything in a
//! PID namespace with its first process, and drops the mounts and network namespaces that nobody
//! uses any more. Each link of the chain asks to die with its parent, so Ctrl-C, `kill -9`, a panic
//! and a lost terminal all clean up alike, and no code of ours has to run for it.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{LabError, Result};
use crate::process::run;
use crate::programs;

/// Set for the program inside; its value is a word for people who look at `/proc/*/environ`.
const INSIDE: &str = "SPILLWAY_SANDBOX";

/// A test that takes longer than this is killed with its sandbox.
pub const TEST_DEADLINE: Duration = Duration::from_mins(4);

/// Labs of one test program run one after the other: they measure time, and cores are scarce.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Whether this process already runs inside a sandbox.
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Outermost: a thousand clients need more file descriptors than the usual soft limit of 1024.
const LIMITS: &str = r#"ulimit -S -n "$(ulimit -H -n)"; exec "$@""#;

/// The same for a sandbox that is to stay: it must not hold anybody's stderr open, so there is one
/// pipe, and its reader may leave.
const LIMITS_AND_ONE_PIPE: &str = r#"ulimit -S -n "$(ulimit -H -n)"; exec "$@" 2>&1"#;

/// Innermost: what is mounted from here on is nobody else's business.
///
/// `unshare` cannot do it where `/` is no mount point, as in a chroot, nor could `ip netns` later.
/// Entering the mount namespace that one is in already leads to its real root (setns(2)), which is
/// one; and a second chroot, into a bind mount of the first, has one.
const PRIVATE_MOUNTS: &str = r#"
    if mountpoint -q /; then mount --make-rprivate / && exec "$@"; fi
    nsenter --mount=/proc/self/ns/mnt mount --make-rprivate / &&
    mount --rbind / /mnt && exec chroot /mnt "$@""#;

/// The command that runs `program` as process 1 of a new sandbox.
///
/// `tethered`: the sandbox dies with the calling thread. Otherwise it lives until its first process
/// ends.
pub fn command(program: &OsString, args: &[OsString], tethered: bool) -> Command {
    let mut command = if tethered {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    command.args(["-c", if tethered { LIMITS } else { LIMITS_AND_ONE_PIPE }, "sh"]);
    command.args(["unshare", "--mount", "--propagation", "unchanged", "--net", "--pid", "--fork"]);
    command.args(["--kill-child", "--mount-proc", "--", "sh", "-c", PRIVATE_MOUNTS, "sh"]);
    command.arg(program).args(args);
    command.env(INSIDE, "yes");
    command
}

/// Makes the sandbox habitable: an empty `/run` for names, locks and logs, and loopback.
///
/// To be called once, first thing inside.
pub fn settle() -> Result<()> {
    if !is_inside() {
        return Err(LabError::Expectation("a lab is built inside a sandbox only".to_owned()));
    }
    run("mount", &["-t", "tmpfs", "-o", "mode=755", "sw-run", "/run"])?;
    for dir in ["/run/netns", "/run/lock"] {
        fs::create_dir_all(dir).map_err(LabError::io(format!("create {dir}")))?;
    }
    run("ip", &["link", "set", "lo", "up"])
}

/// Refuses in words where the kernel would refuse in riddles.
pub fn require_root() -> Result<()> {
    let status =
        fs::read_to_string("/proc/self/status").map_err(LabError::io("read /proc/self/status"))?;
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().nth(1));
    if uid == Some("0") {
        return Ok(());
    }
    Err(LabError::Expectation("the lab needs root: it makes network namespaces".to_owned()))
}

/// Runs the body of a test in a sandbox of its own.
///
/// Called from a `#[test]` function with a closure written inside that very function: the test
/// program is started again for this one test, whose name is that of the closure.
///
/// # Panics
/// When the body fails, panics, overruns [`TEST_DEADLINE`], or did not run at all.
#[expect(clippy::panic, reason = "this is the assertion of every end-to-end test")]
pub fn test<F: FnOnce() -> Result<()>>(body: F) {
    let outcome = if is_inside() { settle().and_then(|()| body()) } else { outer::<F>() };
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

/// What a test needs before its sandbox: root, programs that are up to date, and its turn.
pub(crate) fn prepare() -> Result<MutexGuard<'static, ()>> {
    require_root()?;
    programs::build()?;
    Ok(ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner))
}

fn outer<F>() -> Result<()> {
    let _turn = prepare()?;
    let name = test_name(std::any::type_name::<F>());
    let program = std::env::current_exe().map_err(LabError::io("find the test program"))?;
    let args = [name, "--exact", "--nocapture", "--include-ignored"].map(OsString::from);
    let mut child = command(&program.into(), &args, true)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(LabError::io("start a sandbox (setpriv, unshare: package util-linux)"))?;
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let status = wait(&mut child, name)?;
    let stdout = stdout.join().unwrap_or_default();
    let stderr = stderr.join().unwrap_or_default();
    // The test program passes when a filter matches nothing; that must not look like success.
    if status.success() && stdout.contains("test result: ok. 1 passed") {
        print!("{stdout}");
        return Ok(());
    }
    Err(LabError::Expectation(format!("in the sandbox ({status}):\n{stdout}\n{stderr}")))
}

/// `crate::module::test::{{closure}}` as the test program names it: `module::test`.
pub(crate) fn test_name(closure: &str) -> &str {
    let name = closure.split("::{{closure}}").next().unwrap_or(closure);
    name.split_once("::").map_or(name, |(_crate, rest)| rest)
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // A half-read log is still worth showing.
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn wait(child: &mut Child, name: &str) -> Result<ExitStatus> {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(LabError::io("wait for the sandbox"))? {
            return Ok(status);
        }
        if begin.elapsed() > TEST_DEADLINE {
            let _: io::Result<()> = child.kill();
            let _: io::Result<ExitStatus> = child.wait();
            return Err(LabError::Timeout { what: format!("test {name}"), after: TEST_DEADLINE });
        }
        thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_named_after_the_closure_in_it() {
        assert_eq!(test_name("forwarding::big_file::{{closure}}"), "big_file");
        assert_eq!(test_name("a::b::c::{{closure}}::{{closure}}"), "b::c");
    }
}

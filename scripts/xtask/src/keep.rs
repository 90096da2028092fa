//! The two lives of a subcommand that uses a lab: outside it starts itself again in a sandbox and
//! waits; inside it does the work.
//!
//! A lab that is to be kept must neither die with the outer life nor be left behind when that is
//! interrupted half-way. So the outer life holds the inner one's stdin: its end means "give up",
//! until the inner one says on stdout that it is done and stays.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, bail};
use spillway_tests::{programs, sandbox};

/// Ends the inner life's output; what follows on the line is its verdict. ASCII: end of transmission.
const DONE: char = '\u{4}';

/// The inner life stays; its stdin no longer matters.
static STAYS: AtomicBool = AtomicBool::new(false);

/// Runs this very command inside a sandbox that lives exactly as long as we do.
pub(crate) fn run_inside() -> Result<ExitCode> {
    let mut command = inner(true)?;
    let status = command.status().context("start a sandbox (package util-linux)")?;
    Ok(exit_code(status))
}

/// Runs this very command inside a sandbox that stays when it is done. Returns its process id.
pub(crate) fn run_and_keep() -> Result<(ExitCode, u32)> {
    let mut child = inner(false)?
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // Not ours: Ctrl-C reaches us alone, and our end reaches it by its stdin.
        .process_group(0)
        .spawn()
        .context("start a sandbox (package util-linux)")?;
    let _stdin = child.stdin.take();
    let Some(stdout) = child.stdout.take() else { bail!("the sandbox has no stdout") };
    let mut out = io::stdout().lock();
    for line in BufReader::new(stdout).lines() {
        let line = line.context("read from the sandbox")?;
        if let Some(verdict) = line.strip_prefix(DONE) {
            let code = if verdict == "ok" { ExitCode::SUCCESS } else { ExitCode::FAILURE };
            return Ok((code, child.id()));
        }
        writeln!(out, "{line}")?;
    }
    let status = child.wait().context("wait for the sandbox")?;
    bail!("the lab ended early ({status})")
}

/// Inside: gives up when the outer life ends before [`stay`].
pub(crate) fn give_up_with_parent() {
    thread::spawn(|| {
        let mut rest = Vec::new();
        // Nobody writes; this returns when the other end is closed.
        let _ = io::stdin().lock().read_to_end(&mut rest);
        if !STAYS.load(Ordering::SeqCst) {
            std::process::exit(1);
        }
    });
}

/// Inside: lets the outer life go and stays until somebody kills the sandbox.
pub(crate) fn stay(is_success: bool) -> ! {
    STAYS.store(true, Ordering::SeqCst);
    let mut out = io::stdout().lock();
    // When nobody listens any more there is nobody to tell.
    let _ = writeln!(out, "{DONE}{}", if is_success { "ok" } else { "failed" });
    let _ = out.flush();
    loop {
        thread::park();
    }
}

fn inner(is_tethered: bool) -> Result<std::process::Command> {
    sandbox::require_root()?;
    programs::build()?;
    let program = std::env::current_exe().context("find xtask")?;
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    Ok(sandbox::command(&program.into_os_string(), &args, is_tethered))
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

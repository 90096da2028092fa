//! Programs of the lab: run to the end, or kept with a log until somebody ends them.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use crate::error::{LabError, Result};

/// Pause between two looks at something that has not happened yet.
const POLL: Duration = Duration::from_millis(10);

/// Lines of a log that go into an error message.
const LOG_TAIL_LINES: usize = 40;

/// Runs a program to its end; its output matters only when it fails.
pub fn run(program: &str, args: &[&str]) -> Result<()> {
    output(Command::new(program).args(args)).map(drop)
}

/// Runs a command to its end and returns what it wrote to stdout.
pub fn output(command: &mut Command) -> Result<String> {
    let words = describe(command);
    let output =
        command.stdin(Stdio::null()).output().map_err(LabError::io(format!("start `{words}`")))?;
    if !output.status.success() {
        return Err(LabError::Command {
            command: words,
            status: output.status.to_string(),
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Waits until `probe` yields a value, looking every 10 ms.
///
/// # Errors
/// [`LabError::Timeout`] naming `what`, or the probe's own error at once.
pub fn until<T>(
    what: &str,
    after: Duration,
    mut probe: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let begin = Instant::now();
    loop {
        if let Some(value) = probe()? {
            return Ok(value);
        }
        if begin.elapsed() > after {
            return Err(LabError::Timeout { what: what.to_owned(), after });
        }
        thread::sleep(POLL);
    }
}

/// A program that runs beside the test: a server, the daemon, a client with work to do.
///
/// Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    log: PathBuf,
    /// Bytes that were in the log before: an earlier process of the same name wrote them.
    log_skip: usize,
}

impl Process {
    /// Starts `command`; stderr goes to `dir/name.log`, stdin and stdout stay with us.
    pub fn spawn(name: &str, dir: &Path, command: &mut Command) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log);
        let file = file.map_err(LabError::io(format!("create {}", log.display())))?;
        let log_len = file.metadata().map_err(LabError::io("look at a log"))?.len();
        let log_skip = usize::try_from(log_len).unwrap_or(usize::MAX);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .map_err(LabError::io(format!("start {name}: `{}`", describe(command))))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().map(BufReader::new);
        Ok(Self { name: name.to_owned(), child, stdin, stdout, log, log_skip })
    }

    /// Process id, as seen inside the sandbox.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The end of what it wrote to stderr.
    pub fn log_tail(&self) -> String {
        log_tail(&self.log)
    }

    /// Everything it wrote to stderr so far.
    pub fn log(&self) -> Result<String> {
        let attempt = format!("read {}", self.log.display());
        let bytes = fs::read(&self.log).map_err(LabError::io(attempt))?;
        Ok(String::from_utf8_lossy(bytes.get(self.log_skip..).unwrap_or_default()).into_owned())
    }

    /// Its exit status, once it has one.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().map_err(LabError::io(format!("look after {}", self.name)))
    }

    /// `Err` with the log when it is no longer running.
    pub fn ensure_running(&mut self) -> Result<()> {
        match self.exited()? {
            None => Ok(()),
            Some(status) => Err(self.ended(status)),
        }
    }

    /// Waits until it has written `word` to its log.
    pub fn wait_for_log(&mut self, word: &str, after: Duration) -> Result<()> {
        let what = format!("`{word}` in the log of {}", self.name);
        let waited = until(&what, after, || {
            if self.log()?.contains(word) {
                return Ok(Some(()));
            }
            self.ensure_running().map(|()| None)
        });
        if let Err(LabError::Timeout { what, after }) = waited {
            let what = format!("{what}, which ends\n{}\n", self.log_tail());
            return Err(LabError::Timeout { what, after });
        }
        waited
    }

    /// Reads one line of its stdout; blocks until there is one.
    pub fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let attempt = format!("read from {}", self.name);
        if let Some(stdout) = self.stdout.as_mut() {
            stdout.read_line(&mut line).map_err(LabError::io(attempt))?;
        }
        if line.is_empty() {
            let status = self.child.wait().map_err(LabError::io("wait"))?;
            return Err(self.ended(status));
        }
        Ok(line)
    }

    /// Sends an empty line to its stdin: the next step of a client that waits for one.
    pub fn step(&mut self) -> Result<()> {
        self.tell("")
    }

    /// Sends a line to its stdin.
    pub fn tell(&mut self, line: &str) -> Result<()> {
        let attempt = format!("write to {}", self.name);
        match self.stdin.as_mut() {
            Some(stdin) => {
                stdin.write_all(format!("{line}\n").as_bytes()).map_err(LabError::io(attempt))
            }
            None => Err(LabError::Expectation(format!("{}: its stdin is closed", self.name))),
        }
    }

    /// Ends a client by closing its stdin and returns its report.
    pub fn finish<T: DeserializeOwned>(mut self) -> Result<T> {
        drop(self.stdin.take());
        self.report()
    }

    /// Waits for a client's report: the next line of its stdout.
    pub fn report<T: DeserializeOwned>(&mut self) -> Result<T> {
        let line = self.line()?;
        serde_json::from_str(&line)
            .map_err(LabError::json(format!("report of {}: {line}", self.name)))
    }

    /// Sends it a signal by its name, such as `TERM`.
    pub fn signal(&self, signal: &str) -> Result<()> {
        run("sh", &["-c", &format!("kill -{signal} {}", self.pid())])
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().map_err(LabError::io(format!("kill {}", self.name)))?;
        self.child.wait().map(drop).map_err(LabError::io(format!("wait for {}", self.name)))
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self, after: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        until(&what, after, || self.exited())
    }

    fn ended(&self, status: ExitStatus) -> LabError {
        LabError::Ended {
            program: self.name.clone(),
            status: status.to_string(),
            log: self.log_tail(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last lines of a log file, or why it cannot be read.
pub fn log_tail(path: &Path) -> String {
    match fs::read(path) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines.len().saturating_sub(LOG_TAIL_LINES);
            lines.get(tail..).unwrap_or_default().join("\n")
        }
        Err(error) => format!("({}: {error})", path.display()),
    }
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_named_with_its_words() {
        let error = run("sh", &["-c", "echo no such thing >&2; exit 3"]).unwrap_err().to_string();
        assert!(error.contains("no such thing") && error.contains("exit status: 3"), "{error}");
    }

    #[test]
    fn a_log_is_that_of_this_process_alone() {
        let dir = std::env::temp_dir().join(format!("sw-log-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let start = |word: &str| {
            let script = format!("echo {word} >&2; read line");
            Process::spawn("echo", &dir, Command::new("sh").args(["-c", &script])).unwrap()
        };
        let after = Duration::from_secs(10);
        start("one").wait_for_log("one", after).unwrap();
        let mut second = start("two");
        second.wait_for_log("two", after).unwrap();
        assert!(!second.log().unwrap().contains("one"), "{}", second.log().unwrap());
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn waiting_gives_up_in_words() {
        let after = Duration::from_millis(30);
        let error = until::<()>("the moon", after, || Ok(None)).unwrap_err().to_string();
        assert!(error.starts_with("the moon did not happen within 30"), "{error}");
    }
}

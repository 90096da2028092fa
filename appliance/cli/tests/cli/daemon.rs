//! A daemon that answers as it was told, and the program run against it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use spillway_admin::{Request, Row, decode_request, encode_list};

/// A directory of this test alone, gone with it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Short, because a socket's path has at most 107 bytes.
        let path = std::env::temp_dir().join(format!("sw-cli-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Answers one request with one text, then ends.
pub(crate) struct Daemon {
    scratch: Scratch,
    asked: JoinHandle<Request>,
}

/// What a run of the program left.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// What it printed, given that all went well.
    #[track_caller]
    pub(crate) fn printed(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""));
        self.stdout
    }
}

impl Daemon {
    pub(crate) fn answering(answer: String) -> Self {
        let scratch = Scratch::new();
        let listener = UnixListener::bind(scratch.path("admin.sock")).unwrap();
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            assert!(line.ends_with('\n'), "a request is a whole line: {line:?}");
            // A program that has seen enough goes away early.
            let _ = stream.write_all(answer.as_bytes());
            decode_request(&line).unwrap()
        });
        Self { scratch, asked }
    }

    pub(crate) fn with_rows<R: Row>(rows: &[R]) -> Self {
        Self::answering(encode_list(rows))
    }

    /// Runs `spillway ARGUMENTS` and returns what came out and what was asked.
    #[track_caller]
    pub(crate) fn ask(self, arguments: &str) -> (Outcome, Request) {
        let socket = self.scratch.path("admin.sock");
        let outcome = run(program().arg("--socket").arg(socket).args(arguments.split(' ')));
        (outcome, self.asked.join().unwrap())
    }

    /// The same, when all goes well and the request is known.
    #[track_caller]
    pub(crate) fn printed(self, arguments: &str, request: &Request) -> String {
        let (outcome, asked) = self.ask(arguments);
        assert_eq!(&asked, request);
        outcome.printed()
    }
}

/// The program, with nothing of the test's surroundings.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spillway"));
    command.env_clear().stdin(Stdio::null());
    command
}

pub(crate) fn run(command: &mut Command) -> Outcome {
    let output = command.output().unwrap();
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

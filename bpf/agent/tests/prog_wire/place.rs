//! A network namespace that is a thread: what runs there sees its devices, and it goes with the thread.

use std::process::Command;
use std::sync::mpsc::{self, Sender};
use std::thread;

type Job = Box<dyn FnOnce() + Send>;

/// A thread in a network namespace of its own.
pub(crate) struct Place {
    jobs: Sender<Job>,
    /// The thread's number, by which `ip` finds the namespace.
    pub(crate) thread: i32,
}

impl Place {
    pub(crate) fn new() -> Self {
        let (jobs, todo) = mpsc::channel::<Job>();
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            leave(libc::CLONE_NEWNET);
            // SAFETY: takes nothing and returns a number.
            tell.send(unsafe { libc::gettid() }).unwrap();
            for job in todo {
                job();
            }
        });
        Self { jobs, thread: told.recv().unwrap() }
    }

    /// Runs a job there and waits for its answer.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, told) = mpsc::channel();
        self.jobs
            .send(Box::new(move || {
                let _ = tell.send(job());
            }))
            .unwrap();
        told.recv().unwrap_or_else(|_| panic!("the job failed; see above"))
    }

    /// Runs commands there, one a line.
    pub(crate) fn commands(&self, script: &str) {
        let script = script.to_owned();
        self.run(move || commands(&script));
    }
}

/// Takes the calling thread out of namespaces.
pub(crate) fn leave(flags: i32) {
    // SAFETY: takes a number and changes nothing but what the calling thread sees of the system.
    let result = unsafe { libc::unshare(flags) };
    assert_eq!(result, 0, "unshare: {}; these tests run as root", std::io::Error::last_os_error());
}

/// Runs commands in the calling thread's namespaces, one a line.
pub(crate) fn commands(script: &str) {
    let output = Command::new("sh").args(["-ec", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

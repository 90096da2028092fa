//! The harness's hand on a client: lines on stdin are steps, its end is the end.

use std::io::{BufRead, stdin};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Nanoseconds since the Unix epoch: one clock for all programs of a lab.
pub(crate) fn unix_nanos() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// Steps as they come.
#[derive(Debug)]
pub(crate) struct Steps(UnboundedReceiver<String>);

impl Steps {
    /// Starts to listen. Once per program.
    pub(crate) fn from_stdin() -> Self {
        let (sender, receiver) = unbounded_channel();
        thread::spawn(move || {
            for line in stdin().lock().lines() {
                let Ok(line) = line else { break };
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self(receiver)
    }

    /// Waits for the next line; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<String> {
        self.0.recv().await
    }

    /// Waits for the end.
    pub(crate) async fn end(mut self) {
        while self.next().await.is_some() {}
    }
}

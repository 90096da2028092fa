//! The harness's hand on a client: lines on stdin are steps, its end is the end.

use std::io::{BufRead, stdin};
use std::thread;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Steps as they come.
#[derive(Debug)]
pub(crate) struct Steps(UnboundedReceiver<()>);

impl Steps {
    /// Starts to listen. Once per program.
    pub(crate) fn from_stdin() -> Self {
        let (sender, receiver) = unbounded_channel();
        thread::spawn(move || {
            for line in stdin().lock().lines() {
                if line.is_err() || sender.send(()).is_err() {
                    break;
                }
            }
        });
        Self(receiver)
    }

    /// Waits for the next line; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<()> {
        self.0.recv().await
    }

    /// Waits for the end.
    pub(crate) async fn end(mut self) {
        while self.next().await.is_some() {}
    }
}

//! What can go wrong while a lab is built or used.

use std::io;
use std::time::Duration;

/// `Result` of everything in the lab.
pub type Result<T, E = LabError> = std::result::Result<T, E>;

/// Every message names the attempt, so that a failing test explains itself.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    #[error("{attempt}: {source}")]
    Io { attempt: String, source: io::Error },
    #[error("`{command}` failed ({status}): {stderr}")]
    Command { command: String, status: String, stderr: String },
    #[error("{what} did not happen within {after:?}")]
    Timeout { what: String, after: Duration },
    #[error("{attempt}: {source}")]
    Json { attempt: String, source: serde_json::Error },
    #[error("{program} ended early ({status}); the end of its log:\n{log}")]
    Ended { program: String, status: String, log: String },
    #[error("{0}")]
    Expectation(String),
}

impl LabError {
    /// Adapter for `map_err`: an I/O error with what was attempted.
    pub fn io(attempt: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let attempt = attempt.into();
        move |source| Self::Io { attempt, source }
    }

    /// Adapter for `map_err`: unreadable JSON with whose it was.
    pub fn json(attempt: impl Into<String>) -> impl FnOnce(serde_json::Error) -> Self {
        let attempt = attempt.into();
        move |source| Self::Json { attempt, source }
    }
}

/// `Err` with the message unless `condition` holds: assertions for code that is not a test itself.
pub fn ensure(condition: bool, message: impl FnOnce() -> String) -> Result<()> {
    if condition { Ok(()) } else { Err(LabError::Expectation(message())) }
}

//! Why a command gave no answer, in words for the one who typed it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use spillway_admin::client::ClientError;

use spillway_text::text::printable;

/// Why a command ends early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The daemon gave no answer, or only a part.
    Daemon { socket: PathBuf, error: ClientError },
    /// The answer cannot be printed.
    Output(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl Failure {
    /// Says it on stderr, in one line.
    pub(crate) fn report(&self) -> ExitCode {
        let message = match self {
            // The reader has seen enough (`| head`): nothing failed.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return ExitCode::SUCCESS;
            }
            Self::Output(error) => format!("cannot print: {}", words(error)),
            Self::Daemon { socket, error } => explain(socket, error),
        };
        // There is nobody left to tell when stderr is closed.
        let _ = writeln!(io::stderr(), "spillway: {}", printable(&message));
        ExitCode::FAILURE
    }
}

fn explain(socket: &Path, error: &ClientError) -> String {
    let path = socket.display();
    let ClientError::Connect(error) = error else {
        return format!("{path}: {error}");
    };
    let reason = words(error);
    if error.kind() == io::ErrorKind::NotFound {
        format!(
            "no daemon answers at {path}: {reason}. Is spillwayd running? (--socket names another)"
        )
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        format!(
            "no access to the daemon at {path}: {reason}. \
             Only root and the socket's group may ask; try sudo"
        )
    } else if error.kind() == io::ErrorKind::ConnectionRefused {
        format!(
            "no daemon listens at {path}: {reason}. \
             The file was left behind by a daemon that has ended; start spillwayd again"
        )
    } else {
        format!("cannot reach a daemon at {path}: {reason}")
    }
}

/// The system's words for an error, without Rust's `(os error 2)`.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

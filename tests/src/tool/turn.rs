//! Asks one address again and again until the answer turns: how long news take to the data plane.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use spillway_tests::report::Turned;

use crate::request;
use crate::steps::{Steps, unix_nanos};

/// Pause between two attempts: the resolution.
const PAUSE: Duration = Duration::from_micros(500);

/// A turn that takes longer than this did not come.
const ATTEMPTS_MAX: u32 = 20_000;

/// Each line is the name of the server to wait for, or `-` for nobody.
pub(crate) async fn run(to: SocketAddr) -> io::Result<()> {
    let mut steps = Steps::from_stdin();
    while let Some(name) = steps.next().await {
        let report = wait(to, &name).await;
        let line = serde_json::to_string(&report).map_err(io::Error::other)?;
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{line}")?;
        stdout.flush()?;
    }
    Ok(())
}

async fn wait(to: SocketAddr, name: &str) -> Turned {
    for attempts in 1..=ATTEMPTS_MAX {
        let asked_ns = unix_nanos();
        let answer = request::once(to).await;
        let is_there = match &answer {
            Ok(answer) => answer.node() == name,
            Err(_) => name == "-",
        };
        if is_there {
            return Turned { asked_ns: Some(asked_ns), attempts };
        }
        tokio::time::sleep(PAUSE).await;
    }
    Turned { asked_ns: None, attempts: ATTEMPTS_MAX }
}

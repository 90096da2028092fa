//! `spillwayd` with a configuration that is the test's own, as it stands.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use spillway_admin::{DropReport, LinkState, PacketTotals, PortRow, Request, client};

use crate::error::{LabError, Result, ensure};
use crate::lab::namespace::Namespace;
use crate::process::{Process, output, until};
use crate::programs;
use crate::wire::failed;

/// The daemon writes this when it forwards.
const READY: &str = "ready";
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// From SIGTERM to the end.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A running daemon. Dropping it kills it.
#[derive(Debug)]
pub struct Appliance {
    process: Process,
    socket: PathBuf,
}

impl Appliance {
    /// Starts it with exactly this configuration, whose `admin_socket` is `socket`, and waits until
    /// it forwards. Its log goes to `dir`.
    pub fn start(
        config: &Path,
        socket: &Path,
        dir: &Path,
        namespace: Option<&Namespace>,
    ) -> Result<Self> {
        let program = programs::path(programs::SPILLWAYD)?;
        let mut command = match namespace {
            Some(namespace) => namespace.command(program),
            None => Command::new(program),
        };
        command.arg("run").arg("--config").arg(config);
        let mut process = Process::spawn("spillwayd", dir, &mut command)?;
        process.wait_for_log(READY, READY_TIMEOUT)?;
        Ok(Self { process, socket: socket.to_owned() })
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        self.process.log_tail()
    }

    /// What `spillway WORDS` prints.
    pub fn ask(&self, words: &str) -> Result<String> {
        let mut command = Command::new(programs::path(programs::SPILLWAY)?);
        command.arg("--socket").arg(&self.socket).args(words.split_whitespace());
        output(&mut command)
    }

    /// The packets' balance, and every drop.
    pub fn drops(&self) -> Result<DropReport> {
        let reports = client::fetch(&self.socket, &Request::Drops).map_err(failed("ask for drops"));
        let report = reports?.into_iter().next();
        report.ok_or_else(|| LabError::Expectation("drops: the answer is empty".to_owned()))
    }

    /// The same, once the totals are as they should be and every packet has met its end.
    pub fn drops_when(
        &self,
        within: Duration,
        is_done: impl Fn(&PacketTotals) -> bool,
    ) -> Result<DropReport> {
        let waited = until("the last packet's end", within, || {
            let report = self.drops()?;
            let balance = &report.balance;
            Ok((is_done(balance) && balance.under_way() == 0).then_some(report))
        });
        waited.map_err(|error| {
            let drops = self.ask("drops").unwrap_or_default();
            LabError::Expectation(format!("{error}\n{drops}\n{}", self.log_tail()))
        })
    }

    /// Its ports, in the order of the configuration.
    pub fn ports(&self) -> Result<Vec<PortRow>> {
        client::fetch(&self.socket, &Request::PortList).map_err(failed("ask for ports"))
    }

    /// Waits until every port has a link.
    pub fn wait_for_links(&self, within: Duration) -> Result<()> {
        until("a link on every port", within, || {
            let ports = self.ports()?;
            Ok(ports.iter().all(|port| port.link == LinkState::Up).then_some(()))
        })
    }

    /// Stops it in good order.
    pub fn stop(mut self) -> Result<()> {
        self.process.signal("TERM")?;
        let status = self.process.wait(STOP_TIMEOUT)?;
        ensure(status.success(), || format!("spillwayd: {status}\n{}", self.log_tail()))
    }
}

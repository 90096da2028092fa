//! `dpdk-testpmd` behind a memif: sends everything back with addresses and ports swapped.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use spillway_tests::Result;
use spillway_tests::error::{LabError, ensure};
use spillway_tests::process::Process;

/// What it says when it forwards.
const FORWARDING: &str = "Press enter to exit";
/// It has closed its port by then.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A running testpmd. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Testpmd {
    process: Process,
}

/// Its own account.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reflected {
    pub(crate) rx: u64,
    pub(crate) tx: u64,
}

impl Testpmd {
    /// Starts it as the client of a memif, and waits until it forwards, on core 1.
    ///
    /// Until then it throws away what it receives, and the box cannot send at all: free slots are
    /// the client's to give, which it does when it polls (memif ring, server to client).
    pub(crate) fn start(dir: &Path, socket: &Path, id: u32, mac: &str) -> Result<Self> {
        let prefix = super::generator::unique("sw-testpmd")?;
        let device = format!(
            "net_memif0,role=client,id={id},socket={},socket-abstract=no,rsize=10,mac={mac}",
            socket.display()
        );
        // Line by line, or it would keep what it says until it ends.
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "dpdk-testpmd"]);
        command.args(["--lcores", "0@0,1@1", "--no-pci", "-m", "64", "--huge-unlink"]);
        command.args(["--file-prefix", &prefix, "--vdev", &device, "--"]);
        command.args(["--forward-mode=5tswap", "--port-topology=loop", "--nb-cores=1"]);
        command.args(["--total-num-mbufs=8192", "--no-numa", "--no-lsc-interrupt"]);
        let mut process = Process::spawn("testpmd", dir, &mut command)?;
        while !process.line()?.contains(FORWARDING) {}
        Ok(Self { process })
    }

    /// The end of its log.
    pub(crate) fn log_tail(&self) -> String {
        self.process.log_tail()
    }

    /// Ends it (any key does) and reads what it says of its only port.
    pub(crate) fn stop(mut self) -> Result<Reflected> {
        self.process.ensure_running()?;
        self.process.step()?;
        let mut said = String::new();
        // Until it closes its stdout.
        while let Ok(line) = self.process.line() {
            said.push_str(&line);
        }
        let status = self.process.wait(STOP_TIMEOUT)?;
        ensure(status.success(), || format!("testpmd: {status}\n{said}"))?;
        let count = |word: &str| {
            let value = said.split(word).nth(1).and_then(|rest| rest.split_whitespace().next());
            let value = value.and_then(|value| value.parse().ok());
            value.ok_or_else(|| LabError::Expectation(format!("testpmd: no {word} in\n{said}")))
        };
        Ok(Reflected { rx: count("RX-packets:")?, tx: count("TX-packets:")? })
    }
}

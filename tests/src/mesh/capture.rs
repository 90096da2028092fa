//! Frames on an interface, as bytes.
//!
//! Where `tcpdump` looks: before the tc programs of a device on the way in, after them on the way out.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{LabError, Result};
use crate::lab::namespace::Namespace;
use crate::process::{Process, until};
use crate::wire::pcap;

/// A libpcap program that says it is ready.
const READY: &str = "listening on";
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// A running capture. Dropping it ends it.
#[derive(Debug)]
pub struct Capture {
    process: Process,
    file: PathBuf,
}

impl Capture {
    /// Starts it; `filter` as in pcap-filter(7).
    pub fn start(namespace: &Namespace, link: &str, filter: &str, dir: &Path) -> Result<Self> {
        let name = format!("capture-{}-{link}", namespace.name());
        let file = dir.join(format!("{name}.pcap"));
        let mut command = namespace.command("tcpdump");
        command.args(["-i", link, "--immediate-mode", "-U", "-n", "-s", "0", "-Z", "root", "-w"]);
        command.arg(&file).arg(filter);
        let mut process = Process::spawn(&name, dir, &mut command)?;
        process.wait_for_log(READY, READY_TIMEOUT)?;
        Ok(Self { process, file })
    }

    /// Waits until there are so many frames, ends it, and returns all that there are.
    pub fn finish(mut self, frames: usize, within: Duration) -> Result<Vec<Vec<u8>>> {
        let what = format!("frame {frames} in {}", self.file.display());
        let waited = until(&what, within, || {
            // A frame that is half written is an error that passes.
            let seen = pcap::read(&self.file).unwrap_or_default();
            Ok((seen.len() >= frames).then_some(()))
        });
        self.process.signal("INT")?;
        self.process.wait(READY_TIMEOUT)?;
        let seen = pcap::read(&self.file)?;
        waited.map_err(|error| {
            let dumps: String = seen.iter().map(|frame| crate::wire::hex::dump(frame)).collect();
            LabError::Expectation(format!("{error}; {} frames:\n{dumps}", seen.len()))
        })?;
        Ok(seen)
    }
}

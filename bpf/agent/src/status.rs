//! What the agent says of itself: a file that it writes and `spillway-node status` reads.
//!
//! A file and not a socket, so that the last word of an agent that died can still be read. Whether one lives is
//! said by the lock beside it, which the kernel lets go of with the process.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The folder of the agent's state, unless the configuration names another.
pub const DIR: &str = "/run/spillway-node";

/// The agent, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    /// Seconds since 1970.
    pub written_at: u64,
    pub started_at: u64,
    pub node: String,
    /// Where Services come from.
    pub source: String,
    /// What the source says is wrong, and other sentences of that sort.
    pub warnings: Vec<String>,
    /// What this kernel has, and what is done instead of what it has not.
    pub kernel: Vec<String>,
    /// Where programs are attached.
    pub attached: Vec<String>,
    /// Programs that something else detached, and that were attached again.
    pub attach_lost: u64,
    pub services: u64,
    pub frontends: u64,
    pub backends: u64,
    /// When the maps last agreed with the source; `None`: never in this run.
    pub synced_at: Option<u64>,
    /// What is not served, and why.
    pub failed: Vec<String>,
    /// UDP sockets that were closed, for their backend had gone.
    pub sockets_closed: u64,
}

/// The folder that the agent keeps its state in.
#[derive(Clone, Debug)]
pub struct StateDir(PathBuf);

impl StateDir {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    fn status(&self) -> PathBuf {
        self.0.join("status.json")
    }

    fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// Names of Services by their ids, for the lists.
    pub fn names(&self) -> PathBuf {
        self.0.join("names.json")
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes the folder.
    pub fn create(&self) -> io::Result<()> {
        fs::create_dir_all(&self.0)
    }

    /// The lock of the one agent of this node; `None`: another one has it.
    pub fn try_lock(&self) -> io::Result<Option<File>> {
        let file = File::create(self.lock())?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    /// Whether an agent runs from here.
    pub fn is_running(&self) -> bool {
        File::open(self.lock()).is_ok_and(|file| file.try_lock_shared().is_err())
    }

    /// Replaces the file as a whole.
    pub fn write(&self, status: &Status) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(status).map_err(io::Error::other)?;
        let beside = self.0.join("status.json.new");
        fs::write(&beside, text)?;
        fs::rename(&beside, self.status())
    }

    /// The last word; `None`: there never was one.
    pub fn read(&self) -> io::Result<Option<Status>> {
        match fs::read(self.status()) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes what the agent left here.
    pub fn remove(&self) -> io::Result<()> {
        for path in [self.status(), self.names(), self.lock()] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

impl Status {
    /// For people. `now`: seconds since 1970.
    pub fn text(&self, is_running: bool, now: u64) -> String {
        let ago = |at: u64| format!("{} ago", short(now.saturating_sub(at)));
        let mut text = String::new();
        let agent = if is_running {
            format!("running for {}", short(now.saturating_sub(self.started_at)))
        } else {
            format!(
                "NOT RUNNING, last heard of {}; what it left goes on serving",
                ago(self.written_at)
            )
        };
        let synced = self.synced_at.map_or_else(|| "never in this run".to_owned(), ago);
        let (services, frontends, backends) = (self.services, self.frontends, self.backends);
        let mut row = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:<10} {value}");
        };
        row("Agent", &format!("spillway-node {}, {agent}", self.version));
        row("Node", &self.node);
        row("Source", &self.source);
        row("Synced", &synced);
        row("Serves", &format!("{services} services, {frontends} frontends, {backends} backends"));
        row("Sockets", &format!("{} closed for a backend that had gone", self.sockets_closed));
        row(
            "Lost",
            &format!("{} programs were detached by others and attached again", self.attach_lost),
        );
        let lists = [
            ("Attached", &self.attached),
            ("Kernel", &self.kernel),
            ("Failed", &self.failed),
            ("Warning", &self.warnings),
        ];
        for (name, lines) in lists {
            for line in lines {
                row(name, line);
            }
        }
        text
    }
}

/// `2d3h`, `4m5s`.
fn short(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{}s", seconds % 60),
        (0, _, _) => format!("{hours}h{minutes}m"),
        (_, _, _) => format!("{days}d{hours}h"),
    }
}

/// The wall clock.
pub fn unix_seconds() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.as_ref().map_or(0, Duration::as_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(name: &str) -> StateDir {
        let path = std::env::temp_dir().join(format!("sw-status-{}-{name}", std::process::id()));
        let dir = StateDir::new(path);
        dir.create().unwrap();
        dir
    }

    #[test]
    fn what_was_written_is_read_and_a_lock_says_who_lives() {
        let dir = dir("life");
        assert_eq!(dir.read().unwrap(), None);
        assert!(!dir.is_running());
        let lock = dir.try_lock().unwrap().expect("nobody has it");
        assert!(dir.try_lock().unwrap().is_none(), "two agents");
        assert!(dir.is_running());
        let status = Status { node: "n1".to_owned(), services: 3, ..Status::default() };
        dir.write(&status).unwrap();
        assert_eq!(dir.read().unwrap(), Some(status));
        drop(lock);
        assert!(!dir.is_running());
        dir.remove().unwrap();
        assert_eq!(dir.read().unwrap(), None);
        fs::remove_dir(dir.path()).unwrap();
    }

    #[test]
    fn a_dead_agent_is_called_dead() {
        let status = Status {
            version: "1".to_owned(),
            started_at: 100,
            written_at: 1_000,
            synced_at: Some(990),
            failed: vec!["service a/b:80: no room".to_owned()],
            ..Status::default()
        };
        let alive = status.text(true, 1_000);
        assert!(alive.contains("running for 15m0s"), "{alive}");
        assert!(alive.contains("Synced     10s ago"), "{alive}");
        assert!(alive.contains("Failed     service a/b:80: no room"), "{alive}");
        let dead = status.text(false, 1_060);
        assert!(dead.contains("NOT RUNNING, last heard of 1m0s ago"), "{dead}");
    }

    #[test]
    fn times_are_short() {
        let times = [(0, "0s"), (59, "59s"), (61, "1m1s"), (3_720, "1h2m"), (180_000, "2d2h")];
        for (seconds, text) in times {
            assert_eq!(short(seconds), text);
        }
    }
}

//! What the lab's clients print on stdout when they are done: one JSON object on one line.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{LabError, Result};

/// A client's report from what it printed.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(LabError::json(format!("report `{text}`")))
}

/// Outcome of many requests (`client http`, `client load`, `client hold`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    pub ok: u64,
    pub failed: u64,
    /// How many failed in which way: `connect: connection refused` and the like.
    pub errors: BTreeMap<String, u64>,
    /// Answers per node name.
    pub nodes: BTreeMap<String, u64>,
    /// Source addresses that nodes saw, counted by address without the port.
    pub peers: BTreeMap<String, u64>,
    /// Slowest request, connect included.
    pub slowest_ms: u64,
    pub elapsed_ms: u64,
    /// Milliseconds since the Unix epoch of the first and last failure.
    pub failures_unix_ms: Option<(u64, u64)>,
}

/// Outcome of `client udp`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Datagrams {
    pub sent: u64,
    /// Came back to the socket that sent it, byte by byte.
    pub returned: u64,
    /// Came back, but carried what this socket did not send.
    pub strayed: u64,
    /// Did not come back in time.
    pub lost: u64,
    /// The kernel reported an ICMP error instead.
    pub refused: u64,
    pub elapsed_ms: u64,
}

/// Outcome of `client talk`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Talk {
    pub sent: u64,
    pub answered: u64,
    /// Answers per server name.
    pub nodes: BTreeMap<String, u64>,
    /// What went wrong, and how often; an answer that seems to come from elsewhere is among it.
    pub errors: BTreeMap<String, u64>,
    /// Sockets that the kernel closed and that were opened again.
    pub reopened: u64,
    /// Longest time between two answers.
    pub silence_ms_max: u64,
}

/// One line of `patch`: when the API server was asked and when it had answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patched {
    /// Nanoseconds since the Unix epoch, as is the other.
    pub sent_ns: u64,
    pub answered_ns: u64,
}

/// One line of `client turn`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turned {
    /// When the first request began that was answered by the one waited for, in nanoseconds since the Unix
    /// epoch; `None`: none was.
    pub asked_ns: Option<u64>,
    pub attempts: u32,
}

/// One long-lived connection of `client witness`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// Who answered the handshake; empty when nobody did.
    pub node: String,
    pub sent: u64,
    pub echoed: u64,
    /// Records that came back different from what was sent.
    pub corrupt: u64,
    /// Longest time from sending a record to its echo.
    pub slowest_ms: u64,
    /// Why the connection ended before it was told to.
    pub broken: Option<String>,
}

impl Witness {
    /// Everything sent came back unchanged and nobody hung up.
    pub fn lost_nothing(&self) -> bool {
        self.broken.is_none() && self.corrupt == 0 && self.sent == self.echoed && self.sent > 0
    }
}

/// Outcome of `client refused`: one attempt that is expected to fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// `refused`, `timeout`, `answered`, or the error's own words.
    pub outcome: String,
    pub elapsed_ms: u64,
}

//! One probe: its clockwork, its state, and what each answer does to it.

use std::fmt;
use std::net::SocketAddrV4;
use std::time::Duration;

use spillway_lb::model::{CheckKind, HealthCheck};

use super::{Moment, Target, TargetId};

/// Why a check failed. The words are short: they are shown as `(down: connection refused)`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum ProbeError {
    /// RST in answer to our SYN.
    Refused,
    /// RST after the handshake, before the check had its answer.
    Reset,
    /// Nothing, or not enough, within the check's timeout.
    Timeout,
    /// No port of the box leads there.
    NoRoute,
    /// The next hop does not answer ARP, or a router said so by ICMP.
    Unreachable,
    /// An answer with a status outside the expected range.
    HttpStatus(u16),
    /// An answer that is not HTTP, or ended before its status line did.
    BadHttp,
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.pad("connection refused"),
            Self::Reset => f.pad("connection reset"),
            Self::Timeout => f.pad("timeout"),
            Self::NoRoute => f.pad("no route"),
            Self::Unreachable => f.pad("host unreachable"),
            Self::HttpStatus(status) => write!(f, "HTTP {status}"),
            Self::BadHttp => f.pad("bad HTTP answer"),
        }
    }
}

impl std::error::Error for ProbeError {}

/// What is known of a backend.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not answered yet. Serves; one failure takes it down.
    Unknown,
    Up,
    /// With the error of the latest failed check.
    Down(ProbeError),
}

impl State {
    /// Whether new flows may go there.
    pub const fn is_serving(self) -> bool {
        match self {
            Self::Unknown | Self::Up => true,
            Self::Down(_) => false,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.pad("unknown"),
            Self::Up => f.pad("up"),
            Self::Down(error) => write!(f, "down: {error}"),
        }
    }
}

/// The shortest interval and timeout that are honoured: a zero would spin.
const CLOCKWORK_MIN: Duration = Duration::from_millis(10);
/// The widest jitter, in percent.
const JITTER_MAX: u8 = 50;

/// What makes two probes the same probe.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ProbeKey {
    pub(super) kind: CheckKind,
    pub(super) address: SocketAddrV4,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) fall: u8,
    pub(super) rise: u8,
    pub(super) jitter_percent: u8,
}

impl ProbeKey {
    /// The target's probe, its numbers brought into their documented ranges.
    pub(super) fn of(target: &Target) -> Self {
        let HealthCheck {
            kind,
            port: _,
            interval,
            timeout,
            fall,
            rise,
            jitter_percent,
            hold_down: _,
        } = &target.check;
        Self {
            kind: kind.clone(),
            address: target.address(),
            interval: (*interval).max(CLOCKWORK_MIN),
            timeout: (*timeout).max(CLOCKWORK_MIN),
            fall: (*fall).max(1),
            rise: (*rise).max(1),
            jitter_percent: (*jitter_percent).min(JITTER_MAX),
        }
    }

    /// Whether the other probe asks the same question, at whatever pace.
    pub(super) fn asks_the_same(&self, other: &Self) -> bool {
        self.address == other.address && self.kind == other.kind
    }
}

/// What the checks so far have shown.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) state: State,
    /// Consecutive; at most one of the two is not 0.
    pub(super) successes: u32,
    pub(super) failures: u32,
    pub(super) last_error: Option<ProbeError>,
    pub(super) last_latency: Option<Duration>,
    pub(super) last_check: Option<Moment>,
    /// When the present state began.
    pub(super) since: Moment,
    /// Times that serving began or ended.
    pub(super) transitions: u64,
}

impl Record {
    pub(super) const fn new(now: Moment) -> Self {
        Self {
            state: State::Unknown,
            successes: 0,
            failures: 0,
            last_error: None,
            last_latency: None,
            last_check: None,
            since: now,
            transitions: 0,
        }
    }

    /// The record under another clockwork: the state stays, the counts begin anew.
    pub(super) fn inherited(&self) -> Self {
        Self { successes: 0, failures: 0, ..self.clone() }
    }

    /// Takes one answer in; true when serving began or ended.
    pub(super) fn take(
        &mut self,
        key: &ProbeKey,
        now: Moment,
        answer: Result<Duration, ProbeError>,
    ) -> bool {
        self.last_check = Some(now);
        let next = match answer {
            Ok(latency) => {
                self.last_latency = Some(latency);
                self.failures = 0;
                self.successes = self.successes.saturating_add(1);
                self.after_success(key)
            }
            Err(error) => {
                self.last_error = Some(error);
                self.successes = 0;
                self.failures = self.failures.saturating_add(1);
                self.after_failure(key, error)
            }
        };
        let turned = next.is_serving() != self.state.is_serving();
        if turned || self.state == State::Unknown {
            self.since = now;
        }
        self.state = next;
        self.transitions += u64::from(turned);
        turned
    }

    fn after_success(&self, key: &ProbeKey) -> State {
        match self.state {
            State::Unknown | State::Up => State::Up,
            State::Down(_) if self.successes >= u32::from(key.rise) => State::Up,
            State::Down(_) => self.state,
        }
    }

    fn after_failure(&self, key: &ProbeKey, error: ProbeError) -> State {
        match self.state {
            State::Unknown | State::Down(_) => State::Down(error),
            State::Up if self.failures >= u32::from(key.fall) => State::Down(error),
            State::Up => State::Up,
        }
    }
}

/// One probe with its schedule and its users.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    pub(super) key: ProbeKey,
    pub(super) record: Record,
    /// Who asked for it, in the order of the targets.
    pub(super) users: Vec<TargetId>,
    /// When it is to be started next; meaningless while it is out.
    pub(super) due: Moment,
}

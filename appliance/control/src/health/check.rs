//! What is asked, and what an answer can be.

use std::fmt;
use std::net::SocketAddrV4;
use std::time::Duration;

use spillway_lb::model::{CheckKind, Clockwork, HealthCheck};

/// The shortest interval and timeout that are honoured: a zero would spin.
const CLOCKWORK_MIN: Duration = Duration::from_millis(10);
/// The widest jitter, in percent.
const JITTER_MAX: u8 = 50;

/// One question to one address, and how often. Checks that are equal are one probe, whoever wants
/// them: a node that stands behind ten thousand Services is asked once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Check {
    pub kind: CheckKind,
    /// Where the probe goes.
    pub address: SocketAddrV4,
    pub clockwork: Clockwork,
}

impl Check {
    /// The check of `backend` that `health` describes, its numbers brought into their documented
    /// ranges.
    pub fn of(health: &HealthCheck, backend: SocketAddrV4) -> Self {
        let HealthCheck { kind, port, clockwork } = health;
        let Clockwork { interval, timeout, fall, rise, jitter_percent, hold_down } = *clockwork;
        Self {
            kind: kind.clone(),
            address: SocketAddrV4::new(*backend.ip(), port.unwrap_or(backend.port())),
            clockwork: Clockwork {
                interval: interval.max(CLOCKWORK_MIN),
                timeout: timeout.max(CLOCKWORK_MIN),
                fall: fall.max(1),
                rise: rise.max(1),
                jitter_percent: jitter_percent.min(JITTER_MAX),
                hold_down,
            },
        }
    }
}

impl fmt::Display for Check {
    /// What is asked: `10.0.1.72:80`, or `http://10.0.1.72:80/healthz`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            CheckKind::Tcp => write!(f, "{}", self.address),
            CheckKind::Http { path, .. } => write!(f, "http://{}{path}", self.address),
            CheckKind::NodeEndpoints => write!(f, "http://{}/", self.address),
        }
    }
}

/// A good answer.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How long it took.
    pub latency: Duration,
    /// What a node says of itself, see [`CheckKind::NodeEndpoints`].
    pub weight: Option<u16>,
}

impl Answer {
    /// An answer that says no more than that it came.
    pub const fn after(latency: Duration) -> Self {
        Self { latency, weight: None }
    }
}

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
    /// The node is well, and says that no endpoint of the Service is on it. No failure but a word
    /// to be believed: it takes effect at once, and so does its revocation.
    NoEndpoints,
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
            Self::NoEndpoints => f.pad("no endpoints"),
        }
    }
}

impl std::error::Error for ProbeError {}

/// What a check has shown so far.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not decided yet; counts as well.
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

    /// Whether the two mean the same to a judge, whatever error is shown.
    pub(super) const fn is_like(self, other: Self) -> bool {
        match (self, other) {
            (Self::Unknown, Self::Unknown) | (Self::Up, Self::Up) => true,
            (Self::Down(one), Self::Down(other)) => {
                matches!(one, ProbeError::NoEndpoints) == matches!(other, ProbeError::NoEndpoints)
            }
            (Self::Unknown | Self::Up | Self::Down(_), _) => false,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn health(kind: CheckKind, port: Option<u16>) -> HealthCheck {
        let clockwork = Clockwork {
            interval: Duration::ZERO,
            timeout: Duration::ZERO,
            fall: 0,
            rise: 0,
            jitter_percent: 200,
            hold_down: Duration::ZERO,
        };
        HealthCheck { kind, port, clockwork }
    }

    #[test]
    fn a_check_s_port_replaces_the_backend_s() {
        let backend = "10.0.1.1:80".parse().unwrap();
        let of = |port| Check::of(&health(CheckKind::NodeEndpoints, port), backend).to_string();
        assert_eq!(of(Some(31_000)), "http://10.0.1.1:31000/");
        assert_eq!(of(None), "http://10.0.1.1:80/");
    }

    #[test]
    fn numbers_are_brought_into_their_ranges() {
        let check = Check::of(&health(CheckKind::Tcp, None), "10.0.1.1:80".parse().unwrap());
        let Clockwork { interval, timeout, fall, rise, jitter_percent, hold_down: _ } =
            check.clockwork;
        assert_eq!((interval, timeout), (CLOCKWORK_MIN, CLOCKWORK_MIN));
        assert_eq!((fall, rise, jitter_percent), (1, 1, 50));
    }
}

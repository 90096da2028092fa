//! Where a flow stands: the TCP graph of RFC 7857 in short, and UDP's two states.

use std::fmt;

use spillway_packet::tcp::TcpFlags;

use super::key::Direction;
use crate::model::{Protocol, Timeouts};
use crate::time::ticks;

/// State of a flow. The numbers live in the flow table's file: never reuse one.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FlowState {
    /// The client's SYN has passed.
    SynSent = 1,
    /// The backend's SYN+ACK has passed.
    SynReceived = 2,
    Established = 3,
    /// The client has sent FIN; half-closed flows live by the established timer (RFC 5382, REQ-5).
    FinClient = 4,
    /// The backend has sent FIN.
    FinBackend = 5,
    /// Both have sent FIN: the SNAT port rests until the timer ends.
    Closing = 6,
    /// A RST has passed: likewise, unless either side goes on.
    Reset = 7,
    UdpUnreplied = 8,
    UdpReplied = 9,
}

impl FlowState {
    pub const ALL: [Self; 9] = [
        Self::SynSent,
        Self::SynReceived,
        Self::Established,
        Self::FinClient,
        Self::FinBackend,
        Self::Closing,
        Self::Reset,
        Self::UdpUnreplied,
        Self::UdpReplied,
    ];

    /// Written out, so that the hit path has no search.
    #[inline]
    pub(super) const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::SynSent,
            2 => Self::SynReceived,
            3 => Self::Established,
            4 => Self::FinClient,
            5 => Self::FinBackend,
            6 => Self::Closing,
            7 => Self::Reset,
            8 => Self::UdpUnreplied,
            9 => Self::UdpReplied,
            _ => return None,
        })
    }

    /// State of a flow whose first packet has just passed.
    pub const fn opening(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Tcp => Self::SynSent,
            Protocol::Udp => Self::UdpUnreplied,
        }
    }

    /// May a SYN from the client open a new flow in this one's place?
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Closing | Self::Reset)
    }

    /// The state after a packet of `direction`; `flags` is empty for UDP.
    #[inline]
    #[must_use]
    pub fn after(self, direction: Direction, flags: TcpFlags) -> Self {
        // Nearly every packet: the flow is up, and nobody ends it.
        let is_steady = match self {
            Self::UdpReplied => true,
            Self::Established => !flags.fin() && !flags.rst(),
            Self::SynSent
            | Self::SynReceived
            | Self::FinClient
            | Self::FinBackend
            | Self::Closing
            | Self::Reset
            | Self::UdpUnreplied => false,
        };
        if is_steady { self } else { self.step(direction, flags) }
    }

    fn step(self, direction: Direction, flags: TcpFlags) -> Self {
        match self {
            Self::UdpUnreplied | Self::UdpReplied => match direction {
                Direction::Original => self,
                Direction::Reply => Self::UdpReplied,
            },
            Self::SynSent
            | Self::SynReceived
            | Self::Established
            | Self::FinClient
            | Self::FinBackend
                if flags.rst() =>
            {
                Self::Reset
            }
            Self::SynSent => match direction {
                Direction::Reply if flags.syn() && flags.ack() => Self::SynReceived,
                Direction::Original | Direction::Reply => self,
            },
            Self::SynReceived | Self::Established | Self::FinClient | Self::FinBackend
                if flags.fin() =>
            {
                self.after_fin(direction)
            }
            Self::SynReceived => match direction {
                Direction::Original if flags.ack() && !flags.syn() => Self::Established,
                Direction::Original | Direction::Reply => self,
            },
            // RFC 6146, 3.5.2.2 and RFC 7857, 2.2: whoever goes on talking has not believed the RST, so
            // a forged one costs the flow nothing.
            Self::Reset if !flags.rst() && !flags.syn() => {
                if flags.fin() {
                    self.after_fin(direction)
                } else {
                    Self::Established
                }
            }
            // What is over stays over until a SYN takes its place.
            Self::Established
            | Self::FinClient
            | Self::FinBackend
            | Self::Closing
            | Self::Reset => self,
        }
    }

    const fn after_fin(self, direction: Direction) -> Self {
        match (self, direction) {
            (Self::FinClient, Direction::Reply) | (Self::FinBackend, Direction::Original) => {
                Self::Closing
            }
            (_, Direction::Original) => Self::FinClient,
            (_, Direction::Reply) => Self::FinBackend,
        }
    }
}

impl fmt::Display for FlowState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::SynSent => "syn-sent",
            Self::SynReceived => "syn-received",
            Self::Established => "established",
            Self::FinClient => "fin-client",
            Self::FinBackend => "fin-backend",
            Self::Closing => "closing",
            Self::Reset => "reset",
            Self::UdpUnreplied => "unreplied",
            Self::UdpReplied => "replied",
        })
    }
}

/// [`Timeouts`] in ticks, by state.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct TickTimeouts {
    syn: u32,
    established: u32,
    closing: u32,
    unreplied: u32,
    replied: u32,
}

impl TickTimeouts {
    pub fn new(timeouts: &Timeouts) -> Self {
        // One more: a packet comes up to a whole tick after the tick that it is noted with.
        let silence = |timeout| ticks(timeout).saturating_add(1);
        Self {
            syn: silence(timeouts.tcp_syn),
            established: silence(timeouts.tcp_established),
            closing: silence(timeouts.tcp_closing),
            unreplied: silence(timeouts.udp_unreplied),
            replied: silence(timeouts.udp),
        }
    }

    /// Silence after which a flow in `state` goes, in ticks.
    pub const fn of(&self, state: FlowState) -> u32 {
        match state {
            FlowState::SynSent | FlowState::SynReceived => self.syn,
            FlowState::Established | FlowState::FinClient | FlowState::FinBackend => {
                self.established
            }
            FlowState::Closing | FlowState::Reset => self.closing,
            FlowState::UdpUnreplied => self.unreplied,
            FlowState::UdpReplied => self.replied,
        }
    }
}

//! One neighbour: what is known of it, and how it is shown.

use std::collections::VecDeque;
use std::fmt;
use std::net::Ipv4Addr;

use spillway_lb::ids::PortId;
use spillway_packet::MacAddr;

use crate::Moment;

/// What is known of a neighbour.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum NeighborState {
    /// Asked for by broadcast; no answer yet.
    Incomplete,
    Reachable,
    /// Being asked again; its MAC is still used.
    Stale,
    /// Did not answer; left alone for a while.
    Failed,
    /// Pinned by the configuration.
    Static,
}

impl fmt::Display for NeighborState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Incomplete => "incomplete",
            Self::Reachable => "reachable",
            Self::Stale => "stale",
            Self::Failed => "failed",
            Self::Static => "static",
        })
    }
}

/// One neighbour, for display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeighborRow {
    pub port: PortId,
    pub address: Ipv4Addr,
    pub mac: Option<MacAddr>,
    pub state: NeighborState,
    /// Kept for ever: a gateway, a backend, or pinned. Others go when they stop answering.
    pub configured: bool,
    /// When it last answered.
    pub confirmed: Option<Moment>,
    /// Frames that wait for its MAC.
    pub waiting: usize,
}

/// Counted since the start.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct NeighborCounters {
    /// Questions sent.
    pub asked: u64,
    /// Answers believed.
    pub learned: u64,
    /// Claims and answers that nobody asked for.
    pub unsolicited: u64,
    /// Learned neighbours that made room for others.
    pub evicted: u64,
    /// Neighbours that found no slot in the workers' table; their frames take the slow way.
    pub crowded: u64,
    /// Frames dropped because too many waited already, or too many neighbours were being learned.
    pub frames_overflow: u64,
    /// Frames dropped because their neighbour did not answer.
    pub frames_unresolved: u64,
}

#[derive(Copy, Clone, Debug)]
pub(super) enum State {
    Incomplete { asks: u8 },
    Reachable { mac: MacAddr },
    Stale { mac: MacAddr, asks: u8 },
    Failed,
    Static { mac: MacAddr },
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) state: State,
    pub(super) configured: bool,
    /// Order of arrival, for eviction.
    pub(super) serial: u64,
    /// When something is to be done; also its place in the timers.
    pub(super) due: Option<Moment>,
    pub(super) asked: Option<Moment>,
    pub(super) confirmed: Option<Moment>,
    pub(super) waiting: VecDeque<Box<[u8]>>,
}

impl Entry {
    pub(super) const fn new(state: State, configured: bool, serial: u64) -> Self {
        Self {
            state,
            configured,
            serial,
            due: None,
            asked: None,
            confirmed: None,
            waiting: VecDeque::new(),
        }
    }

    pub(super) const fn mac(&self) -> Option<MacAddr> {
        match self.state {
            State::Reachable { mac } | State::Stale { mac, .. } | State::Static { mac } => {
                Some(mac)
            }
            State::Incomplete { .. } | State::Failed => None,
        }
    }

    pub(super) const fn shown(&self) -> NeighborState {
        match self.state {
            State::Incomplete { .. } => NeighborState::Incomplete,
            State::Reachable { .. } => NeighborState::Reachable,
            State::Stale { .. } => NeighborState::Stale,
            State::Failed => NeighborState::Failed,
            State::Static { .. } => NeighborState::Static,
        }
    }

    /// Who goes first when the table is full: who did not answer, who has not yet, the oldest.
    pub(super) const fn eviction_order(&self) -> (u8, u64) {
        let class = match self.state {
            State::Failed => 0,
            State::Incomplete { .. } => 1,
            State::Stale { .. } => 2,
            State::Reachable { .. } => 3,
            State::Static { .. } => 4,
        };
        (class, self.serial)
    }

    pub(super) fn row(&self, port: PortId, address: Ipv4Addr) -> NeighborRow {
        NeighborRow {
            port,
            address,
            mac: self.mac(),
            state: self.shown(),
            configured: self.configured,
            confirmed: self.confirmed,
            waiting: self.waiting.len(),
        }
    }
}

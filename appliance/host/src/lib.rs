//! The host stack: what the box says and hears under its own addresses.
//!
//! Workers forward; everything else comes here, on a thread of its own: ARP questions and answers,
//! frames whose next hop is not known yet, and the packets of health checks.
//!
//! | room | noun |
//! |---|---|
//! | [`host`] | [`Host`]: ties the rooms together; start reading here |
//! | [`neighbors`] | [`Neighbors`]: addresses to MACs, read by all workers without a lock |
//! | [`table`] | [`NeighborTable`]: who is asked, believed, forgotten, and the frames that wait |
//! | [`arp`] | answers and announcements for owned addresses |
//! | [`probe`] | TCP and HTTP checks over smoltcp |
//!
//! Invariants:
//! - A neighbour's MAC is learnt only from an answer to our own question (RFC 826 would learn from
//!   anything); a static one never changes.
//! - Every queue and table has a limit, and what does not fit is counted.
//! - smoltcp sees only packets of a probe that is out, and its panic costs that probe alone.
//! - One frame in causes at most one frame out at once; the rest is paced by timers.
//!
//! Pure like the core: time ([`Moment`]) and seeds are arguments. Must never depend on DPDK, on
//! capsule, on async or on a clock: the world outside is [`Transmit`].

pub mod arp;
pub mod host;
mod icmp;
pub mod neighbors;
pub mod probe;
pub mod table;

pub use host::{Host, HostCounters, HostError, HostSettings, Transmit};
pub use neighbors::Neighbors;
pub use spillway_control::health::Moment;
pub use table::{NeighborRow, NeighborState, NeighborTable};

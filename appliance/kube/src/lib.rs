//! The cluster over the wire: an API client that survives rotation and outage, watches, writes, leadership.
//!
//! ```text
//! connect ─ Link ─┬─ watch (one task for each kind) ─ Notice ─→ the daemon
//!                 ├─ write ←─ Write
//!                 └─ lead ─→ is_leader
//! ```
//!
//! Invariants: TLS is verified always. What a watch says is passed on as [`spillway_cluster::Change`]s and
//! interpreted nowhere here. Must never depend on DPDK or on the appliance.

mod cache;
mod connect;
mod lead;
mod pace;
mod session;
mod settings;
mod watch;
mod write;

pub use connect::access::{AccessError, Problem};
pub use connect::refusal::Refusal;
pub use lead::Leader;
pub use session::Session;
pub use settings::{Clockwork, LeaseSettings, SessionSettings};
pub use watch::guard::Held;
pub use watch::notice::{FeedState, Notice};
pub use write::event::utc;
pub use write::patch::Written;
pub use write::writer::Writer;

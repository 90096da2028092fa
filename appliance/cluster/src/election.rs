//! Which of several boxes writes to the API: the holder of a Lease.
//!
//! After client-go's `leaderelection`, as a state machine: [`Candidate::step`] says what to send, whoever owns the
//! connection sends it and reports with [`Candidate::observe`]. All boxes forward; only the leader writes.
//!
//! Never two leaders at once, by the candidates' own clocks alone, of which only the rate matters:
//! - A leader leads for `renew_deadline` from the moment it *sent* its last successful write, however late the
//!   answer came. The server cannot have taken it earlier.
//! - Anybody else waits `lease_duration` from the moment he *saw* the lease change. He cannot have seen it
//!   before the server took it. What the record's own times say decides nothing.
//! - Every write carries the `resourceVersion` that it replaces, so a late one fails.
//!
//! With the usual 15 s and 10 s the clocks may run at rates that differ by half. The one thing the holder must
//! not do is to "renew" without a change: the server takes such a write for a no-op, and nobody sees it. So a write
//! that did not change the version does not count.

mod candidate;
mod lease;
mod settings;
#[cfg(test)]
mod tests;

pub use candidate::{Action, Answer, Candidate, Ticket};
pub use settings::{Settings, SettingsError};

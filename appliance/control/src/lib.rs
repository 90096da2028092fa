//! The control plane without its threads: what is to be served, and what serves.
//!
//! | room | noun |
//! |---|---|
//! | [`settings`] | the configuration: every mistake found, every value typed |
//! | [`health`] | the engine that decides which backends serve |
//!
//! Invariants: time and seeds are arguments; nothing here opens a socket; reading configuration files is
//! the only I/O. Must never depend on DPDK, on async or on the appliance.

pub mod health;
pub mod settings;

//! Connecting: credentials and endpoints, TLS, failover, rotation, and reasons that an operator understands.
//!
//! Invariants: TLS is verified always, each endpoint by the same CA and its own name (or `tls-server-name`);
//! nothing falls back to anything weaker. New credentials replace working ones only after they have proved to
//! work.

pub(crate) mod access;
pub(crate) mod call;
pub(crate) mod client;
pub(crate) mod link;
pub(crate) mod refusal;
pub(crate) mod rotate;
pub(crate) mod verify;

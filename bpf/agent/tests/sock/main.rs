//! The programs of sockets, for real: processes in cgroups and network namespaces of their own connect and send, and
//! rows are written by hand. Needs root, kernel 6.1 and a mounted cgroup v2.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests fail loudly"
)]

mod affinity;
mod client;
mod connect;
mod datagrams;
mod reaper;
mod refusals;
mod world;

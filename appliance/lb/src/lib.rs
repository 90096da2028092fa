//! Load-balancing decisions over parsed frames. Pure: no I/O, no clock, no randomness, no async.
//!
//! Time, seeds and memory are arguments, so everything here is property-tested and simulated with
//! nothing installed. Must never depend on DPDK, tokio or the control plane.
//!
//! | room | noun |
//! |---|---|
//! | [`model`], [`snapshot`], [`tables`] | desired state → one Generation → compiled for workers |
//! | [`conntrack`], [`snat`] | the flow table; SNAT ports as a resource |
//! | [`selector`], [`scheduler`], [`maglev`] | which backend a new flow gets |
//! | [`sources`], [`route`] | who may open flows; where a packet leaves |
//! | [`forward`] | a packet's way: start reading here |
//! | [`verdict`], [`counters`] | what became of it |

mod admit;
pub mod batch;
pub mod conntrack;
pub mod counters;
pub mod forward;
pub mod hash;
pub mod ids;
pub mod maglev;
pub mod model;
mod prefetch;
mod refuse;
pub mod route;
pub mod scheduler;
pub mod selector;
pub mod snapshot;
pub mod snat;
pub mod sources;
pub mod tables;
pub mod time;
pub mod verdict;

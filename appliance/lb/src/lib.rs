//! Load-balancing decisions over parsed frames. Pure: no I/O, no clock, no randomness, no async.

pub mod ids;
pub mod model;

//! spillwayd: the load-balancer appliance.
//!
//! Thin shells around pure cores: this crate owns devices, threads, files and sockets; decisions
//! are made in `spillway-lb` (packets), `spillway-host` (the box's own addresses) and
//! `spillway-control` (settings, health).
//!
//! | room | noun |
//! |---|---|
//! | `worker` | one lcore's loop: read this first |
//! | [`pipeline`] | a burst's way: verdicts, neighbours, queues and rings |
//! | `start`, `fabric` | start order of the box, and its end; how workers are made |
//! | `control`, `publish` | health and model become Generations; workers adopt them |
//! | `host_thread` | the host stack's thread |
//! | `desk`, `admin`, `mailbox` | looking into the running box |
//! | `metrics` | the same over HTTP, for Prometheus |
//! | `ports`, `rx`, `egress`, `hand_over` | devices and rings |
//! | [`mapping`], `clock`, `busy`, `idle` | memory and time |
//!
//! Invariants: a worker never allocates, locks or logs; the async runtime runs on the main core
//! only; whatever the control side does, workers serve the last Generation they got.

mod admin;
mod busy;
mod clock;
mod control;
mod desk;
mod egress;
mod fabric;
mod hand_over;
mod host_thread;
mod idle;
mod mailbox;
pub mod mapping;
mod metrics;
pub mod pipeline;
mod ports;
mod publish;
mod rx;
mod start;
mod worker;

pub use start::run;

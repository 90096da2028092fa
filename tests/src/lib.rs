//! The lab, and the end-to-end tests that live in it.
//!
//! A lab is a small world made of network namespaces: one client, a few nodes with real servers on
//! them, and the box between. Real TCP stacks at both ends, real DPDK drivers in the middle.
//!
//! Invariants:
//! - Everything the lab makes lives in a [`sandbox`]: a private mount, network and PID namespace.
//!   When its first process ends, for whatever reason, the kernel removes the rest. Nothing that a
//!   test or the demo does can outlive it, and two labs cannot see each other.
//! - Every name starts with `sw-` and the lab's own id.
//! - The lab never talks to anything but its own namespaces.
//! - Programs of the lab report in JSON ([`report`]); nobody parses their prose.
//!
//! What it must never do: depend on the inside of the box. It starts `spillwayd`, asks `spillway`,
//! and looks at packets and connections, as an operator would.

pub mod cluster;
pub mod daemon;
pub mod error;
pub mod guest;
pub mod lab;
pub mod mesh;
pub mod pattern;
pub mod process;
pub mod programs;
pub mod report;
pub mod sandbox;
pub mod stall;
pub mod wire;

pub use error::{LabError, Result};
pub use lab::{Lab, topology::Topology};

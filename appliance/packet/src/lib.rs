//! Header views, builders and checksums over plain byte slices.
//!
//! Two shapes, after smoltcp: a *view* or parsed value that cannot fail once `parse` has
//! accepted the bytes, and a *value* with an `emit` in which nonsense cannot be said. [`flow::parse`]
//! is the one function that a worker calls for every frame; everything else serves the slower paths,
//! the box's own answers, tests and generators.
//!
//! Invariants:
//! * No input can make any function here panic, whatever its bytes or length.
//! * The API speaks host integers, [`core::net::Ipv4Addr`] and [`MacAddr`]; network order stays inside.
//! * Checksums are changed incrementally (RFC 1624), so a packet that came broken leaves broken.
//! * Only IPv4 is parsed today. Addresses live in the per-protocol values and nowhere in the
//!   Ethernet, TCP, UDP and checksum layers, so that IPv6 joins as a module and further [`flow::Kind`]s.
//!
//! Must never depend on anything: no crate, no I/O, no clock, no `unsafe`; the library itself is
//! `no_std` and allocates in [`build`] only.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod addr;
pub mod arp;
pub mod build;
pub mod checksum;
pub mod ethernet;
pub mod flow;
pub mod icmp;
pub mod ipv4;
mod mac;
pub mod rewrite;
pub mod tcp;
#[cfg(test)]
mod testing;
pub mod udp;

pub use mac::{MacAddr, ParseMacError};

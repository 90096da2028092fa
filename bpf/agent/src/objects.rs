//! The compiled programs, as `build.rs` left them.

use aya::include_bytes_aligned;

/// `bpf/sock.bpf.c`.
pub static SOCK: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/sock.bpf.o"));
/// `bpf/netdev.bpf.c`.
pub static NETDEV: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/netdev.bpf.o"));
/// `bpf/pod.bpf.c`.
pub static POD: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/pod.bpf.o"));
/// `bpf/reaper.bpf.c`.
pub static REAPER: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/reaper.bpf.o"));

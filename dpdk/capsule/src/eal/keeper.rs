//! Keeps the environment while anything uses it, and lets go of its memory only when that is safe.
//!
//! # The argument
//! Pools, ports, queues, rings and running jobs hold an `Arc<Keeper>`, so while any of them lives
//! the environment does. An `Mbuf` holds nothing: it is a bare pointer into its pool's memory.
//! That memory goes away in two ways, both of them here, both guarded alike:
//!
//! - `rte_mempool_free`, when the last handle of a pool is dropped;
//! - `rte_eal_cleanup`, which unmaps everything, when the keeper itself is dropped.
//!
//! The guard is: *every mbuf is in the pool, and no other thread is in the middle of putting one
//! there.* For the first part the pool's count must be full. No further mbuf can leave it:
//! allocating needs a handle, receiving needs a port, and ports hold a handle.
//! For the second, a full count must not be seen early:
//! - An lcore puts mbufs into its cache in the order "raise the count, write the pointer", so its
//!   count could be early. Hence the guard also demands that every worker lcore is idle (its state
//!   is stored with release and loaded with acquire after its last access), and that the caller is
//!   the main lcore itself, which cannot be elsewhere at the same time.
//! - Any other thread has no cache. It puts mbufs into the pool's ring, whose count changes by
//!   a release store that is its last access to the pool.
//!
//! When the guard fails the memory is kept: a pool on the keeper's list, the environment until the
//! process ends. That is a leak in the letter, chosen over a use after free.

use std::ffi::CStr;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use dpdk_sys as c;

use super::Worker;
use crate::mempool::RawPool;

/// The names of one port.
#[derive(Clone, Debug)]
pub(crate) struct PortName {
    /// The user's.
    pub(crate) name: String,
    /// DPDK's.
    pub(crate) dpdk_name: String,
    /// The kernel interface whose carrier is the port's link.
    pub(crate) interface: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Keeper {
    workers: Vec<Worker>,
    port_names: Vec<PortName>,
    /// The shared configuration lies in files of the runtime directory.
    multi_process: bool,
    claimed_ports: Mutex<Vec<u16>>,
    retired_pools: Mutex<Vec<(RawPool, u32)>>,
    /// Launching is for one thread at a time: EAL checks and sets a worker's state in two steps.
    launching: Mutex<()>,
}

impl std::fmt::Debug for RawPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:p}", self.as_ptr())
    }
}

/// No code panics while it holds one of these locks, so poisoning means nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keeper {
    /// To be called once the environment runs.
    pub(super) fn new(
        workers: Vec<Worker>,
        port_names: Vec<PortName>,
        multi_process: bool,
    ) -> Self {
        if !multi_process {
            // EAL makes the directory in any case, and has no use for it without a configuration to
            // share. Removed at once, nothing is left even of a process that is killed.
            let _ = fs::remove_dir(runtime_dir());
        }
        Self {
            workers,
            port_names,
            multi_process,
            claimed_ports: Mutex::default(),
            retired_pools: Mutex::default(),
            launching: Mutex::default(),
        }
    }

    pub(super) fn workers(&self) -> &[Worker] {
        &self.workers
    }

    /// The names of the port that the settings call `name`.
    pub(crate) fn port_name(&self, name: &str) -> Option<&PortName> {
        self.port_names.iter().find(|port| port.name == name)
    }

    /// Claims a port for one `Port` value; `false` when another has it.
    pub(crate) fn claim_port(&self, id: u16) -> bool {
        let mut claimed = lock(&self.claimed_ports);
        if claimed.contains(&id) {
            return false;
        }
        claimed.push(id);
        true
    }

    pub(crate) fn unclaim_port(&self, id: u16) {
        lock(&self.claimed_ports).retain(|claimed| *claimed != id);
    }

    pub(super) fn launch_lock(&self) -> MutexGuard<'_, ()> {
        lock(&self.launching)
    }

    /// Takes the pool of a last handle: frees it now if that is safe, keeps it otherwise.
    pub(crate) fn retire(&self, pool: RawPool, mbufs: u32) {
        if is_main_lcore() && self.workers_are_idle() && is_full(pool, mbufs) {
            // SAFETY: the argument at the top of this file; no handle is left.
            unsafe { c::rte_mempool_free(pool.as_ptr()) };
            return;
        }
        lock(&self.retired_pools).push((pool, mbufs));
    }

    /// Whether no worker lcore runs anything. Acquires all that they have done.
    fn workers_are_idle(&self) -> bool {
        self.workers.iter().all(|worker| worker.lcore.is_idle())
    }

    /// Waits for jobs that have given up their keeper and are about to return.
    fn wait_for_workers(&self) {
        while !self.workers_are_idle() {
            thread::yield_now();
        }
    }
}

fn is_main_lcore() -> bool {
    // SAFETY: reads an integer that EAL has set.
    let main = unsafe { c::rte_get_main_lcore() };
    // SAFETY: reads a thread-local integer.
    let own = unsafe { c::rte_lcore_id() };
    own == main
}

/// Where EAL keeps this instance's files: its own directory, named by `EalSettings::name`.
fn runtime_dir() -> PathBuf {
    // SAFETY: the environment runs; returns a static NUL-terminated string.
    let path = unsafe { c::rte_eal_get_runtime_dir() };
    // SAFETY: as above.
    PathBuf::from(unsafe { CStr::from_ptr(path) }.to_string_lossy().into_owned())
}

fn is_full(pool: RawPool, mbufs: u32) -> bool {
    let full = pool.available() == mbufs;
    // The count was read without ordering; what other threads did before is visible after this.
    fence(Ordering::Acquire);
    full
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if !is_main_lcore() {
            return;
        }
        // Each running job holds a keeper, so those that count as running are in their last lines.
        self.wait_for_workers();
        if !lock(&self.retired_pools).iter().all(|(pool, mbufs)| is_full(*pool, *mbufs)) {
            return;
        }
        if self.multi_process {
            // memif registers its control channels with EAL's interrupt thread, and EAL 22.11 never
            // ends that thread. Handles that it still lists lie in EAL's memory: unmapped now, they are
            // read once more (seen as a segmentation fault in rte_intr_fd_get while the process
            // exits). So the memory is left to the kernel, which takes it with the process. The shared
            // configuration goes; if it stays it is reused by the next start.
            let _ = fs::remove_dir_all(runtime_dir());
            return;
        }
        // SAFETY: the argument at the top of this file; nothing of this crate's is left.
        unsafe { c::rte_eal_cleanup() };
    }
}

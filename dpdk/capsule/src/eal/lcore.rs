//! Lcores: EAL's pinned threads, and the closures that run on them.

use std::any::Any;
use std::ffi::{c_int, c_void};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use dpdk_sys as c;

use super::Keeper;
use crate::errno::Errno;

/// Number of an lcore: 0 is the main one, worker `n` has `n + 1`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LcoreId(u32);

impl LcoreId {
    pub(super) const fn new(id: u32) -> Self {
        Self(id)
    }

    /// The lcore that this thread is; `None` on a thread that is not EAL's.
    pub fn current() -> Option<Self> {
        // SAFETY: reads a thread-local integer, set or not.
        let id = unsafe { c::rte_lcore_id() };
        (id != c::DPDK_LCORE_ID_ANY).then_some(Self(id))
    }

    pub fn get(self) -> u32 {
        self.0
    }

    /// Whether this worker lcore waits for work. Acquires all that its last job has done.
    pub(super) fn is_idle(self) -> bool {
        // SAFETY: the id is one that EAL was started with; loads with acquire.
        unsafe { c::rte_eal_get_lcore_state(self.0) == c::WAIT }
    }
}

/// Where a worker runs.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Position in `EalSettings::worker_cores`.
    pub index: usize,
    pub lcore: LcoreId,
    /// The processor core that the lcore is pinned to.
    pub core: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    #[error("worker {index} does not exist, there are {workers}")]
    NoWorker { index: usize, workers: usize },
    #[error("worker {index} is still running its last job, or is being started")]
    Busy { index: usize },
    #[error("worker {index} cannot be started: {errno}")]
    Refused { index: usize, errno: Errno },
}

/// A job ended by a panic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("worker {index} panicked: {message}")]
pub struct JoinError {
    pub index: usize,
    pub message: String,
}

/// A job on a worker. Dropping the handle lets the job run on; then the environment's memory is
/// released only if the job ends before the environment is dropped.
#[derive(Debug)]
pub struct LcoreHandle {
    worker: Worker,
    outcome: Receiver<Result<(), String>>,
}

impl LcoreHandle {
    pub fn worker(&self) -> Worker {
        self.worker
    }

    /// Whether the job has ended.
    pub fn is_finished(&self) -> bool {
        self.worker.lcore.is_idle()
    }

    /// Sleeps until the job has ended. Afterwards the worker can be launched again.
    pub fn join(self) -> Result<(), JoinError> {
        // A sender that vanishes without a word cannot happen: the job sends before it is dropped.
        let outcome = self.outcome.recv().unwrap_or_else(|_| Err("the job vanished".to_owned()));
        while !self.worker.lcore.is_idle() {
            thread::yield_now();
        }
        outcome.map_err(|message| JoinError { index: self.worker.index, message })
    }
}

type Closure = Box<dyn FnOnce() + Send + 'static>;

struct Job {
    closure: Closure,
    keeper: Arc<Keeper>,
    outcome: SyncSender<Result<(), String>>,
}

pub(super) fn launch(
    keeper: &Arc<Keeper>,
    index: usize,
    closure: Closure,
) -> Result<LcoreHandle, LaunchError> {
    let workers = keeper.workers();
    let worker =
        *workers.get(index).ok_or(LaunchError::NoWorker { index, workers: workers.len() })?;
    let _one_at_a_time = keeper.launch_lock();
    if LcoreId::current() == Some(worker.lcore) || !worker.lcore.is_idle() {
        return Err(LaunchError::Busy { index });
    }
    let (outcome, receiver) = mpsc::sync_channel(1);
    let job = Job { closure, keeper: Arc::clone(keeper), outcome };
    let argument = Box::into_raw(Box::new(job));
    // SAFETY: the lcore exists and is idle, and `run` takes exactly this argument, once.
    let ret =
        unsafe { c::rte_eal_remote_launch(Some(run), argument.cast::<c_void>(), worker.lcore.0) };
    if ret != 0 {
        // SAFETY: the launch was refused, so `run` never sees the box and it is ours again.
        drop(unsafe { Box::from_raw(argument) });
        return Err(LaunchError::Refused { index, errno: Errno::from_return(ret) });
    }
    Ok(LcoreHandle { worker, outcome: receiver })
}

/// The entry point on the lcore.
unsafe extern "C" fn run(argument: *mut c_void) -> c_int {
    // SAFETY: `launch` has passed a leaked box of this type, and only to this call.
    let job = unsafe { Box::from_raw(argument.cast::<Job>()) };
    let Job { closure, keeper, outcome } = *job;
    // A panic must not cross into C. What the closure owned is dropped by the unwinding.
    let ended = panic::catch_unwind(AssertUnwindSafe(closure));
    let ended = ended.map_err(|payload| panic_message(payload.as_ref()));
    // Before the outcome is known: who has joined may count on being the last user.
    drop(keeper);
    // The handle may be gone, then nobody wants to know.
    let _ = outcome.send(ended);
    0
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

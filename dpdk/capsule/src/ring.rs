//! Rings that hand mbufs from one thread to another.

use std::fmt;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use dpdk_sys as c;

use crate::burst::Burst;
use crate::eal::{Eal, Keeper};
use crate::errno::Errno;
use crate::name::{NameError, Rule};

mod sealed {
    pub trait Sealed {}
}

/// How many users one end of a ring has: [`Single`] or [`Multi`].
pub trait Access: sealed::Sealed + Send + Sync + 'static {
    #[doc(hidden)]
    const ENQUEUE: u32;
    #[doc(hidden)]
    const DEQUEUE: u32;
}

/// One user: the end is not `Clone`.
#[derive(Debug)]
pub struct Single;
/// Any number of users. A user that loses its core in the middle of an operation delays none of
/// the others (relaxed tail synchronisation), so it may be used with oversubscribed workers.
#[derive(Debug)]
pub struct Multi;

impl sealed::Sealed for Single {}
impl sealed::Sealed for Multi {}
impl Access for Single {
    const ENQUEUE: u32 = c::DPDK_RING_SP_ENQ;
    const DEQUEUE: u32 = c::DPDK_RING_SC_DEQ;
}
impl Access for Multi {
    const ENQUEUE: u32 = c::DPDK_RING_MP_RTS_ENQ;
    const DEQUEUE: u32 = c::DPDK_RING_MC_RTS_DEQ;
}

const NAME: Rule = Rule { what: "ring", max: c::DPDK_RING_NAME_BYTES as usize - 1, extra: "-_." };
/// 2^20 mbufs: far more than a burst of work between two threads should ever be.
const SIZE_MAX: u32 = 1 << 20;

/// How a ring is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingSettings {
    /// Unique in the process; up to 28 characters.
    pub name: String,
    /// Mbufs that it holds: 1 to 2^20.
    pub size: u32,
    /// Memory node; `None` for any.
    pub numa: Option<u16>,
}

/// Why a ring could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("ring {name}: size {size}, possible are 1 to {SIZE_MAX}")]
    Size { name: String, size: u32 },
    #[error("ring {name} of {size} mbufs could not be made: {errno}")]
    Create { name: String, size: u32, errno: Errno },
}

/// A ring of mbufs with `P` producers and `C` consumers, both ends in one hand.
///
/// # Safety argument
/// The type of an end says how many users it may have, and the ring is created with the matching
/// synchronisation: a [`Single`] end is neither `Clone` nor used through `&self`. An enqueued mbuf
/// belongs to the ring until it is dequeued, once. The last end to go frees what is left in it.
#[derive(Debug)]
pub struct Ring<P: Access, C: Access> {
    sender: Sender<P>,
    receiver: Receiver<C>,
}

/// The end that mbufs go in by.
pub struct Sender<P: Access> {
    shared: Arc<Shared>,
    access: PhantomData<P>,
}

/// The end that mbufs come out by.
pub struct Receiver<C: Access> {
    shared: Arc<Shared>,
    access: PhantomData<C>,
}

struct Shared {
    raw: NonNull<c::rte_ring>,
    _keeper: Arc<Keeper>,
}

// SAFETY: the ring is made for use by several threads; the ends keep to the agreed number.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl<P: Access, C: Access> Ring<P, C> {
    pub fn create(eal: &Eal, settings: &RingSettings) -> Result<Self, RingError> {
        let RingSettings { name, size, numa } = settings;
        let c_name = NAME.c_string(name)?;
        if *size == 0 || *size > SIZE_MAX {
            return Err(RingError::Size { name: name.clone(), size: *size });
        }
        let socket = numa.map_or(c::DPDK_SOCKET_ID_ANY, i32::from);
        let flags = P::ENQUEUE | C::DEQUEUE | c::DPDK_RING_EXACT_SZ;
        // SAFETY: the environment runs (`eal`); the name is NUL-terminated and is copied.
        let raw = unsafe { c::rte_ring_create(c_name.as_ptr(), *size, socket, flags) };
        let raw = NonNull::new(raw).ok_or_else(|| RingError::Create {
            name: name.clone(),
            size: *size,
            errno: Errno::last(),
        })?;
        let shared = Arc::new(Shared { raw, _keeper: Arc::clone(eal.keeper()) });
        Ok(Self {
            sender: Sender { shared: Arc::clone(&shared), access: PhantomData },
            receiver: Receiver { shared, access: PhantomData },
        })
    }

    /// The two ends, for two threads.
    pub fn split(self) -> (Sender<P>, Receiver<C>) {
        (self.sender, self.receiver)
    }

    /// See [`Sender::enqueue`].
    pub fn enqueue(&mut self, burst: &mut Burst) -> usize {
        self.sender.enqueue(burst)
    }

    /// See [`Receiver::dequeue`].
    pub fn dequeue(&mut self, burst: &mut Burst) -> usize {
        self.receiver.dequeue(burst)
    }

    pub fn len(&self) -> usize {
        self.sender.shared.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn capacity(&self) -> usize {
        self.sender.shared.capacity()
    }
}

impl<P: Access> Sender<P> {
    /// Moves mbufs from the burst's front into the ring, as many as fit; returns how many. The rest
    /// stays in the burst.
    #[inline]
    pub fn enqueue(&mut self, burst: &mut Burst) -> usize {
        let (slots, len) = burst.filled();
        // SAFETY: the ring is live, `slots` holds `len` owned mbufs, and this end has the number of
        // users that the ring was created for.
        let sent = unsafe {
            c::rte_ring_enqueue_burst(
                self.shared.raw.as_ptr(),
                slots.cast::<*mut std::ffi::c_void>(),
                u32::from(len),
                ptr::null_mut(),
            )
        } as usize;
        // SAFETY: the ring owns the first `sent` now, at most `len`.
        unsafe { burst.forget_front(sent) };
        sent
    }

    /// Mbufs in the ring, as of a moment ago.
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn capacity(&self) -> usize {
        self.shared.capacity()
    }
}

impl<C: Access> Receiver<C> {
    /// Appends mbufs from the ring to the burst, as many as there are and fit; returns how many.
    #[inline]
    pub fn dequeue(&mut self, burst: &mut Burst) -> usize {
        self.shared.dequeue(burst)
    }

    /// Mbufs in the ring, as of a moment ago.
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn capacity(&self) -> usize {
        self.shared.capacity()
    }
}

impl Clone for Sender<Multi> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), access: PhantomData }
    }
}

impl Clone for Receiver<Multi> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), access: PhantomData }
    }
}

impl Shared {
    /// The caller is one of the consumers that the ring was created for, or the only user left.
    #[inline]
    fn dequeue(&self, burst: &mut Burst) -> usize {
        let (slots, room) = burst.spare();
        // SAFETY: the ring is live and `slots` has place for `room` pointers.
        let got = unsafe {
            c::rte_ring_dequeue_burst(
                self.raw.as_ptr(),
                slots.cast::<*mut std::ffi::c_void>(),
                u32::from(room),
                ptr::null_mut(),
            )
        } as usize;
        // SAFETY: the first `got` were written, and the ring has let go of them.
        unsafe { burst.grow(got) };
        got
    }

    fn len(&self) -> usize {
        // SAFETY: the ring is live; reads two counters.
        unsafe { c::rte_ring_count(self.raw.as_ptr()) as usize }
    }

    fn capacity(&self) -> usize {
        // SAFETY: the ring is live; reads a constant of it.
        unsafe { c::rte_ring_get_capacity(self.raw.as_ptr()) as usize }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let mut burst = Burst::new();
        while self.dequeue(&mut burst) != 0 {
            burst.clear();
        }
        // SAFETY: both ends are gone, so nobody uses the ring, and it is empty.
        unsafe { c::rte_ring_free(self.raw.as_ptr()) }
    }
}

impl<P: Access> fmt::Debug for Sender<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .finish()
    }
}

impl<C: Access> fmt::Debug for Receiver<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .finish()
    }
}

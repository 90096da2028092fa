//! The memory that packets live in.

use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use dpdk_sys as c;

use crate::burst::Burst;
use crate::eal::{Eal, Keeper};
use crate::errno::Errno;
use crate::mbuf::Mbuf;
use crate::name::{NameError, Rule};

/// Free bytes before the data of a fresh or received packet.
#[expect(clippy::cast_possible_truncation, reason = "128, as RTE_PKTMBUF_HEADROOM is configured")]
pub const HEADROOM: u16 = c::DPDK_HEADROOM as u16;
/// Headroom and 2,048 bytes of data: an Ethernet frame with MTU 1,500 and tags, in any driver.
pub const DATA_ROOM_DEFAULT: u16 = HEADROOM + 2048;

/// `RTE_MEMPOOL_NAMESIZE` counts the NUL.
const NAME: Rule =
    Rule { what: "mempool", max: c::DPDK_MEMPOOL_NAME_BYTES as usize - 1, extra: "-_." };

/// The free list of a pool: a ring with relaxed tail updates. A thread that loses its core in the
/// middle of a free then delays nobody, where the default ring makes all others spin for it.
const OPS: &std::ffi::CStr = c"ring_mt_rts";

/// How a pool is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MempoolSettings {
    /// Unique in the process; up to 25 characters.
    pub name: String,
    /// Number of mbufs. Count every rx and tx descriptor, each lcore's cache and what is queued.
    pub mbufs: u32,
    /// Mbufs that each lcore may keep for itself, 0 to 512, and at most two thirds of all.
    pub cache: u32,
    /// Bytes of each buffer, [`HEADROOM`] included.
    pub data_room: u16,
    /// Memory node; `None` for any.
    pub numa: Option<u16>,
}

impl MempoolSettings {
    /// A pool with the usual cache and data room on any memory node.
    pub fn new(name: impl Into<String>, mbufs: u32) -> Self {
        let cache = (mbufs / 4).min(256);
        Self { name: name.into(), mbufs, cache, data_room: DATA_ROOM_DEFAULT, numa: None }
    }
}

/// Why a pool could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MempoolError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("mempool {name}: {mbufs} mbufs, possible are 1 to {MBUFS_MAX}")]
    Mbufs { name: String, mbufs: u32 },
    #[error("mempool {name}: cache of {cache}, possible are 0 to {max} with {mbufs} mbufs")]
    Cache { name: String, cache: u32, max: u32, mbufs: u32 },
    #[error(
        "mempool {name}: data room of {data_room} bytes leaves no data after {HEADROOM} of headroom"
    )]
    DataRoom { name: String, data_room: u16 },
    #[error(
        "mempool {name}: {mbufs} mbufs of {data_room} bytes (some {mib} MiB) could not be made: \
         {errno}. The environment's memory may be too small for them"
    )]
    Create { name: String, mbufs: u32, data_room: u16, mib: u64, errno: Errno },
}

/// 2^24: some 40 GB of buffers.
const MBUFS_MAX: u32 = 1 << 24;

/// A pool of mbufs. Clones are handles to the same pool.
///
/// Any thread may allocate and free. An lcore does so through its cache; any other thread (the host
/// stack's) goes to the shared ring at each call and should work in bursts.
///
/// # Safety argument
/// Mbufs hold a bare pointer to their pool. The last handle therefore gives the pool to the
/// environment's keeper, which frees it only when that is provably safe; see `eal::keeper`.
#[derive(Clone)]
pub struct Mempool {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    raw: RawPool,
    mbufs: u32,
    data_room: u16,
    keeper: Arc<Keeper>,
}

/// A live pool.
#[derive(Copy, Clone)]
pub(crate) struct RawPool(NonNull<c::rte_mempool>);

// SAFETY: DPDK's pools are made for concurrent use by any thread.
unsafe impl Send for RawPool {}
// SAFETY: as above.
unsafe impl Sync for RawPool {}

impl RawPool {
    pub(crate) fn as_ptr(self) -> *mut c::rte_mempool {
        self.0.as_ptr()
    }

    /// Mbufs that are in the pool or in an lcore's cache.
    pub(crate) fn available(self) -> u32 {
        // SAFETY: the pool is live: its keeper frees it after the last use.
        unsafe { c::rte_mempool_avail_count(self.as_ptr()) }
    }
}

impl Mempool {
    pub fn create(eal: &Eal, settings: &MempoolSettings) -> Result<Self, MempoolError> {
        let MempoolSettings { name, mbufs, cache, data_room, numa } = settings;
        let (mbufs, cache, data_room) = (*mbufs, *cache, *data_room);
        let c_name = NAME.c_string(name)?;
        if mbufs == 0 || mbufs > MBUFS_MAX {
            return Err(MempoolError::Mbufs { name: name.clone(), mbufs });
        }
        // rte_mempool.c: the flush threshold is 1.5 times the cache and must fit the pool.
        let cache_max = (mbufs / 3 * 2).min(c::DPDK_MEMPOOL_CACHE_MAX);
        if cache > cache_max {
            return Err(MempoolError::Cache { name: name.clone(), cache, max: cache_max, mbufs });
        }
        if data_room <= HEADROOM {
            return Err(MempoolError::DataRoom { name: name.clone(), data_room });
        }
        let socket = numa.map_or(c::DPDK_SOCKET_ID_ANY, i32::from);
        // SAFETY: the environment runs (`eal`), both strings are NUL-terminated and outlive the call.
        let raw = unsafe {
            c::rte_pktmbuf_pool_create_by_ops(
                c_name.as_ptr(),
                mbufs,
                cache,
                0,
                data_room,
                socket,
                OPS.as_ptr(),
            )
        };
        let raw = NonNull::new(raw).ok_or_else(|| MempoolError::Create {
            name: name.clone(),
            mbufs,
            data_room,
            mib: (u64::from(mbufs) * (u64::from(data_room) + 256)) >> 20,
            errno: Errno::last(),
        })?;
        let keeper = Arc::clone(eal.keeper());
        let raw = RawPool(raw);
        Ok(Self { shared: Arc::new(Shared { name: name.clone(), raw, mbufs, data_room, keeper }) })
    }

    /// One fresh mbuf: empty, with [`HEADROOM`] before the data. `None` when the pool is exhausted.
    #[inline]
    pub fn alloc(&self) -> Option<Mbuf> {
        // SAFETY: the pool is live while this handle is.
        let raw = unsafe { c::rte_pktmbuf_alloc(self.shared.raw.as_ptr()) };
        // SAFETY: a fresh mbuf belongs to nobody else.
        NonNull::new(raw).map(|raw| unsafe { Mbuf::from_raw(raw) })
    }

    /// Appends up to `count` fresh mbufs to the burst, as many as pool and burst have; returns how many.
    #[inline]
    pub fn alloc_burst(&self, burst: &mut Burst, count: usize) -> usize {
        let (slots, room) = burst.spare();
        let count = count.min(usize::from(room));
        if count == 0 {
            return 0;
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most 64")]
        let wanted = count as u32;
        // SAFETY: the pool is live, and `slots` has room for `wanted` pointers.
        let ret = unsafe { c::rte_pktmbuf_alloc_bulk(self.shared.raw.as_ptr(), slots, wanted) };
        if ret == 0 {
            // SAFETY: all of them were written, and they belong to nobody else.
            unsafe { burst.grow(count) };
            return count;
        }
        // All or nothing failed: take the last ones singly.
        let mut got = 0;
        while got < count {
            let Some(mbuf) = self.alloc() else { break };
            if burst.push(mbuf).is_err() {
                break;
            }
            got += 1;
        }
        got
    }

    /// Mbufs not in use. Exact only while nobody allocates or frees; walks every lcore's cache.
    pub fn available(&self) -> u32 {
        self.shared.raw.available()
    }

    /// Mbufs held by users, queues and drivers.
    pub fn in_use(&self) -> u32 {
        self.shared.mbufs.saturating_sub(self.available())
    }

    /// All mbufs.
    pub fn capacity(&self) -> u32 {
        self.shared.mbufs
    }

    /// Bytes of each buffer, [`HEADROOM`] included.
    pub fn data_room(&self) -> u16 {
        self.shared.data_room
    }

    pub fn name(&self) -> &str {
        &self.shared.name
    }

    pub(crate) fn raw(&self) -> RawPool {
        self.shared.raw
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.keeper.retire(self.raw, self.mbufs);
    }
}

impl fmt::Debug for Mempool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mempool")
            .field("name", &self.shared.name)
            .field("mbufs", &self.shared.mbufs)
            .field("available", &self.available())
            .field("data_room", &self.shared.data_room)
            .finish_non_exhaustive()
    }
}

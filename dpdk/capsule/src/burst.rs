//! Up to 64 mbufs that travel together, in an inline array.

use std::fmt;
use std::mem::{self, MaybeUninit};

use dpdk_sys as c;

use crate::mbuf::Mbuf;

/// Most mbufs in a burst.
pub(crate) const BURST_MAX: usize = 64;

/// An ordered set of owned mbufs, without heap memory. Dropping it frees them all at once.
///
/// # Safety argument
/// `slots[..len]` are live, owned mbufs; `slots[len..]` are never read. Every method that moves an
/// mbuf out lowers `len` (or fills the slot) before anything can unwind. `Mbuf` is a transparent
/// `NonNull<rte_mbuf>`, so the array is also DPDK's `struct rte_mbuf *pkts[]`.
pub struct Burst {
    slots: [MaybeUninit<Mbuf>; BURST_MAX],
    len: usize,
}

const _: () = assert!(mem::size_of::<MaybeUninit<Mbuf>>() == mem::size_of::<*mut c::rte_mbuf>());

impl Burst {
    /// Most mbufs in a burst.
    pub const CAPACITY: usize = BURST_MAX;

    #[inline]
    pub const fn new() -> Self {
        Self { slots: [const { MaybeUninit::uninit() }; BURST_MAX], len: 0 }
    }

    #[inline]
    pub const fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub const fn is_full(&self) -> bool {
        self.len == BURST_MAX
    }

    /// Mbufs that can still be pushed.
    #[inline]
    pub const fn room(&self) -> usize {
        BURST_MAX - self.len
    }

    #[inline]
    pub fn as_slice(&self) -> &[Mbuf] {
        // SAFETY: the first `len` slots are initialised, and `len <= BURST_MAX`.
        unsafe { std::slice::from_raw_parts(self.slots.as_ptr().cast(), self.len) }
    }

    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [Mbuf] {
        // SAFETY: the first `len` slots are initialised, and `len <= BURST_MAX`.
        unsafe { std::slice::from_raw_parts_mut(self.slots.as_mut_ptr().cast(), self.len) }
    }

    #[inline]
    pub fn get(&self, index: usize) -> Option<&Mbuf> {
        self.as_slice().get(index)
    }

    #[inline]
    pub fn get_mut(&mut self, index: usize) -> Option<&mut Mbuf> {
        self.as_mut_slice().get_mut(index)
    }

    #[inline]
    pub fn iter(&self) -> std::slice::Iter<'_, Mbuf> {
        self.as_slice().iter()
    }

    #[inline]
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Mbuf> {
        self.as_mut_slice().iter_mut()
    }

    /// Appends; a full burst hands the mbuf back.
    #[inline]
    pub fn push(&mut self, mbuf: Mbuf) -> Result<(), Mbuf> {
        match self.slots.get_mut(self.len) {
            Some(slot) => {
                slot.write(mbuf);
                self.len += 1;
                Ok(())
            }
            None => Err(mbuf),
        }
    }

    /// Removes the last.
    #[inline]
    pub fn pop(&mut self) -> Option<Mbuf> {
        let last = self.len.checked_sub(1)?;
        let slot = self.slots.get(last)?;
        self.len = last;
        // SAFETY: the slot was below `len`, so it is initialised, and it no longer counts.
        Some(unsafe { slot.assume_init_read() })
    }

    /// Removes mbuf `index`; those behind it move up, so the order stays.
    #[inline]
    pub fn take(&mut self, index: usize) -> Option<Mbuf> {
        if index >= self.len {
            return None;
        }
        // The wanted one travels to the end, past the others.
        self.as_mut_slice().get_mut(index..)?.rotate_left(1);
        self.pop()
    }

    /// Removes mbuf `index` and puts the last one in its place: constant time, order not kept.
    #[inline]
    pub fn swap_take(&mut self, index: usize) -> Option<Mbuf> {
        let last = self.len.checked_sub(1)?;
        if index > last {
            return None;
        }
        self.as_mut_slice().swap(index, last);
        self.pop()
    }

    /// Moves every mbuf out, first to last. What is not consumed is freed.
    #[inline]
    pub fn drain(&mut self) -> Drain<'_> {
        let len = mem::take(&mut self.len);
        Drain { burst: self, next: 0, len }
    }

    /// Frees all.
    #[inline]
    pub fn clear(&mut self) {
        let len = mem::take(&mut self.len);
        self.free(0, len);
    }

    /// Frees `slots[from..from + count]`, which the caller has taken out of `len`'s reach.
    #[inline]
    fn free(&mut self, from: usize, count: usize) {
        let Some(slots) = self.slots.get_mut(from..from + count) else { return };
        if slots.is_empty() {
            return;
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most BURST_MAX, 64")]
        let count = slots.len() as u32;
        // SAFETY: these slots are initialised, owned and not used again.
        unsafe { c::rte_pktmbuf_free_bulk(slots.as_mut_ptr().cast(), count) }
    }

    /// Where DPDK may write further mbufs, and how many.
    #[inline]
    pub(crate) fn spare(&mut self) -> (*mut *mut c::rte_mbuf, u16) {
        let spare = self.slots.get_mut(self.len..).unwrap_or_default();
        #[expect(clippy::cast_possible_truncation, reason = "at most BURST_MAX, 64")]
        let room = spare.len() as u16;
        (spare.as_mut_ptr().cast(), room)
    }

    /// Takes over what was written into [`Burst::spare`].
    ///
    /// # Safety
    /// The first `count` spare slots were filled with live mbufs that now belong to this burst.
    #[inline]
    pub(crate) unsafe fn grow(&mut self, count: usize) {
        debug_assert!(count <= self.room());
        self.len = (self.len + count).min(BURST_MAX);
    }

    /// The owned mbufs as DPDK's array, and how many.
    #[inline]
    pub(crate) fn filled(&mut self) -> (*mut *mut c::rte_mbuf, u16) {
        #[expect(clippy::cast_possible_truncation, reason = "at most BURST_MAX, 64")]
        let len = self.len as u16;
        (self.slots.as_mut_ptr().cast(), len)
    }

    /// Forgets the first `count` mbufs, which now belong to somebody else; the rest moves up.
    ///
    /// # Safety
    /// Ownership of the first `count` mbufs has gone to DPDK, and `count <= len`.
    #[inline]
    pub(crate) unsafe fn forget_front(&mut self, count: usize) {
        debug_assert!(count <= self.len);
        let rest = self.len.saturating_sub(count);
        // Swapping instead of copying needs no unsafe; the slots behind `rest` are not read again.
        for index in 0..rest {
            self.slots.swap(index, count + index);
        }
        self.len = rest;
    }
}

impl Default for Burst {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Burst {
    #[inline]
    fn drop(&mut self) {
        self.clear();
    }
}

impl fmt::Debug for Burst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for &'a Burst {
    type Item = &'a Mbuf;
    type IntoIter = std::slice::Iter<'a, Mbuf>;

    #[inline]
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a> IntoIterator for &'a mut Burst {
    type Item = &'a mut Mbuf;
    type IntoIter = std::slice::IterMut<'a, Mbuf>;

    #[inline]
    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

/// The mbufs of a [`Burst`], by value.
///
/// The burst's length is 0 while this lives, so leaking a `Drain` leaks mbufs but frees none twice.
#[derive(Debug)]
pub struct Drain<'a> {
    burst: &'a mut Burst,
    next: usize,
    len: usize,
}

impl Iterator for Drain<'_> {
    type Item = Mbuf;

    #[inline]
    fn next(&mut self) -> Option<Mbuf> {
        if self.next >= self.len {
            return None;
        }
        let slot = self.burst.slots.get(self.next)?;
        self.next += 1;
        // SAFETY: the slot was below the burst's length, and each slot is read once.
        Some(unsafe { slot.assume_init_read() })
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.len - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Drain<'_> {}

impl Drop for Drain<'_> {
    #[inline]
    fn drop(&mut self) {
        self.burst.free(self.next, self.len - self.next);
    }
}

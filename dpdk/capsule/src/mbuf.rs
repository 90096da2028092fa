//! One packet buffer with one owner.

use std::fmt;
use std::ptr::NonNull;

use dpdk_sys as c;

/// A packet buffer: headroom, data, tailroom, and a few words about the packet.
///
/// # Ownership
/// An `Mbuf` is the only reference to its buffer: it comes from a pool, an rx queue or a [`crate::Ring`]
/// (each gives an mbuf away exactly once), is not `Clone`, and its reference count stays 1 because
/// nothing here raises it. Dropping it returns it to its pool; sending moves it into the driver.
/// The pool's memory outlives it (see `eal::keeper`).
///
/// # Segments
/// A driver may hand out a chain where a frame is longer than the pool's buffers. [`Mbuf::data`]
/// is the first segment only, lengths cannot be changed then, and [`Mbuf::is_contiguous`] says so.
/// Scattered rx is never switched on, so chains come from file and shared-memory drivers only.
///
/// # Safety argument
/// The head (`rte_mbuf`, 128 bytes) and the buffer are disjoint memory, both reached by this owner
/// only, so `&self` reads and `&mut self` writes cannot race. `data_off + data_len <= buf_len`
/// holds when DPDK hands the mbuf over and each method that changes one of them keeps it.
#[repr(transparent)]
pub struct Mbuf {
    raw: NonNull<c::rte_mbuf>,
}

// SAFETY: the buffer has one owner and no tie to a thread; freeing from any thread is supported by
// the pool (lcores through their cache, other threads through the multi-producer ring).
unsafe impl Send for Mbuf {}
// SAFETY: `&Mbuf` only reads fields that change through `&mut Mbuf`.
unsafe impl Sync for Mbuf {}

impl Mbuf {
    /// Takes ownership.
    ///
    /// # Safety
    /// `raw` is a live mbuf with a reference count of 1 that nobody else uses from here on, of a
    /// pool that this crate has created.
    #[inline]
    pub(crate) unsafe fn from_raw(raw: NonNull<c::rte_mbuf>) -> Self {
        Self { raw }
    }

    #[inline]
    pub(crate) fn head(&self) -> &c::rte_mbuf {
        // SAFETY: points to a live mbuf head that only this owner can change.
        unsafe { self.raw.as_ref() }
    }

    #[inline]
    pub(crate) fn head_mut(&mut self) -> &mut c::rte_mbuf {
        // SAFETY: points to a live mbuf head, and `&mut self` is the only path to it.
        unsafe { self.raw.as_mut() }
    }

    #[inline]
    fn data_start(&self) -> *mut u8 {
        let head = self.head();
        // SAFETY: data_off <= buf_len, so the result lies in the buffer or one past its end.
        unsafe { head.buf_addr.cast::<u8>().add(usize::from(head.data_off)) }
    }

    /// The bytes of the first segment: the whole packet when [`Mbuf::is_contiguous`].
    #[inline]
    pub fn data(&self) -> &[u8] {
        // SAFETY: data_len bytes from the data's start lie in the buffer, are initialised (pool
        // memory is mapped zeroed), and only this owner can change them.
        unsafe { std::slice::from_raw_parts(self.data_start(), self.len()) }
    }

    /// The bytes of the first segment, to be changed in place.
    #[inline]
    pub fn data_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `data`, and `&mut self` is the only path to the bytes.
        unsafe { std::slice::from_raw_parts_mut(self.data_start(), self.len()) }
    }

    /// Asks the processor to fetch the head of the packet, to be read some packets later. A hint: it
    /// changes nothing.
    #[inline]
    pub fn prefetch(&self) {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let start = self.data_start().cast::<i8>();
        // SAFETY: a hint about an address, which need not even be valid.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(start) }
    }

    /// Bytes in the first segment.
    #[inline]
    pub fn len(&self) -> usize {
        usize::from(self.head().data_len)
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all segments together.
    #[inline]
    pub fn packet_len(&self) -> usize {
        self.head().pkt_len as usize
    }

    /// Whether [`Mbuf::data`] is the whole packet.
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        self.head().nb_segs == 1
    }

    /// Bytes that [`Mbuf::push_front`] can still add.
    #[inline]
    pub fn headroom(&self) -> usize {
        usize::from(self.head().data_off)
    }

    /// Bytes that [`Mbuf::resize`] can still add.
    #[inline]
    pub fn tailroom(&self) -> usize {
        usize::from(self.head().buf_len).saturating_sub(self.headroom() + self.len())
    }

    /// Sets offset and length; `false` and no change when they do not fit or a chain is in the way.
    #[inline]
    fn place(&mut self, data_off: usize, len: usize) -> bool {
        let head = self.head_mut();
        if head.nb_segs != 1 || data_off.saturating_add(len) > usize::from(head.buf_len) {
            return false;
        }
        // Both are at most buf_len, a u16, from here on.
        let (Ok(data_off), Ok(data_len)) = (u16::try_from(data_off), u16::try_from(len)) else {
            return false;
        };
        head.data_off = data_off;
        head.data_len = data_len;
        head.pkt_len = u32::from(data_len);
        // A checksum request holds offsets that were checked against the old bounds.
        head.ol_flags &= !c::DPDK_TX_OFFLOAD_MASK;
        true
    }

    /// Cuts the packet at its tail, or grows it there by zero bytes into the tailroom.
    ///
    /// Grown bytes are cleared: they hold parts of other people's packets otherwise. Returns
    /// `false`, changing nothing, when the room does not suffice or the packet is a chain.
    #[inline]
    pub fn resize(&mut self, len: usize) -> bool {
        let (before, data_off) = (self.len(), self.headroom());
        if !self.place(data_off, len) {
            return false;
        }
        if let Some(grown) = self.data_mut().get_mut(before..) {
            grown.fill(0);
        }
        true
    }

    /// Adds `n` zero bytes before the data, out of the headroom (for a VLAN tag or an outer header).
    #[inline]
    pub fn push_front(&mut self, n: usize) -> bool {
        let len = self.len();
        let Some(data_off) = self.headroom().checked_sub(n) else { return false };
        if !self.place(data_off, len + n) {
            return false;
        }
        if let Some(added) = self.data_mut().get_mut(..n) {
            added.fill(0);
        }
        true
    }

    /// Removes `n` bytes from the front of the data.
    #[inline]
    pub fn pull_front(&mut self, n: usize) -> bool {
        let data_off = self.headroom() + n;
        let Some(len) = self.len().checked_sub(n) else { return false };
        self.place(data_off, len)
    }

    /// Makes the packet these bytes. `false`, changing nothing, when they do not fit.
    #[inline]
    pub fn copy_from(&mut self, bytes: &[u8]) -> bool {
        let data_off = self.headroom();
        if !self.place(data_off, bytes.len()) {
            return false;
        }
        self.data_mut().copy_from_slice(bytes);
        true
    }

    /// The port that the packet came in by; `u16::MAX` on a fresh mbuf.
    #[inline]
    pub fn port(&self) -> u16 {
        self.head().port
    }

    #[inline]
    pub fn set_port(&mut self, port: u16) {
        self.head_mut().port = port;
    }

    /// Eight bytes of the user's own, carried through rings.
    ///
    /// They share their place with the hash that a NIC writes at rx: read [`Mbuf::rss_hash`] first.
    /// Unspecified until [`Mbuf::set_tag`].
    #[inline]
    pub fn tag(&self) -> u64 {
        let [low, high] = self.head().hash;
        u64::from(low) | u64::from(high) << 32
    }

    #[inline]
    pub fn set_tag(&mut self, tag: u64) {
        #[expect(clippy::cast_possible_truncation, reason = "the two halves, on purpose")]
        let halves = [tag as u32, (tag >> 32) as u32];
        let head = self.head_mut();
        head.hash = halves;
        head.ol_flags &= !c::DPDK_RX_RSS_HASH;
    }

    /// The RSS hash of the NIC, where it gave one and no tag was set since.
    #[inline]
    pub fn rss_hash(&self) -> Option<u32> {
        let head = self.head();
        let [hash, _] = head.hash;
        (head.ol_flags & c::DPDK_RX_RSS_HASH != 0).then_some(hash)
    }
}

impl Drop for Mbuf {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: this owner holds the only reference and does not use it again.
        unsafe { c::rte_pktmbuf_free(self.raw.as_ptr()) }
    }
}

impl fmt::Debug for Mbuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mbuf")
            .field("len", &self.len())
            .field("packet_len", &self.packet_len())
            .field("port", &self.port())
            .field("headroom", &self.headroom())
            .field("tailroom", &self.tailroom())
            .finish_non_exhaustive()
    }
}

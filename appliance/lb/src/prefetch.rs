//! The one place of this crate that holds `unsafe`: a prefetch hint.
#![allow(unsafe_code, reason = "prefetching has no safe form in Rust 1.95")]

/// Asks the processor to load the line of `value`. A hint: it changes nothing that can be observed.
#[inline(always)]
#[allow(clippy::inline_always, reason = "a call would cost more than the hint saves")]
pub(crate) fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch never faults and writes nothing, whatever the address; this one comes
        // from a reference and is valid anyway.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

//! The library that is loaded is the one whose headers were bound.

use std::ffi::CStr;

#[test]
#[allow(unsafe_code, reason = "calls C")]
fn the_loaded_library_is_of_the_release_that_was_bound() {
    // SAFETY: returns a static NUL-terminated string.
    let version = unsafe { dpdk_sys::rte_version() };
    // SAFETY: as above.
    let version = unsafe { CStr::from_ptr(version) };
    assert!(version.to_str().unwrap().starts_with("DPDK 22.11"), "{version:?}");
}

#[test]
#[allow(unsafe_code, reason = "calls C")]
fn a_thread_that_is_not_eal_s_has_no_lcore_and_no_error() {
    // SAFETY: reads a thread-local integer.
    let lcore = unsafe { dpdk_sys::rte_lcore_id() };
    assert_eq!(lcore, dpdk_sys::DPDK_LCORE_ID_ANY);
    // SAFETY: reads a thread-local integer.
    assert_eq!(unsafe { dpdk_sys::dpdk_errno() }, 0);
}

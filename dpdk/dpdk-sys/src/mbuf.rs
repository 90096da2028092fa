//! The mirror of `struct rte_mbuf`, DPDK 22.11 (`rte_mbuf_core.h`), built with `RTE_IOVA_AS_PA`.
//!
//! Written by hand because the C struct mixes bit-fields, packed unions and aligned members that
//! bindgen cannot express. The C compiler computes the true offsets in `wrapper.h`; the assertions
//! below compare each of them, so a DPDK with another layout does not build.

use std::ffi::c_void;
use std::mem::{align_of, offset_of, size_of};

use crate::bindings as c;

/// The head of a packet buffer: two cache lines, followed in memory by the private area, the
/// headroom and the data.
#[allow(non_camel_case_types, reason = "C's name")]
#[repr(C, align(64))]
#[derive(Debug)]
pub struct rte_mbuf {
    /// Start of the segment's buffer, `buf_len` bytes long.
    pub buf_addr: *mut c_void,
    pub buf_iova: u64,
    /// Bytes from `buf_addr` to the data.
    pub data_off: u16,
    /// Changed by other threads atomically when an mbuf is shared; we never share one.
    pub refcnt: u16,
    /// Segments in the chain; meaningful in the first only.
    pub nb_segs: u16,
    pub port: u16,
    /// `RTE_MBUF_F_*`.
    pub ol_flags: u64,
    pub packet_type: u32,
    /// Bytes of all segments together.
    pub pkt_len: u32,
    /// Bytes in this segment.
    pub data_len: u16,
    pub vlan_tci: u16,
    /// The union `hash`: RSS hash in word 0, flow director in both, or ours to use. Eight bytes at
    /// an address that is a multiple of four.
    pub hash: [u32; 2],
    pub vlan_tci_outer: u16,
    pub buf_len: u16,
    pub pool: *mut c::rte_mempool,
    /// Next segment, or null. Starts the second cache line.
    pub next: *mut rte_mbuf,
    /// The bit-fields `l2_len`, `l3_len`, ... as one word.
    pub tx_offload: u64,
    pub shinfo: *mut c_void,
    pub priv_size: u16,
    pub timesync: u16,
    pub dynfield1: [u32; 9],
}

macro_rules! assert_offsets {
    ($($field:ident == $c:ident),* $(,)?) => {
        $(const _: () = assert!(offset_of!(rte_mbuf, $field) == c::$c as usize);)*
    };
}

const _: () = assert!(size_of::<rte_mbuf>() == 128);
const _: () = assert!(size_of::<rte_mbuf>() == c::DPDK_MBUF_SIZE as usize);
const _: () = assert!(align_of::<rte_mbuf>() == c::DPDK_MBUF_ALIGN as usize);
const _: () = assert!(size_of::<[u32; 2]>() == c::DPDK_MBUF_HASH_SIZE as usize);
assert_offsets! {
    buf_addr == DPDK_MBUF_BUF_ADDR,
    buf_iova == DPDK_MBUF_BUF_IOVA,
    data_off == DPDK_MBUF_DATA_OFF,
    refcnt == DPDK_MBUF_REFCNT,
    nb_segs == DPDK_MBUF_NB_SEGS,
    port == DPDK_MBUF_PORT,
    ol_flags == DPDK_MBUF_OL_FLAGS,
    packet_type == DPDK_MBUF_PACKET_TYPE,
    pkt_len == DPDK_MBUF_PKT_LEN,
    data_len == DPDK_MBUF_DATA_LEN,
    vlan_tci == DPDK_MBUF_VLAN_TCI,
    hash == DPDK_MBUF_HASH,
    vlan_tci_outer == DPDK_MBUF_VLAN_TCI_OUTER,
    buf_len == DPDK_MBUF_BUF_LEN,
    pool == DPDK_MBUF_POOL,
    next == DPDK_MBUF_NEXT,
    tx_offload == DPDK_MBUF_TX_OFFLOAD,
    shinfo == DPDK_MBUF_SHINFO,
    priv_size == DPDK_MBUF_PRIV_SIZE,
    timesync == DPDK_MBUF_TIMESYNC,
    dynfield1 == DPDK_MBUF_DYNFIELD1,
}

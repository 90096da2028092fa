//! The device behind a port's handles: every control call on it, one at a time.

use std::ffi::{CStr, CString};
use std::fmt;
use std::mem::zeroed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dpdk_sys as c;

use super::{Link, MacAddress, PortError, PortFeatures, PortInfo, PortStats};
use crate::burst::Burst;
use crate::eal::Keeper;
use crate::errno::Errno;
use crate::mempool::Mempool;

pub(super) const RX_CHECKSUMS_L4: u64 = c::DPDK_RX_OFFLOAD_UDP_CKSUM | c::DPDK_RX_OFFLOAD_TCP_CKSUM;
pub(super) const RX_CHECKSUMS: u64 = c::DPDK_RX_OFFLOAD_IPV4_CKSUM | RX_CHECKSUMS_L4;
pub(super) const TX_CHECKSUMS_L4: u64 = c::DPDK_TX_OFFLOAD_UDP_CKSUM | c::DPDK_TX_OFFLOAD_TCP_CKSUM;
pub(super) const TX_CHECKSUMS: u64 = c::DPDK_TX_OFFLOAD_IPV4_CKSUM | TX_CHECKSUMS_L4;
pub(super) const RSS_FLOWS: u64 = c::DPDK_RSS_IP | c::DPDK_RSS_TCP | c::DPDK_RSS_UDP;
/// How far the device has come, hence what its end must undo.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Open,
    /// Queues may exist in the driver.
    SetUp,
    Running,
}

pub(super) struct PortCore {
    pub(super) name: String,
    pub(super) id: u16,
    /// The kernel interface whose carrier is the link.
    interface: Option<CString>,
    pub(super) info: PortInfo,
    pub(super) features: PortFeatures,
    pub(super) stage: Stage,
    /// One control call at a time.
    control: Mutex<()>,
    /// Received packets come from it: it must live until the device is closed.
    pub(super) pool: Option<Mempool>,
    /// Declared after the pool: dropped last.
    keeper: Arc<Keeper>,
}

impl PortCore {
    pub(super) fn open(keeper: &Arc<Keeper>, name: &str) -> Result<Self, PortError> {
        let unknown = || PortError::Unknown { name: name.to_owned() };
        let names = keeper.port_name(name).ok_or_else(unknown)?;
        let c_name = CString::new(names.dpdk_name.as_str()).map_err(|_| unknown())?;
        let interface = names.interface.as_ref().and_then(|i| CString::new(i.as_str()).ok());
        let mut id = 0;
        // SAFETY: a NUL-terminated string and a place for the answer.
        let ret = unsafe { c::rte_eth_dev_get_port_by_name(c_name.as_ptr(), &raw mut id) };
        let gone = |ret| PortError::Gone { name: name.to_owned(), errno: Errno::from_return(ret) };
        if ret != 0 {
            return Err(gone(ret));
        }
        if !keeper.claim_port(id) {
            return Err(PortError::Open { name: name.to_owned() });
        }
        // From here on the drop of the core gives the claim back.
        let mut core = Self {
            name: name.to_owned(),
            id,
            interface,
            info: PortInfo::default(),
            features: PortFeatures::default(),
            stage: Stage::Open,
            control: Mutex::default(),
            pool: None,
            keeper: Arc::clone(keeper),
        };
        core.info = port_info(id, &core.device_info()?);
        Ok(core)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn id(&self) -> u16 {
        self.id
    }

    pub(super) fn info(&self) -> &PortInfo {
        &self.info
    }

    pub(super) fn features(&self) -> &PortFeatures {
        &self.features
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        // Nothing panics while the lock is held.
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn check(&self, ret: i32, attempt: impl fmt::Display) -> Result<(), PortError> {
        if ret >= 0 {
            return Ok(());
        }
        let errno = Errno::from_return(ret);
        Err(PortError::Driver { name: self.name.clone(), attempt: attempt.to_string(), errno })
    }

    pub(super) fn device_info(&self) -> Result<c::rte_eth_dev_info, PortError> {
        // SAFETY: a struct of numbers and pointers that is all output; zero is valid for each.
        let mut info: c::rte_eth_dev_info = unsafe { zeroed() };
        // SAFETY: the port exists, `info` is a place for the answer.
        let ret = unsafe { c::rte_eth_dev_info_get(self.id, &raw mut info) };
        self.check(ret, "asking the driver what the device can do")?;
        Ok(info)
    }

    pub(super) fn mac(&self) -> MacAddress {
        let _one_at_a_time = self.lock();
        let mut address = c::rte_ether_addr::default();
        // SAFETY: the port exists, `address` is a place for the answer. Cannot fail otherwise.
        unsafe { c::rte_eth_macaddr_get(self.id, &raw mut address) };
        MacAddress(address.addr_bytes)
    }

    pub(super) fn link(&self) -> Link {
        let _one_at_a_time = self.lock();
        let mut link = c::rte_eth_link::default();
        // SAFETY: the port exists, `link` is a place for the answer; stays "down" on failure.
        unsafe { c::rte_eth_link_get_nowait(self.id, &raw mut link) };
        let mut link = Link::from(link);
        if let Some(interface) = &self.interface {
            // SAFETY: a NUL-terminated string that is only read.
            link.up &= unsafe { c::dpdk_interface_is_running(interface.as_ptr()) } == 1;
        }
        link
    }

    pub(super) fn stats(&self) -> PortStats {
        let _one_at_a_time = self.lock();
        let mut stats = c::rte_eth_stats::default();
        // SAFETY: the port exists, `stats` is a place for the answer; stays 0 on failure.
        unsafe { c::rte_eth_stats_get(self.id, &raw mut stats) };
        PortStats::from(&stats)
    }

    pub(super) fn promiscuous(&self) -> bool {
        let _one_at_a_time = self.lock();
        // SAFETY: the port exists.
        unsafe { c::rte_eth_promiscuous_get(self.id) == 1 }
    }

    pub(super) fn set_promiscuous(&self, on: bool) -> Result<(), PortError> {
        let _one_at_a_time = self.lock();
        let ret = if on {
            // SAFETY: the port exists and control calls are serialised.
            unsafe { c::rte_eth_promiscuous_enable(self.id) }
        } else {
            // SAFETY: the port exists and control calls are serialised.
            unsafe { c::rte_eth_promiscuous_disable(self.id) }
        };
        self.check(ret, format_args!("switching promiscuity {}", if on { "on" } else { "off" }))
    }

    /// `net_ring` frees its rings at close, but not the mbufs in them.
    fn drain_loop(&self) {
        if self.info.driver != "net_ring" {
            return;
        }
        let mut burst = Burst::new();
        for queue in 0..self.features.rx_queues {
            loop {
                let (slots, room) = burst.spare();
                // SAFETY: the port runs, and its queue handles are gone: this is the only user.
                let got = unsafe { c::rte_eth_rx_burst(self.id, queue, slots, room) };
                // SAFETY: the first `got` were written, and the driver has let go of them.
                unsafe { burst.grow(usize::from(got)) };
                if got == 0 {
                    break;
                }
                burst.clear();
            }
        }
    }
}

fn port_info(id: u16, device: &c::rte_eth_dev_info) -> PortInfo {
    let driver = if device.driver_name.is_null() {
        String::new()
    } else {
        // SAFETY: the driver's name is a static NUL-terminated string.
        unsafe { CStr::from_ptr(device.driver_name) }.to_string_lossy().into_owned()
    };
    // SAFETY: reads a number of the port, -1 for none.
    let node = unsafe { c::rte_eth_dev_socket_id(id) };
    PortInfo {
        driver,
        rx_queues_max: device.max_rx_queues,
        tx_queues_max: device.max_tx_queues,
        rx_descriptors_min: device.rx_desc_lim.nb_min,
        rx_descriptors_max: device.rx_desc_lim.nb_max,
        tx_descriptors_min: device.tx_desc_lim.nb_min,
        tx_descriptors_max: device.tx_desc_lim.nb_max,
        mtu_min: device.min_mtu,
        mtu_max: mtu_max(device),
        rss: device.flow_type_rss_offloads & RSS_FLOWS != 0,
        rss_key_bytes: device.hash_key_size,
        rx_ip_checksum: device.rx_offload_capa & c::DPDK_RX_OFFLOAD_IPV4_CKSUM != 0,
        rx_l4_checksum: device.rx_offload_capa & RX_CHECKSUMS_L4 == RX_CHECKSUMS_L4,
        tx_ip_checksum: device.tx_offload_capa & c::DPDK_TX_OFFLOAD_IPV4_CKSUM != 0,
        tx_l4_checksum: device.tx_offload_capa & TX_CHECKSUMS_L4 == TX_CHECKSUMS_L4,
        numa: u16::try_from(node).ok(),
    }
}

/// The longest packet: what the driver says, and what fits its longest frame by the reckoning of
/// `eth_dev_get_overhead_len` in rte_ethdev.c, by which a configuration is refused.
fn mtu_max(device: &c::rte_eth_dev_info) -> u16 {
    if device.max_mtu != u16::MAX && device.max_rx_pktlen > u32::from(device.max_mtu) {
        return device.max_mtu;
    }
    let fits = device.max_rx_pktlen.saturating_sub(c::DPDK_ETHER_OVERHEAD);
    u16::try_from(fits).map_or(device.max_mtu, |fits| fits.min(device.max_mtu))
}

impl Drop for PortCore {
    fn drop(&mut self) {
        if self.stage == Stage::Running {
            self.drain_loop();
            // SAFETY: the port runs and no queue handle is left.
            unsafe { c::rte_eth_dev_stop(self.id) };
        }
        if self.stage != Stage::Open {
            // SAFETY: the port is stopped. Frees the driver's queues and the mbufs in them.
            unsafe { c::rte_eth_dev_close(self.id) };
        }
        self.keeper.unclaim_port(self.id);
    }
}

impl fmt::Debug for PortCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortCore")
            .field("name", &self.name)
            .field("id", &self.id)
            .field("driver", &self.info.driver)
            .field("stage", &self.stage)
            .field("features", &self.features)
            .finish_non_exhaustive()
    }
}

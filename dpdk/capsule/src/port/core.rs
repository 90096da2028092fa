//! The device behind a port's handles: every control call on it, one at a time.

use std::ffi::{CStr, CString};
use std::fmt;
use std::mem::zeroed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dpdk_sys as c;

use super::{Link, MacAddress, PortError, PortFeatures, PortInfo, PortSettings, PortStats};
use crate::burst::Burst;
use crate::eal::Keeper;
use crate::errno::Errno;
use crate::mempool::{HEADROOM, Mempool};

const RX_CHECKSUMS_L4: u64 = c::DPDK_RX_OFFLOAD_UDP_CKSUM | c::DPDK_RX_OFFLOAD_TCP_CKSUM;
const RX_CHECKSUMS: u64 = c::DPDK_RX_OFFLOAD_IPV4_CKSUM | RX_CHECKSUMS_L4;
const TX_CHECKSUMS_L4: u64 = c::DPDK_TX_OFFLOAD_UDP_CKSUM | c::DPDK_TX_OFFLOAD_TCP_CKSUM;
const TX_CHECKSUMS: u64 = c::DPDK_TX_OFFLOAD_IPV4_CKSUM | TX_CHECKSUMS_L4;
const RSS_FLOWS: u64 = c::DPDK_RSS_IP | c::DPDK_RSS_TCP | c::DPDK_RSS_UDP;
/// Of any NIC that is known; the field of the driver is 8 bits wide.
const RSS_KEY_BYTES_MAX: usize = u8::MAX as usize;

/// How far the device has come, hence what its end must undo.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// Queues may exist in the driver.
    SetUp,
    Running,
}

pub(super) struct PortCore {
    name: String,
    id: u16,
    /// The kernel interface whose carrier is the link.
    interface: Option<CString>,
    info: PortInfo,
    features: PortFeatures,
    stage: Stage,
    /// One control call at a time.
    control: Mutex<()>,
    /// Received packets come from it: it must live until the device is closed.
    pool: Option<Mempool>,
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

    fn check(&self, ret: i32, attempt: impl fmt::Display) -> Result<(), PortError> {
        if ret >= 0 {
            return Ok(());
        }
        let errno = Errno::from_return(ret);
        Err(PortError::Driver { name: self.name.clone(), attempt: attempt.to_string(), errno })
    }

    fn device_info(&self) -> Result<c::rte_eth_dev_info, PortError> {
        // SAFETY: a struct of numbers and pointers that is all output; zero is valid for each.
        let mut info: c::rte_eth_dev_info = unsafe { zeroed() };
        // SAFETY: the port exists, `info` is a place for the answer.
        let ret = unsafe { c::rte_eth_dev_info_get(self.id, &raw mut info) };
        self.check(ret, "asking the driver what the device can do")?;
        Ok(info)
    }

    pub(super) fn configure(&mut self, settings: &PortSettings) -> Result<(), PortError> {
        for (value, what) in [
            (settings.rx_queues, "rx_queues"),
            (settings.tx_queues, "tx_queues"),
            (settings.rx_descriptors, "rx_descriptors"),
            (settings.tx_descriptors, "tx_descriptors"),
            (settings.mtu, "mtu"),
        ] {
            if value == 0 {
                return Err(PortError::Zero { name: self.name.clone(), settings: what });
            }
        }
        let device = self.device_info()?;
        let mut features = PortFeatures {
            rx_queues: settings.rx_queues.min(device.max_rx_queues.max(1)),
            tx_queues: settings.tx_queues.min(device.max_tx_queues.max(1)),
            mtu: clamp_mtu(settings.mtu, &self.info),
            ..PortFeatures::default()
        };
        self.configure_device(settings, &device, &mut features)?;
        self.settle_mtu(&mut features)?;
        let (mut rx, mut tx) = (settings.rx_descriptors, settings.tx_descriptors);
        // SAFETY: the port is configured; both places hold what is wished for and are changed.
        let ret = unsafe { c::rte_eth_dev_adjust_nb_rx_tx_desc(self.id, &raw mut rx, &raw mut tx) };
        self.check(ret, "fitting the number of descriptors")?;
        (features.rx_descriptors, features.tx_descriptors) = (rx, tx);
        features.promiscuous = settings.promiscuous;
        self.features = features;
        Ok(())
    }

    fn configure_device(
        &self,
        settings: &PortSettings,
        device: &c::rte_eth_dev_info,
        features: &mut PortFeatures,
    ) -> Result<(), PortError> {
        // SAFETY: a struct of numbers, enums with a zero and nullable pointers.
        let mut conf: c::rte_eth_conf = unsafe { zeroed() };
        conf.rxmode.mtu = u32::from(features.mtu);
        if settings.checksum_offload {
            conf.rxmode.offloads |= device.rx_offload_capa & RX_CHECKSUMS;
            conf.txmode.offloads |= device.tx_offload_capa & TX_CHECKSUMS;
        }
        // Lives until the call below has copied it.
        let mut key = [0; RSS_KEY_BYTES_MAX];
        let flows = device.flow_type_rss_offloads & RSS_FLOWS;
        if features.rx_queues > 1 && flows != 0 {
            conf.rxmode.mq_mode = c::RTE_ETH_MQ_RX_RSS;
            conf.rxmode.offloads |= device.rx_offload_capa & c::DPDK_RX_OFFLOAD_RSS_HASH;
            conf.rx_adv_conf.rss_conf.rss_hf = flows;
            if let Some(wanted) = settings.rss_key {
                let key_bytes = if device.hash_key_size == 0 { 40 } else { device.hash_key_size };
                for (byte, wanted) in key.iter_mut().zip(wanted.iter().cycle()) {
                    *byte = *wanted;
                }
                conf.rx_adv_conf.rss_conf.rss_key = key.as_mut_ptr();
                conf.rx_adv_conf.rss_conf.rss_key_len = key_bytes;
            }
            features.rss = true;
        }
        features.rx_checksum = conf.rxmode.offloads & RX_CHECKSUMS != 0;
        features.tx_ip_checksum = conf.txmode.offloads & c::DPDK_TX_OFFLOAD_IPV4_CKSUM != 0;
        features.tx_l4_checksum = conf.txmode.offloads & TX_CHECKSUMS_L4 == TX_CHECKSUMS_L4;
        let (rx, tx) = (features.rx_queues, features.tx_queues);
        // SAFETY: the port is open and stopped; `conf` and the key in it live through the call.
        let ret = unsafe { c::rte_eth_dev_configure(self.id, rx, tx, &raw const conf) };
        self.check(ret, format_args!("configuring {rx} rx and {tx} tx queues"))
    }

    /// Tells the device its MTU where it differs; a driver that has none to set keeps its own.
    fn settle_mtu(&self, features: &mut PortFeatures) -> Result<(), PortError> {
        let mut mtu = 0;
        // SAFETY: the port exists, `mtu` is a place for the answer.
        let ret = unsafe { c::rte_eth_dev_get_mtu(self.id, &raw mut mtu) };
        self.check(ret, "asking for the MTU")?;
        if mtu != features.mtu {
            // SAFETY: the port is configured and stopped.
            let ret = unsafe { c::rte_eth_dev_set_mtu(self.id, features.mtu) };
            if Errno::from_return(ret) != Errno::ENOTSUP {
                self.check(ret, format_args!("setting the MTU to {}", features.mtu))?;
            }
        }
        Ok(())
    }

    pub(super) fn start(&mut self, pool: &Mempool) -> Result<(), PortError> {
        // A frame must fit one buffer: chains are never asked for. (Without the frame checksum.)
        let wanted = u32::from(HEADROOM) + u32::from(self.features.mtu) + ETHER_HEADER_BYTES;
        if wanted > u32::from(pool.data_room()) {
            return Err(PortError::Buffers {
                name: self.name.clone(),
                mtu: self.features.mtu,
                wanted,
                pool: pool.name().to_owned(),
                room: pool.data_room(),
            });
        }
        self.pool = Some(pool.clone());
        self.stage = Stage::SetUp;
        self.set_up_queues(pool)?;
        // SAFETY: the port is configured, all its queues are set up.
        let ret = unsafe { c::rte_eth_dev_start(self.id) };
        self.check(ret, "starting")?;
        self.stage = Stage::Running;
        // SAFETY: the port exists. A driver without counters to reset counts from 0 anyway.
        unsafe { c::rte_eth_stats_reset(self.id) };
        if self.features.promiscuous {
            self.features.promiscuous = match self.set_promiscuous(true) {
                Ok(()) => true,
                Err(PortError::Driver { errno: Errno::ENOTSUP, .. }) => false,
                Err(error) => return Err(error),
            };
        }
        Ok(())
    }

    fn set_up_queues(&self, pool: &Mempool) -> Result<(), PortError> {
        let features = &self.features;
        // SAFETY: the port exists. -1 for a device without a node, which the cast keeps: any node.
        #[expect(clippy::cast_sign_loss, reason = "DPDK's own conversion of SOCKET_ID_ANY")]
        let socket = unsafe { c::rte_eth_dev_socket_id(self.id) } as u32;
        for queue in 0..features.rx_queues {
            // SAFETY: the port is configured with this queue, the default settings are asked for by
            // null, and the pool lives until the port is closed (`self.pool`).
            let ret = unsafe {
                c::rte_eth_rx_queue_setup(
                    self.id,
                    queue,
                    features.rx_descriptors,
                    socket,
                    std::ptr::null(),
                    pool.raw().as_ptr(),
                )
            };
            self.check(ret, format_args!("setting up rx queue {queue}"))?;
        }
        for queue in 0..features.tx_queues {
            // SAFETY: the port is configured with this queue, null asks for the default settings.
            let ret = unsafe {
                c::rte_eth_tx_queue_setup(
                    self.id,
                    queue,
                    features.tx_descriptors,
                    socket,
                    std::ptr::null(),
                )
            };
            self.check(ret, format_args!("setting up tx queue {queue}"))?;
        }
        Ok(())
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

/// Two addresses and a type.
const ETHER_HEADER_BYTES: u32 = 14;

fn clamp_mtu(mtu: u16, info: &PortInfo) -> u16 {
    mtu.min(info.mtu_max).max(info.mtu_min)
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
        mtu_max: device.max_mtu,
        rss: device.flow_type_rss_offloads & RSS_FLOWS != 0,
        rss_key_bytes: device.hash_key_size,
        rx_ip_checksum: device.rx_offload_capa & c::DPDK_RX_OFFLOAD_IPV4_CKSUM != 0,
        rx_l4_checksum: device.rx_offload_capa & RX_CHECKSUMS_L4 == RX_CHECKSUMS_L4,
        tx_ip_checksum: device.tx_offload_capa & c::DPDK_TX_OFFLOAD_IPV4_CKSUM != 0,
        tx_l4_checksum: device.tx_offload_capa & TX_CHECKSUMS_L4 == TX_CHECKSUMS_L4,
        numa: u16::try_from(node).ok(),
    }
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

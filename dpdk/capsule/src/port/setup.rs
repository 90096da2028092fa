//! How a device is configured and started: what it can do of what is wished for.

use std::mem::zeroed;

use dpdk_sys as c;

use super::core::{PortCore, RSS_FLOWS, RX_CHECKSUMS, Stage, TX_CHECKSUMS, TX_CHECKSUMS_L4};
use super::{PortError, PortFeatures, PortInfo, PortSettings};
use crate::errno::Errno;
use crate::mempool::{HEADROOM, Mempool};

/// Of any NIC that is known; the field of the driver is 8 bits wide.
const RSS_KEY_BYTES_MAX: usize = u8::MAX as usize;

/// Two addresses and a type.
const ETHER_HEADER_BYTES: u32 = 14;

fn clamp_mtu(mtu: u16, info: &PortInfo) -> u16 {
    mtu.min(info.mtu_max).max(info.mtu_min)
}

impl PortCore {
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
}

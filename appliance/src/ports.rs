//! The ports of the box: from settings to running DPDK ports and their queues.

use capsule::{
    Device, DeviceError, Eal, Mempool, NamedDevice, Port, PortError, PortFeatures, PortMonitor,
    Running, RxQueue, TxQueue,
};
use spillway_control::settings::{DeviceSettings, MemifRole, PortSettings, Settings};
use spillway_lb::forward::PortIdentity;
use spillway_packet::MacAddr;

/// Descriptors per queue; a driver with smaller rings gives what it has.
const DESCRIPTORS: u16 = 1024;
/// memif: descriptors per ring, as a power of two.
const MEMIF_RING_LOG2: u8 = 10;

/// Why a port of the box does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("port {port}")]
    Device { port: String, source: DeviceError },
    #[error("port {port}")]
    Port { port: String, source: PortError },
    #[error(
        "port {port}: {driver} has {queues} transmit queues, and each of the {workers} workers \
         needs one of its own"
    )]
    TooFewQueues { port: String, driver: String, queues: u16, workers: u16 },
}

/// What is known of a running port, for display.
#[derive(Debug)]
pub(crate) struct PortFacts {
    pub(crate) name: String,
    pub(crate) driver: String,
    /// The interface, PCI address, socket or file behind it.
    pub(crate) device: String,
    pub(crate) identity: PortIdentity,
    pub(crate) features: PortFeatures,
    pub(crate) monitor: PortMonitor,
}

/// A running port: what is known of it, and its queues.
#[derive(Debug)]
pub(crate) struct RunningPort {
    pub(crate) facts: PortFacts,
    /// Receive queues, spread over the workers in turn.
    pub(crate) rx: Vec<RxQueue>,
    /// One per worker.
    pub(crate) tx: Vec<TxQueue>,
    /// Keeps the port open.
    pub(crate) port: Port<Running>,
}

/// DPDK's name for the device of a port: unique in the process, in DPDK's syntax.
fn device_name(index: usize, device: &DeviceSettings) -> String {
    match device {
        DeviceSettings::Pci { address } => address.to_string(),
        DeviceSettings::AfPacket { .. } => format!("net_af_packet{index}"),
        DeviceSettings::AfXdp { .. } => format!("net_af_xdp{index}"),
        DeviceSettings::Tap { .. } => format!("net_tap{index}"),
        DeviceSettings::Memif { .. } => format!("net_memif{index}"),
        DeviceSettings::Pcap { .. } => format!("net_pcap{index}"),
        DeviceSettings::Ring => format!("net_ring{index}"),
        DeviceSettings::Null { .. } => format!("net_null{index}"),
    }
}

fn device(settings: &DeviceSettings, queues: u16) -> Device {
    match settings {
        DeviceSettings::Pci { address } => Device::Pci { address: address.to_string() },
        DeviceSettings::AfPacket { interface } => {
            Device::AfPacket { interface: interface.clone(), queues }
        }
        DeviceSettings::AfXdp { interface, busy_budget } => Device::AfXdp {
            interface: interface.clone(),
            queues,
            busy_budget: Some(u32::from(*busy_budget)),
            force_copy: false,
        },
        DeviceSettings::Tap { interface } => Device::Tap { interface: interface.clone() },
        DeviceSettings::Memif { role, id, socket } => Device::Memif {
            role: match role {
                MemifRole::Server => capsule::MemifRole::Server,
                MemifRole::Client => capsule::MemifRole::Client,
            },
            id: *id,
            socket: socket.clone(),
            ring_size_log2: MEMIF_RING_LOG2,
            secret: None,
        },
        DeviceSettings::Pcap { rx, tx, infinite_rx } => {
            Device::Pcap { rx: Some(rx.clone()), tx: tx.clone(), infinite_rx: *infinite_rx }
        }
        DeviceSettings::Ring => Device::Ring {},
        DeviceSettings::Null { frame_bytes, copy } => {
            Device::Null { frame_bytes: *frame_bytes, copy: *copy }
        }
    }
}

/// What an operator calls the device.
fn describe(settings: &DeviceSettings) -> String {
    match settings {
        DeviceSettings::Pci { address } => address.to_string(),
        DeviceSettings::AfPacket { interface }
        | DeviceSettings::AfXdp { interface, .. }
        | DeviceSettings::Tap { interface } => interface.clone(),
        DeviceSettings::Memif { socket, id, .. } => format!("{}#{id}", socket.display()),
        DeviceSettings::Pcap { rx, .. } => rx.display().to_string(),
        DeviceSettings::Ring => "loop".into(),
        DeviceSettings::Null { frame_bytes, .. } => format!("{frame_bytes} byte frames"),
    }
}

/// Queue pairs that a port is asked for: one per worker, unless the settings say otherwise.
fn queues(port: &PortSettings, workers: u16) -> u16 {
    port.rx_queues.unwrap_or(workers).max(1)
}

/// The devices of all ports, for EAL.
///
/// # Errors
/// [`StartError::Device`]: a name or a path that DPDK's syntax cannot carry.
pub(crate) fn devices(settings: &Settings) -> Result<Vec<NamedDevice>, StartError> {
    let workers = worker_count(settings);
    let ports = settings.ports.iter().enumerate();
    ports
        .map(|(index, port)| {
            let name = device_name(index, &port.device);
            NamedDevice::new(name, device(&port.device, queues(port, workers).max(workers)))
                .map_err(|source| StartError::Device { port: port.name.clone(), source })
        })
        .collect()
}

/// Opens, configures and starts every port. `rss_key` is a secret of this start, so that nobody
/// outside can aim at one receive queue of a NIC; virtual devices have no key to set.
///
/// # Errors
/// [`StartError`] names the port and what was tried.
pub(crate) fn start(
    eal: &Eal,
    settings: &Settings,
    pool: &Mempool,
    rss_key: [u8; 40],
) -> Result<Vec<RunningPort>, StartError> {
    let vlans = settings.network.ports.iter().map(|port| port.vlan);
    let ports = settings.ports.iter().enumerate().zip(vlans);
    ports
        .map(|((index, port), vlan)| {
            let name = device_name(index, &port.device);
            let failed = |source| StartError::Port { port: port.name.clone(), source };
            let opened = Port::by_name(eal, &name).map_err(failed)?;
            let workers = worker_count(settings);
            // AF_PACKET spreads frames over all of its sockets, so all of them are polled.
            let all = matches!(port.device, DeviceSettings::AfPacket { .. });
            let rx_queues =
                if all { queues(port, workers).max(workers) } else { queues(port, workers) };
            let wanted = capsule::PortSettings {
                rx_queues,
                tx_queues: workers,
                rx_descriptors: DESCRIPTORS,
                tx_descriptors: DESCRIPTORS,
                mtu: port.mtu,
                rss_key: matches!(port.device, DeviceSettings::Pci { .. }).then_some(rss_key),
                promiscuous: port.promiscuous,
                // Checksums are changed incrementally; a device has nothing to add.
                checksum_offload: false,
            };
            let mut running =
                opened.configure(&wanted).and_then(|port| port.start(pool)).map_err(failed)?;
            let queues = running.take_queues();
            let (rx, tx) = queues.map_or_else(Default::default, |queues| (queues.rx, queues.tx));
            let facts = facts(port, vlan, &running);
            if tx.len() < usize::from(workers) {
                return Err(StartError::TooFewQueues {
                    port: port.name.clone(),
                    driver: facts.driver,
                    queues: facts.features.tx_queues,
                    workers,
                });
            }
            Ok(RunningPort { facts, rx, tx, port: running })
        })
        .collect()
}

fn facts(settings: &PortSettings, vlan: Option<u16>, port: &Port<Running>) -> PortFacts {
    PortFacts {
        name: settings.name.clone(),
        driver: port.info().driver.clone(),
        device: describe(&settings.device),
        identity: PortIdentity { mac: MacAddr(port.mac().0), vlan },
        features: port.features().clone(),
        monitor: port.monitor(),
    }
}

pub(crate) fn worker_count(settings: &Settings) -> u16 {
    u16::try_from(settings.dataplane.worker_cores.len()).unwrap_or(u16::MAX)
}

/// What the device does for the box, in words.
pub(crate) fn feature_words(features: &PortFeatures) -> Vec<String> {
    let words = [
        (features.rss, "rss"),
        (features.rx_checksum, "rx-checksum"),
        (features.tx_ip_checksum, "tx-ip-checksum"),
        (features.tx_l4_checksum, "tx-l4-checksum"),
        (features.promiscuous, "promiscuous"),
    ];
    words.iter().filter(|(has, _)| *has).map(|(_, word)| (*word).to_owned()).collect()
}

//! What a device becomes for EAL: a driver and its arguments, every word of them checked.

use std::path::Path;

use super::{Device, DeviceError, MemifRole};
use crate::name::Rule;

/// One slot of an `AF_PACKET` ring in bytes, kernel header included. Fits an mbuf with
/// [`crate::DATA_ROOM_DEFAULT`], which the driver checks at rx queue setup.
const AF_PACKET_FRAME_BYTES: u32 = 2048;
/// Slots of an `AF_PACKET` ring in each direction: 4 MiB of kernel memory, or 2 ms at 1 Mpps, so
/// that a worker may lose its core for a time slice without losing frames at lab rates.
const AF_PACKET_FRAMES: u32 = 2048;
/// One block of an `AF_PACKET` ring: a multiple of the page and of the frame. Larger blocks need
/// contiguous kernel pages and give nothing.
const AF_PACKET_BLOCK_BYTES: u32 = 4096;

/// Largest power of memif's ring (`ETH_MEMIF_MAX_LOG2_RING_SIZE`).
const MEMIF_RING_LOG2_MAX: u8 = 14;
/// `sun_path` without its NUL.
const SOCKET_PATH_BYTES_MAX: usize = 107;
const PATH_BYTES_MAX: usize = 1024;

/// `IFNAMSIZ` without its NUL. The kernel allows more characters, DPDK's argument lists do not.
const INTERFACE: Rule = Rule { what: "interface", max: 15, extra: "-_." };
const SECRET: Rule = Rule { what: "memif secret", max: 24, extra: "-_." };
const PATH: Rule = Rule { what: "path", max: PATH_BYTES_MAX, extra: "-_./+@%:~" };

/// What EAL is asked to probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// Allowed on the command line, probed with the PCI bus.
    Pci { address: String },
    /// Plugged in after the start, so that a failure is known to be this device's.
    Virtual { driver: &'static str, arguments: String, interface: Option<String> },
}

impl Device {
    /// Whether the driver needs EAL's shared configuration.
    pub(crate) fn needs_multi_process(&self) -> bool {
        matches!(self, Self::Memif { .. })
    }

    /// Checks the device and says how EAL gets it.
    pub(crate) fn probe(&self) -> Result<Probe, DeviceError> {
        let (driver, arguments, interface) = match self {
            Self::Pci { address } => return Ok(Probe::Pci { address: pci_address(address)? }),
            Self::AfPacket { interface, queues } => {
                check_interface(interface, *queues, 16)?;
                let arguments = format!(
                    "iface={interface},qpairs={queues},blocksz={AF_PACKET_BLOCK_BYTES},\
                     framesz={AF_PACKET_FRAME_BYTES},framecnt={AF_PACKET_FRAMES}"
                );
                ("net_af_packet", arguments, Some(interface))
            }
            Self::AfXdp { interface, queues, busy_budget, force_copy } => {
                check_interface(interface, *queues, 64)?;
                let budget = busy_budget.map(|n| format!(",busy_budget={n}")).unwrap_or_default();
                let copy = u8::from(*force_copy);
                let arguments = format!(
                    "iface={interface},start_queue=0,queue_count={queues},force_copy={copy}{budget}"
                );
                ("net_af_xdp", arguments, Some(interface))
            }
            Self::Tap { interface } => {
                INTERFACE.check(interface)?;
                ("net_tap", format!("iface={interface}"), None)
            }
            Self::Memif { role, id, socket, ring_size_log2, secret } => {
                let arguments =
                    memif_arguments(*role, *id, socket, *ring_size_log2, secret.as_deref())?;
                ("net_memif", arguments, None)
            }
            Self::Pcap { rx, tx, infinite_rx } => {
                ("net_pcap", pcap_arguments(rx.as_deref(), tx.as_deref(), *infinite_rx)?, None)
            }
            Self::Ring {} => ("net_ring", String::new(), None),
            Self::Null { frame_bytes, copy } => {
                if !(14..=2048).contains(frame_bytes) {
                    return Err(DeviceError::NullFrame(*frame_bytes));
                }
                ("net_null", format!("size={frame_bytes},copy={}", u8::from(*copy)), None)
            }
        };
        Ok(Probe::Virtual { driver, arguments, interface: interface.cloned() })
    }
}

fn check_interface(interface: &str, queues: u16, max: u16) -> Result<(), DeviceError> {
    INTERFACE.check(interface)?;
    if queues == 0 || queues > max {
        return Err(DeviceError::Queues { interface: interface.to_owned(), queues, max });
    }
    Ok(())
}

fn check_path(path: &Path, max: usize) -> Result<&str, DeviceError> {
    let text = path.to_str().ok_or_else(|| DeviceError::PathEncoding(path.to_owned()))?;
    Rule { max, ..PATH }.check(text)?;
    Ok(text)
}

fn memif_arguments(
    role: MemifRole,
    id: u32,
    socket: &Path,
    ring_size_log2: u8,
    secret: Option<&str>,
) -> Result<String, DeviceError> {
    if ring_size_log2 > MEMIF_RING_LOG2_MAX {
        return Err(DeviceError::MemifRing(ring_size_log2));
    }
    let socket = check_path(socket, SOCKET_PATH_BYTES_MAX)?;
    let role = match role {
        MemifRole::Server => "server",
        MemifRole::Client => "client",
    };
    let secret = match secret {
        Some(secret) => {
            SECRET.check(secret)?;
            format!(",secret={secret}")
        }
        None => String::new(),
    };
    Ok(format!(
        "role={role},id={id},socket={socket},socket-abstract=no,rsize={ring_size_log2}{secret}"
    ))
}

fn pcap_arguments(
    rx: Option<&Path>,
    tx: Option<&Path>,
    infinite_rx: bool,
) -> Result<String, DeviceError> {
    let mut arguments = Vec::new();
    if let Some(path) = rx {
        arguments.push(format!("rx_pcap={}", check_path(path, PATH_BYTES_MAX)?));
        arguments.push(format!("infinite_rx={}", u8::from(infinite_rx)));
    }
    if let Some(path) = tx {
        arguments.push(format!("tx_pcap={}", check_path(path, PATH_BYTES_MAX)?));
    }
    if arguments.is_empty() {
        return Err(DeviceError::PcapEmpty);
    }
    Ok(arguments.join(","))
}

/// The address in DPDK's long form, in lower case: also the name of the port.
fn pci_address(text: &str) -> Result<String, DeviceError> {
    let refuse = || DeviceError::PciAddress(text.to_owned());
    let parts: Vec<&str> = text.split([':', '.']).collect();
    let (domain, bus, device, function) = match *parts.as_slice() {
        [domain, bus, device, function] => (domain, bus, device, function),
        [bus, device, function] => ("0000", bus, device, function),
        _ => return Err(refuse()),
    };
    let hex = |digits: &str, max: u32| {
        let valid = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_hexdigit());
        u32::from_str_radix(digits, 16).ok().filter(|value| valid && *value <= max)
    };
    let address = (|| {
        let (domain, bus) = (hex(domain, 0xffff)?, hex(bus, 0xff)?);
        let (device, function) = (hex(device, 0x1f)?, hex(function, 7)?);
        Some(format!("{domain:04x}:{bus:02x}:{device:02x}.{function:x}"))
    })();
    // The separators must be where they belong: "3b.00:1" splits into three parts as well.
    address.filter(|long| long.ends_with(&text.to_ascii_lowercase())).ok_or_else(refuse)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::NamedDevice;
    use super::*;

    fn refused(device: Device) -> String {
        NamedDevice::new("port", device).unwrap_err().to_string()
    }

    fn arguments(device: &Device) -> String {
        match device.probe().unwrap() {
            Probe::Virtual { driver, arguments, .. } => format!("{driver},{arguments}"),
            Probe::Pci { address } => address,
        }
    }

    #[test]
    fn an_interface_name_cannot_carry_arguments() {
        for interface in ["eth0,qpairs=9", "", "a b", "eth/0", "sixteen-bytes-ab", "e=1", "x\"y"] {
            let device = Device::AfPacket { interface: interface.to_owned(), queues: 1 };
            assert!(refused(device).starts_with("interface"), "{interface}");
        }
    }

    #[test]
    fn a_path_cannot_carry_arguments() {
        let pcap = |path: &str| Device::Pcap {
            rx: Some(PathBuf::from(path)),
            tx: None,
            infinite_rx: false,
        };
        assert!(refused(pcap("/tmp/a,tx_pcap=/etc/passwd")).contains("','"));
        assert!(refused(pcap("/tmp/[a]")).contains("'['"));
        assert_eq!(arguments(&pcap("/tmp/a.pcap")), "net_pcap,rx_pcap=/tmp/a.pcap,infinite_rx=0");
    }

    #[test]
    fn pci_addresses_are_completed_and_checked() {
        let pci = |address: &str| Device::Pci { address: address.to_owned() };
        assert_eq!(arguments(&pci("3B:00.1")), "0000:3b:00.1");
        assert_eq!(arguments(&pci("0001:3b:1f.7")), "0001:3b:1f.7");
        for bad in ["3b.00:1", "3b:00", "0000:3b:20.0", "0000:3b:00.8", "0000:3b:+1.0", "eth0"] {
            assert!(refused(pci(bad)).contains("PCI address"), "{bad}");
        }
    }

    #[test]
    fn each_virtual_device_becomes_its_driver_s_arguments() {
        let afp = Device::AfPacket { interface: "eth1".to_owned(), queues: 2 };
        assert_eq!(
            arguments(&afp),
            "net_af_packet,iface=eth1,qpairs=2,blocksz=4096,framesz=2048,framecnt=2048"
        );
        let xdp = Device::AfXdp {
            interface: "eth1".to_owned(),
            queues: 1,
            busy_budget: Some(0),
            force_copy: true,
        };
        assert_eq!(
            arguments(&xdp),
            "net_af_xdp,iface=eth1,start_queue=0,queue_count=1,force_copy=1,busy_budget=0"
        );
        let memif = Device::Memif {
            role: MemifRole::Client,
            id: 3,
            socket: PathBuf::from("/run/m.sock"),
            ring_size_log2: 10,
            secret: Some("s3cret".to_owned()),
        };
        assert_eq!(
            arguments(&memif),
            "net_memif,role=client,id=3,socket=/run/m.sock,socket-abstract=no,rsize=10,\
             secret=s3cret"
        );
        let null = Device::Null { frame_bytes: 64, copy: false };
        assert_eq!(arguments(&null), "net_null,size=64,copy=0");
        assert_eq!(arguments(&Device::Ring {}), "net_ring,");
    }

    #[test]
    fn values_outside_of_the_driver_s_range_are_refused() {
        let afp = |queues| Device::AfPacket { interface: "e".to_owned(), queues };
        assert!(refused(afp(0)).contains("0 queues"));
        assert!(refused(afp(17)).contains("17 queues"));
        assert!(refused(Device::Null { frame_bytes: 13, copy: false }).contains("13 bytes"));
        assert!(
            refused(Device::Pcap { rx: None, tx: None, infinite_rx: false }).contains("neither")
        );
        let memif = |ring_size_log2, secret: Option<&str>, socket: &str| Device::Memif {
            role: MemifRole::Server,
            id: 0,
            socket: PathBuf::from(socket),
            ring_size_log2,
            secret: secret.map(str::to_owned),
        };
        assert!(refused(memif(15, None, "/s")).contains("2^15"));
        assert!(refused(memif(1, Some("a,b"), "/s")).contains("secret"));
        assert!(refused(memif(1, None, &"/s".repeat(54))).contains("at most 107"));
    }

    #[test]
    fn a_port_name_is_checked_too() {
        assert!(NamedDevice::new("a b", Device::Ring {}).is_err());
        assert_eq!(NamedDevice::new("uplink", Device::Ring {}).unwrap().name(), "uplink");
    }
}

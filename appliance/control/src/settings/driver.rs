//! Reads the keys that only one driver has.

use super::device::{DeviceSettings, MemifRole};
use super::form;
use super::report::Spanned;
use super::section::Section;

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Driver {
    Pci,
    AfPacket,
    AfXdp,
    Tap,
    Memif,
    Pcap,
    Ring,
    Null,
}

pub(super) const DRIVERS: [(&str, Driver); 8] = [
    ("pci", Driver::Pci),
    ("af_packet", Driver::AfPacket),
    ("af_xdp", Driver::AfXdp),
    ("tap", Driver::Tap),
    ("memif", Driver::Memif),
    ("pcap", Driver::Pcap),
    ("ring", Driver::Ring),
    ("null", Driver::Null),
];

/// Every key that is a driver's own.
const OWN_KEYS: [&str; 11] = [
    "address",
    "interface",
    "busy_budget",
    "role",
    "id",
    "socket",
    "rx",
    "tx",
    "infinite_rx",
    "frame_bytes",
    "copy",
];

const fn own_keys(driver: Driver) -> &'static [&'static str] {
    match driver {
        Driver::Pci => &["address"],
        Driver::AfPacket | Driver::Tap => &["interface"],
        Driver::AfXdp => &["interface", "busy_budget"],
        Driver::Memif => &["role", "id", "socket"],
        Driver::Pcap => &["rx", "tx", "infinite_rx"],
        Driver::Ring => &[],
        Driver::Null => &["frame_bytes", "copy"],
    }
}

/// The word for a device's driver in the configuration.
pub(super) const fn name_of(device: &DeviceSettings) -> &'static str {
    match device {
        DeviceSettings::Pci { .. } => "pci",
        DeviceSettings::AfPacket { .. } => "af_packet",
        DeviceSettings::AfXdp { .. } => "af_xdp",
        DeviceSettings::Tap { .. } => "tap",
        DeviceSettings::Memif { .. } => "memif",
        DeviceSettings::Pcap { .. } => "pcap",
        DeviceSettings::Ring => "ring",
        DeviceSettings::Null { .. } => "null",
    }
}

/// The device of `driver`, placed at what identifies it. `None` after a mistake.
pub(super) fn read(
    section: &mut Section<'_>,
    driver: &Spanned<Driver>,
) -> Option<Spanned<DeviceSettings>> {
    match driver.value {
        Driver::Pci => {
            let address = section.parse("address", form::PCI);
            section.missing("address", "as lspci -D shows it, such as address = \"0000:03:00.0\"");
            address.map(|at| Spanned::new(DeviceSettings::Pci { address: at.value }, at.at))
        }
        Driver::AfPacket => {
            let interface = read_interface(section)?;
            let device = DeviceSettings::AfPacket { interface: interface.value };
            Some(Spanned::new(device, interface.at))
        }
        Driver::AfXdp => {
            let busy_budget = section.integer("busy_budget", 0..=1024);
            let interface = read_interface(section)?;
            let device = DeviceSettings::AfXdp {
                interface: interface.value,
                // What the driver takes when it is not told.
                busy_budget: busy_budget.map_or(64, |budget| budget.value),
            };
            Some(Spanned::new(device, interface.at))
        }
        Driver::Tap => {
            let interface = read_interface(section)?;
            let device = DeviceSettings::Tap { interface: interface.value };
            Some(Spanned::new(device, interface.at))
        }
        Driver::Memif => read_memif(section),
        Driver::Pcap => read_pcap(section),
        Driver::Ring => Some(Spanned::new(DeviceSettings::Ring, driver.at)),
        Driver::Null => {
            // Ethernet's shortest frame, less its checksum, to a jumbo frame.
            let frame_bytes = section.integer("frame_bytes", 60..=9216);
            let device = DeviceSettings::Null {
                frame_bytes: frame_bytes.map_or(64, |bytes| bytes.value),
                copy: section.boolean("copy").unwrap_or(false),
            };
            Some(Spanned::new(device, driver.at))
        }
    }
}

fn read_interface(section: &mut Section<'_>) -> Option<Spanned<String>> {
    let interface = section.parse("interface", form::INTERFACE);
    section.missing("interface", "name the kernel's interface, such as interface = \"eth1\"");
    interface
}

fn read_memif(section: &mut Section<'_>) -> Option<Spanned<DeviceSettings>> {
    let roles = [("server", MemifRole::Server), ("client", MemifRole::Client)];
    let role = section.choice("role", &roles);
    section.missing("role", "one of: server (creates the socket), client");
    let id = section.integer("id", 0..=i64::from(u32::MAX));
    section.missing("id", "the same number at both ends, such as id = 0");
    let socket = section.parse("socket", form::SOCKET_PATH);
    section.missing("socket", "the same path at both ends, such as socket = \"/run/memif.sock\"");
    let (role, id, socket) = (role?, id?, socket?);
    let device = DeviceSettings::Memif { role: role.value, id: id.value, socket: socket.value };
    Some(Spanned::new(device, socket.at))
}

fn read_pcap(section: &mut Section<'_>) -> Option<Spanned<DeviceSettings>> {
    let rx = section.parse("rx", form::PATH);
    section.missing("rx", "name the file to receive from, such as rx = \"in.pcap\"");
    if let Some(rx) = rx.as_ref().filter(|rx| !rx.value.is_file()) {
        let help = "a relative path starts where the daemon was started";
        section.error(rx.at, &format!("rx: there is no file {}", rx.value.display()), Some(help));
    }
    let tx = section.parse("tx", form::PATH);
    let infinite_rx = section.boolean("infinite_rx").unwrap_or(false);
    let rx = rx?;
    let tx = tx.map(|tx| tx.value);
    Some(Spanned::new(DeviceSettings::Pcap { rx: rx.value, tx, infinite_rx }, rx.at))
}

/// Marks every driver's keys as known.
pub(super) fn take_all_keys(section: &mut Section<'_>) {
    for key in OWN_KEYS {
        section.take(key);
    }
}

/// Says whose key it is, if it is another driver's.
pub(super) fn explain_foreign_key(driver: Option<&str>, key: &str) -> Option<String> {
    let driver = driver?;
    let owners: Vec<&str> = DRIVERS
        .iter()
        .filter(|(_, owner)| own_keys(*owner).contains(&key))
        .map(|(name, _)| *name)
        .collect();
    let owners = match owners.as_slice() {
        [] => return None,
        [owner] => format!("driver {owner}"),
        owners => format!("drivers {}", owners.join(", ")),
    };
    Some(format!("`{key}` belongs to {owners}; this port's driver is {driver}"))
}

//! Ports and neighbors.

use spillway_admin::{NeighborRow, PortRow};

use super::View;
use spillway_text::text::{Layout, list, or_dash, printable};

impl View for NeighborRow {
    fn columns(layout: Layout) -> &'static [&'static str] {
        match layout {
            Layout::Table => &["Address", "MAC", "Port", "State", "Age"],
            Layout::Wide => &["Address", "MAC", "Port", "State", "Age", "Waiting Frames"],
        }
    }

    fn lines(&self, layout: Layout) -> Vec<Vec<String>> {
        let mut cells = vec![
            self.address.to_string(),
            or_dash(self.mac),
            printable(&self.port).into_owned(),
            self.state.to_string(),
            or_dash(self.age_seconds.map(|seconds| layout.seconds(seconds))),
        ];
        match layout {
            Layout::Table => {}
            Layout::Wide => cells.push(self.waiting_frames.to_string()),
        }
        vec![cells]
    }
}

impl View for PortRow {
    fn columns(layout: Layout) -> &'static [&'static str] {
        match layout {
            Layout::Table => &[
                "ID",
                "Name",
                "Link",
                "Speed",
                "Addresses",
                "RX Packets",
                "TX Packets",
                "RX Missed",
                "Errors",
            ],
            Layout::Wide => &[
                "ID",
                "Name",
                "Driver",
                "Device",
                "MAC",
                "Link",
                "Speed",
                "MTU",
                "VLAN",
                "Addresses",
                "RX Queues",
                "TX Queues",
                "RX Packets",
                "RX Bytes",
                "TX Packets",
                "TX Bytes",
                "RX Missed",
                "RX Errors",
                "TX Errors",
                "RX No Mbuf",
                "Features",
            ],
        }
    }

    fn lines(&self, layout: Layout) -> Vec<Vec<String>> {
        let name = printable(&self.name).into_owned();
        let speed = or_dash(self.speed_mbps.map(|speed| format!("{speed}Mb/s")));
        let addresses = list(&self.addresses);
        let mut cells = vec![self.id.to_string(), name];
        match layout {
            Layout::Table => {
                let errors = self.rx_errors.saturating_add(self.tx_errors);
                cells.extend([self.link.to_string(), speed, addresses]);
                cells.extend(
                    [self.rx_packets, self.tx_packets, self.rx_missed, errors]
                        .map(|count| layout.count(count)),
                );
            }
            Layout::Wide => {
                cells.extend([
                    printable(&self.driver).into_owned(),
                    printable(&self.device).into_owned(),
                    self.mac.to_string(),
                    self.link.to_string(),
                    speed,
                    self.mtu.to_string(),
                    or_dash(self.vlan),
                    addresses,
                    self.rx_queues.to_string(),
                    self.tx_queues.to_string(),
                ]);
                cells.extend(self.counters().map(|count| layout.count(count)));
                cells.push(list(&self.features));
            }
        }
        vec![cells]
    }
}

/// The counters in the order of the wide table's columns.
trait Counters {
    fn counters(&self) -> [u64; 8];
}

impl Counters for PortRow {
    fn counters(&self) -> [u64; 8] {
        [
            self.rx_packets,
            self.rx_bytes,
            self.tx_packets,
            self.tx_bytes,
            self.rx_missed,
            self.rx_errors,
            self.tx_errors,
            self.rx_no_mbuf,
        ]
    }
}

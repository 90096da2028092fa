//! Drops one by one, as they happen: the reader of the ring `events`.
//!
//! Who reads takes the events from all others who do, and those that found the ring full are counted only: sums are in
//! `drops`.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use aya::maps::{MapData, RingBuf};

use crate::layout::{Address, Be16, DropEvent, PROGRAMS, Tuple};
use crate::views::drops::reason_name;
use crate::views::protocol_name;

/// Between two looks into the ring.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Takes integers and addresses off the front of an event.
struct Bytes<'b>(&'b [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }
}

/// An event as the programs wrote it; `None`: it is cut short.
pub fn parse(bytes: &[u8]) -> Option<DropEvent> {
    let mut bytes = Bytes(bytes);
    Some(DropEvent {
        at_ns: u64::from_ne_bytes(bytes.take()?),
        tuple: Tuple {
            source: Address(bytes.take()?),
            destination: Address(bytes.take()?),
            source_port: Be16(bytes.take()?),
            destination_port: Be16(bytes.take()?),
            protocol: u8::from_ne_bytes(bytes.take()?),
            direction: u8::from_ne_bytes(bytes.take()?),
            pad: u16::from_ne_bytes(bytes.take()?),
        },
        ifindex: u32::from_ne_bytes(bytes.take()?),
        reason: u16::from_ne_bytes(bytes.take()?),
        program: u8::from_ne_bytes(bytes.take()?),
        pad: u8::from_ne_bytes(bytes.take()?),
    })
}

/// One drop in one line. The time is that of `dmesg`: seconds since the machine started.
pub fn line(event: &DropEvent, device: Option<&str>) -> String {
    let DropEvent { at_ns, tuple, ifindex, reason, program, pad: _ } = *event;
    let (seconds, micros) = (at_ns / 1_000_000_000, at_ns / 1_000 % 1_000_000);
    let program = PROGRAMS.get(usize::from(program)).copied().unwrap_or("unknown");
    let mut line = format!("[{seconds:>6}.{micros:06}] {} {program}", reason_name(reason.into()));
    // Writing to a String does not fail.
    let _ = match (ifindex, device) {
        (0, _) => write!(line, " -"),
        (_, Some(device)) => write!(line, " {device}"),
        (number, None) => write!(line, " if{number}"),
    };
    let _ = write!(
        line,
        " {} {} -> {}",
        protocol_name(tuple.protocol),
        tuple.source(),
        tuple.destination()
    );
    line
}

/// Names of this network namespace's devices, asked for when a new one is met.
#[derive(Debug, Default)]
pub struct Devices {
    names: HashMap<u32, Option<String>>,
}

impl Devices {
    pub fn name(&mut self, ifindex: u32) -> Option<&str> {
        self.names.entry(ifindex).or_insert_with(|| find_device(ifindex)).as_deref()
    }
}

fn find_device(ifindex: u32) -> Option<String> {
    let devices = fs::read_dir("/sys/class/net").ok()?;
    devices.flatten().find_map(|device| {
        let number = fs::read_to_string(device.path().join("ifindex")).ok()?;
        (number.trim().parse() == Ok(ifindex)).then(|| device.file_name().into_string().ok())?
    })
}

/// Writes what is in the ring; answers with the number of lines.
///
/// # Errors
/// The output cannot be written.
pub fn drain(
    ring: &mut RingBuf<MapData>,
    devices: &mut Devices,
    out: &mut impl Write,
) -> io::Result<usize> {
    let mut lines = 0;
    while let Some(event) = ring.next() {
        if let Some(event) = parse(&event) {
            writeln!(out, "{}", line(&event, devices.name(event.ifindex)))?;
            lines += 1;
        }
    }
    out.flush()?;
    Ok(lines)
}

/// Writes every drop from now on, until the output is closed. The ring has room for a tenth of a second of 40,000 drops a
/// second, so looking often does for waiting.
///
/// # Errors
/// The output cannot be written.
pub fn follow(mut ring: RingBuf<MapData>, out: &mut impl Write) -> io::Result<()> {
    let mut devices = Devices::default();
    loop {
        drain(&mut ring, &mut devices, out)?;
        thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn event() -> DropEvent {
        let address = |text: &str| text.parse::<IpAddr>().unwrap().into();
        DropEvent {
            at_ns: 123_456_789_012,
            tuple: Tuple {
                source: address("192.0.2.1"),
                destination: address("198.51.100.1"),
                source_port: 4000.into(),
                destination_port: 30080.into(),
                protocol: 6,
                direction: 0,
                pad: 0,
            },
            ifindex: 7,
            reason: 27,
            program: 1,
            pad: 0,
        }
    }

    #[test]
    fn a_drop_is_one_line_with_time_reason_program_device_and_ends() {
        assert_eq!(
            line(&event(), Some("eth0")),
            "[   123.456789] no-backend from-netdev eth0 tcp 192.0.2.1:4000 -> 198.51.100.1:30080"
        );
        let v6 = Tuple {
            source: "2001:db8::1".parse::<IpAddr>().unwrap().into(),
            protocol: 58,
            ..event().tuple
        };
        let odd = DropEvent { tuple: v6, reason: 999, program: 99, ..event() };
        assert_eq!(
            line(&odd, None),
            "[   123.456789] reason-999 unknown if7 icmpv6 [2001:db8::1]:4000 -> 198.51.100.1:30080"
        );
        let socket = DropEvent { ifindex: 0, program: 0, ..event() };
        assert!(line(&socket, None).contains(" socket - tcp "));
    }

    #[test]
    fn bytes_become_the_event_that_they_were_and_short_ones_none() {
        let mut bytes = Vec::new();
        let wanted = event();
        bytes.extend(wanted.at_ns.to_ne_bytes());
        bytes.extend(wanted.tuple.source.0);
        bytes.extend(wanted.tuple.destination.0);
        bytes.extend(wanted.tuple.source_port.0);
        bytes.extend(wanted.tuple.destination_port.0);
        bytes.extend([wanted.tuple.protocol, wanted.tuple.direction, 0, 0]);
        bytes.extend(wanted.ifindex.to_ne_bytes());
        bytes.extend(wanted.reason.to_ne_bytes());
        bytes.extend([wanted.program, 0]);
        assert_eq!(bytes.len(), size_of::<DropEvent>());
        assert_eq!(parse(&bytes), Some(wanted));
        assert_eq!(parse(&bytes[..55]), None);
    }

    #[test]
    fn the_loopback_device_has_its_name() {
        assert_eq!(Devices::default().name(1), Some("lo"));
        assert_eq!(Devices::default().name(u32::MAX), None);
    }
}

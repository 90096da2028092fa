//! Captures in, captures out: `net_pcap` on both sides of the box.
//!
//! The files say everything that the box sees, and everything that it says; nothing else is there,
//! no kernel, no clock, no second program. So this is the place for the table of odd frames.

mod cases;
mod frames;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cases::{Fate, Side};
use spillway_packet::flow::{self, Kind};
use spillway_tests::error::{LabError, ensure};
use spillway_tests::wire::{Appliance, hex, pcap};
use spillway_tests::{Result, sandbox};

const DIR: &str = "/run/sw-pcap";
const PATIENCE: Duration = Duration::from_secs(10);

/// What left the box, but for ARP, which keeps its own time.
struct Outcome {
    front: Vec<Vec<u8>>,
    back: Vec<Vec<u8>>,
    /// ARP frames at the front.
    arp: Vec<Vec<u8>>,
    /// Packets by DropReason; those that happened.
    drops: BTreeMap<String, u64>,
}

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

/// Runs the box over two captures, with these SNAT ports, until it has seen every frame and sent
/// this many of its own making.
fn run(snat_ports: &str, front: &[Vec<u8>], back: &[Vec<u8>], originated: u64) -> Result<Outcome> {
    fs::create_dir_all(DIR).map_err(LabError::io(format!("create {DIR}")))?;
    pcap::write(&path("front-in.pcap"), front)?;
    pcap::write(&path("back-in.pcap"), back)?;
    let config = path("spillway.toml");
    fs::write(&config, frames::config(DIR, snat_ports)).map_err(LabError::io("configure"))?;
    let appliance = Appliance::start(&config, &path("admin.sock"), Path::new(DIR), None)?;
    let sent = (front.len() + back.len()) as u64;
    let report = appliance.drops_when(PATIENCE, |totals| {
        // The host stack works beside the workers, and in order: when it has sent this much, it has
        // sent the announcement of each port, and every answer.
        totals.rx == sent && totals.originated >= originated + 2
    })?;
    // The driver writes its files out when it is closed.
    appliance.stop()?;
    let is_arp = |frame: &Vec<u8>| matches!(flow::parse(frame).kind, Kind::Arp);
    let (arp, front) = pcap::read(&path("front-out.pcap"))?.into_iter().partition(is_arp);
    let back = pcap::read(&path("back-out.pcap"))?;
    let drops = report.drops.into_iter().filter(|row| row.count > 0);
    Ok(Outcome {
        front,
        back: back.into_iter().filter(|frame| !is_arp(frame)).collect(),
        arp,
        drops: drops.map(|row| (row.reason, row.count)).collect(),
    })
}

/// A frame and what it is called.
type Named = (&'static str, Vec<u8>);

/// `got` is every list of `expected`, each in its order, interleaved as it happens: nothing is
/// missing, nothing is there twice.
fn ensure_interleaved(what: &str, expected: &[Vec<Named>], got: &[Vec<u8>]) -> Result<()> {
    let mut rest: Vec<&[Named]> = expected.iter().map(Vec::as_slice).collect();
    for (number, frame) in got.iter().enumerate() {
        let due = rest.iter_mut().find_map(|list| {
            let ((_, due), tail) = list.split_first()?;
            (due == frame).then(|| *list = tail)
        });
        ensure(due.is_some(), || {
            let due = rest.iter().filter_map(|list| list.first());
            let due: Vec<String> =
                due.map(|(name, due)| format!("{name}\n{}", hex::dump(due))).collect();
            let (frame, due) = (hex::dump(frame), due.join("or "));
            format!("{what}: frame {number} is\n{frame}due is {due}")
        })?;
    }
    let missing: Vec<&str> = rest.into_iter().flatten().map(|(name, _)| *name).collect();
    ensure(missing.is_empty(), || format!("{what}: missing are {missing:?}"))
}

#[test]
fn captures_become_the_expected_captures_frame_by_frame() {
    sandbox::test(|| {
        let cases = cases::all();
        let input = |side: Side| -> Vec<Vec<u8>> {
            cases.iter().filter(|case| case.from == side).map(|case| case.frame.clone()).collect()
        };
        // What comes out at `to` because of what came in at `from`.
        let output = |from: Side, to: Side| -> Vec<Named> {
            let from = cases.iter().filter(|case| case.from == from);
            let leaves = from.filter_map(|case| {
                let (side, frame) = case.output()?;
                (side == to).then(|| (case.name, frame.to_vec()))
            });
            leaves.collect()
        };
        let mut drops: BTreeMap<String, u64> = BTreeMap::new();
        for case in &cases {
            if let Fate::Dropped(reason) | Fate::Refused(reason, _) = case.fate {
                *drops.entry(reason.to_owned()).or_default() += 1;
            }
        }

        let made = cases.iter().filter(|case| case.is_answered_by_a_new_frame()).count() as u64;

        let outcome = run("31210", &input(Side::Front), &input(Side::Back), made)?;

        let front = [output(Side::Front, Side::Front), output(Side::Back, Side::Front)];
        ensure_interleaved("the front", &front, &outcome.front)?;
        let back = [output(Side::Front, Side::Back), output(Side::Back, Side::Back)];
        ensure_interleaved("the back", &back, &outcome.back)?;
        ensure(outcome.drops == drops, || {
            format!("dropped were {:?}, to be dropped were {drops:?}", outcome.drops)
        })?;
        for case in &cases {
            if let Fate::Resolved(answer) = &case.fate {
                let count = outcome.arp.iter().filter(|frame| *frame == answer).count();
                ensure(count == 1, || format!("{}: answered {count} times", case.name))?;
            }
        }
        Ok(())
    });
}

#[test]
fn every_flow_gets_a_source_port_of_its_own_from_the_range() {
    sandbox::test(|| {
        const FLOWS: u16 = 500;
        let syns: Vec<Vec<u8>> = (0..FLOWS).map(frames::syn_of_client).collect();

        let outcome = run("31210-31709", &syns, &[], 0)?;

        ensure(outcome.drops.is_empty(), || format!("{:?}", outcome.drops))?;
        ensure(outcome.back.len() == syns.len(), || format!("{} SYNs left", outcome.back.len()))?;
        let mut lent = BTreeSet::new();
        for (client, frame) in (0..FLOWS).zip(&outcome.back) {
            let port = sport(frame).unwrap_or(0);
            // But for the port, which nobody can foretell, every byte is known.
            let expected = frames::translated_syn_of_client(client, port);
            if let Some(difference) = hex::difference(&expected, frame) {
                return Err(LabError::Expectation(format!("flow {client} {difference}")));
            }
            ensure((31210..=31709).contains(&port), || format!("port {port}"))?;
            ensure(lent.insert(port), || format!("port {port} was lent twice"))?;
        }
        // RFC 6056: the order of the ports says nothing.
        let order: Vec<u16> = outcome.back.iter().filter_map(|frame| sport(frame)).collect();
        ensure(!order.is_sorted(), || "the ports were lent one after the other".to_owned())
    });
}

fn sport(frame: &[u8]) -> Option<u16> {
    let Kind::Tcp(tcp) = flow::parse(frame).kind else { return None };
    Some(tcp.sport)
}

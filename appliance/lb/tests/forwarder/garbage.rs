//! Whatever bytes come in: a verdict for each frame, no panic, and the laws hold.

use spillway_lb::ids::PortId;
use spillway_lb::scheduler::Rng;
use spillway_packet::build;

use crate::world::*;

const FRONTEND: &str = "172.26.50.101:30645";
const FRAMES: usize = 100_000;

/// Numbers for the damage: the same in every run.
struct Dice(Rng);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap();
        usize::try_from(self.0.next_u64() % bound).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.0.next_u64().to_be_bytes()[3]
    }
}

fn world() -> World {
    let web = service("web").tcp(FRONTEND).udp(FRONTEND).backend("10.0.1.72:80");
    let mut world = Setup::new().service(web).workers(3).vlans(None, Some(9)).world();
    world.lenient = true;
    world
}

/// Frames that mean something: of open flows, of new ones, for the box itself.
fn sensible(world: &mut World) -> Vec<(PortId, Vec<u8>)> {
    let mut frames = Vec::new();
    for n in 0..6 {
        let client = at(&format!("198.51.100.7:{}", 2000 + n));
        let flow = world.establish(client, FRONTEND);
        frames.push(world.dressed(tcp(client, FRONTEND, ACK).payload(b"some data")));
        frames.push(world.dressed(tcp(client, FRONTEND, FIN_ACK)));
        frames.push(world.dressed(tcp(client, FRONTEND, SYN)));
        frames.push(world.dressed(tcp(flow.backend, flow.snat, ACK).payload(b"an answer")));
        let other = at(&format!("198.51.100.8:{}", 2000 + n));
        frames.push(world.dressed(udp(other, FRONTEND)));
        frames.push(world.dressed(syn(other, FRONTEND)));
    }
    let client = *at("198.51.100.7:1").ip();
    frames.push(world.dressed(build::icmp_echo(client, SNAT, 1, 1).payload(b"ping")));
    frames.push(world.dressed(tcp("10.0.1.72:80", "172.26.50.101:61001", SYN_ACK)));
    let arp = "ffffffffffff 0210ac1a32b4 0806
        0001 0800 06 04 0001 0210ac1a32b4 ac1a32b4 000000000000 ac1a3265";
    frames.push((FRONT, hex(arp)));
    frames
}

/// Where a few wrong bytes lead furthest: headers, and the lengths in them.
fn damage(dice: &mut Dice, frame: &mut Vec<u8>) {
    for _ in 0..dice.below(4) {
        match dice.below(8) {
            0 => frame.truncate(dice.below(frame.len() + 1)),
            1 => {
                let longer = frame.len() + dice.below(80);
                frame.resize(longer, 0xa5);
            }
            2 => {
                let at = dice.below(frame.len().min(18) + 1);
                frame.splice(at..at, [0x81, 0, 0, 9]);
            }
            _ if frame.is_empty() => {}
            3 => {
                let at = dice.below(frame.len());
                frame[at] = [0, 1, 0x45, 0x7f, 0x80, 0xff][dice.below(6)];
            }
            4 => {
                let at = dice.below(frame.len());
                frame[at] ^= 1 << dice.below(8);
            }
            _ => {
                let at = dice.below(frame.len().min(60));
                frame[at] = dice.byte();
            }
        }
    }
    // Mostly with a right checksum, so that the damage gets past the first door.
    if dice.below(4) > 0 && frame.len() >= 34 {
        *frame = sealed(std::mem::take(frame));
    }
}

#[test]
fn a_hundred_thousand_damaged_frames_all_get_a_verdict() {
    let mut dice = Dice(Rng::new(0x5eed));
    let mut world = world();
    let sensible = sensible(&mut world);
    let mut sent = 0;
    for round in 0..=FRAMES / 64 {
        let burst = (0..64).map(|_| {
            let (port, mut frame) = sensible[dice.below(sensible.len())].clone();
            damage(&mut dice, &mut frame);
            let port = if dice.below(50) == 0 { PortId::new(dice.byte().into()) } else { port };
            (port, frame)
        });
        let burst = burst.collect();
        let fates = world.burst_at(u16::try_from(round % 3).unwrap(), burst);
        world.assert_laws();
        sent += fates.iter().filter(|handled| matches!(handled.fate, Fate::Sent(..))).count();
        if round % 100 == 0 {
            world.after(std::time::Duration::from_secs(7));
        }
    }
    assert!(
        sent > FRAMES / 10,
        "only {sent} got through: the damage is too great to tell anything"
    );
    let reasons: std::collections::BTreeSet<_> = spillway_lb::verdict::DropReason::ALL
        .iter()
        .filter(|reason| world.workers.iter().any(|worker| worker.counters.dropped(**reason) > 0))
        .map(|reason| reason.name())
        .collect();
    assert!(reasons.len() >= 25, "{reasons:?}");
}

#[test]
fn random_bytes_all_get_a_verdict() {
    let mut dice = Dice(Rng::new(0xbad));
    let mut world = world();
    for _ in 0..200 {
        let burst = (0..64).map(|_| {
            let length = dice.below(120);
            let mut frame: Vec<u8> = (0..length).map(|_| dice.byte()).collect();
            // To our door, half of them as IPv4.
            if let Some(head) = frame.first_chunk_mut::<12>() {
                *head = [2, 0, 0, 0, 0xb0, 0, 2, 0x10, 198, 51, 100, 7];
            }
            if frame.len() > 40 && dice.below(2) == 0 {
                frame[12..15].copy_from_slice(&[8, 0, 0x45]);
                frame = sealed(frame);
            }
            (FRONT, frame)
        });
        let burst = burst.collect();
        world.burst_at(0, burst);
        world.assert_laws();
    }
}

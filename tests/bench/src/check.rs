//! A fast wrong packet is a failure: frames that leave are compared with what they must be.

use anyhow::{Context, ensure};
use capsule::Burst;
use spillway_lb::batch::Verdicts;
use spillway_lb::conntrack::Direction;
use spillway_lb::forward::Origin;
use spillway_lb::ids::PortId;
use spillway_packet::tcp::TcpFlags;

use crate::template::{self, TTL};
use crate::world::{World, next_hop_mac};

/// Bursts of random flows that are looked at.
const BURSTS: usize = 16;

/// Sends bursts through and compares each frame that is about to leave, all bytes and both
/// checksums, with one that was built from nothing. Returns how many were compared.
pub(crate) fn frames(world: &mut World, direction: Direction) -> anyhow::Result<usize> {
    let mut source = world.source(direction)?;
    let (mut burst, mut verdicts) = (Burst::new(), Verdicts::new());
    let mut compared = 0;
    for _ in 0..BURSTS {
        let (_, now) = world.clock.read();
        let received = world.inlet.receive(&mut burst);
        let ids = source.picks(&world.flows, received);
        source.fill_with(&world.flows, &mut burst, ids.iter().copied());
        world.pipeline.process(now, Origin::Port, &mut burst, &mut verdicts);
        let leaving = world.pipeline.pending(PortId::new(0));
        ensure!(leaving.len() == ids.len(), "{} of {} frames leave", leaving.len(), ids.len());
        for (mbuf, id) in leaving.iter().zip(ids) {
            let tuple = world.flows.leaving(id, direction);
            let macs = (world.port_mac, next_hop_mac(tuple.dst)?);
            let flags = TcpFlags::ACK;
            let wanted = template::frame(world.flows.protocol, flags, macs, TTL - 1, tuple);
            ensure!(
                mbuf.data() == wanted,
                "flow {id}: the frame is {:02x?} and must be {wanted:02x?}",
                mbuf.data()
            );
            compared += 1;
        }
        world.pipeline.flush();
    }
    world.audit().context("after the check")?;
    Ok(compared)
}

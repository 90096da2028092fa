//! NodePorts whose backend is on another node: SNAT on the way out, undone NAT first, then conntrack.

use crate::frame::{ACK, SYN, tcp};
use crate::world::{ETH0_MAC, Hook, Spec, WORLD_MAC, World, original, reply};

const CLIENT: &str = "172.26.50.180:10000";
const FRONTEND: &str = "172.26.50.101:30645";
const LENT: &str = "172.26.50.101:31210";
const BACKEND: &str = "10.0.1.72:80";

#[test]
fn the_four_packets_of_the_classic_flow() {
    let mut world = World::new();
    world.serve(Spec::node_port(FRONTEND), &[BACKEND]);

    let asked = tcp(CLIENT, FRONTEND, SYN).macs(ETH0_MAC, WORLD_MAC);
    let out = world.run(Hook::FromNetdev, &asked);
    let forwarded = asked.translated(LENT, BACKEND).hops(63);
    out.redirected_as(&forwarded);

    let answered = forwarded.answer(SYN | ACK).macs(ETH0_MAC, WORLD_MAC);
    let out = world.run(Hook::FromNetdev, &answered);
    out.redirected_as(&answered.translated(FRONTEND, CLIENT).hops(63));
}

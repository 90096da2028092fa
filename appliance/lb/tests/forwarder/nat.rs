//! Translation as a law: what a backend returns reaches the client as if it had answered itself.

use std::net::{Ipv4Addr, SocketAddrV4};

use proptest::prelude::*;
use spillway_packet::addr;
use spillway_packet::build::{self, Builder};
use spillway_packet::tcp::TcpFlags;

use crate::world::*;

/// Any host that is not the box.
fn host() -> impl Strategy<Value = SocketAddrV4> {
    let address = any::<u32>().prop_map(Ipv4Addr::from).prop_filter("a host", |address| {
        let [a, b, ..] = address.octets();
        !addr::is_bogon_source(*address) && (a, b) != (172, 26) && (a, b) != (10, 0)
    });
    (address, 1u16..).prop_map(|(address, port)| SocketAddrV4::new(address, port))
}

/// The parts of a packet that a translation must leave alone.
#[derive(Clone, Debug)]
struct Rest {
    seq: u32,
    ack: u32,
    identification: u16,
    payload: Vec<u8>,
    without_checksum: bool,
}

fn rest() -> impl Strategy<Value = Rest> {
    let payload = proptest::collection::vec(any::<u8>(), 0..100);
    (any::<u32>(), any::<u32>(), any::<u16>(), payload, any::<bool>()).prop_map(
        |(seq, ack, identification, payload, without_checksum)| Rest {
            seq,
            ack,
            identification,
            payload,
            without_checksum,
        },
    )
}

impl Rest {
    fn around(&self, frame: Builder) -> Builder {
        let frame = frame
            .seq_ack(self.seq, self.ack)
            .identification(self.identification)
            .payload(&self.payload);
        if self.without_checksum { frame.without_udp_checksum() } else { frame }
    }

    fn tcp(&self, from: SocketAddrV4, to: SocketAddrV4, flags: TcpFlags) -> Builder {
        self.around(build::tcp(from, to).flags(flags))
    }

    fn udp(&self, from: SocketAddrV4, to: SocketAddrV4) -> Builder {
        self.around(build::udp(from, to))
    }
}

fn box_with(frontend: SocketAddrV4, backend: SocketAddrV4, snat: SocketAddrV4) -> World {
    let (frontend, backend) = (frontend.to_string(), backend.to_string());
    let any = service("any").tcp(&frontend).udp(&frontend).backend(&backend);
    Setup::new()
        .service(any)
        .snat(&snat.ip().to_string(), snat.port()..=snat.port())
        .flows_max(4)
        .snat_backends_max(4)
        .world()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    // `expect_egress` compares with a frame whose checksums were computed in full.
    #[test]
    fn reply_after_original_is_the_identity(
        client in host(), frontend in host(), backend in host(), snat in host(),
        there in rest(), back in rest(),
    ) {
        let addresses = [client, frontend, backend, snat].map(|end| *end.ip());
        prop_assume!(addresses.iter().all(|one| addresses.iter().filter(|other| one == *other).count() == 1));
        prop_assume!(!(61000..=65535).contains(&snat.port()));
        let mut world = box_with(frontend, backend, snat);
        world
            .ingress(there.tcp(client, frontend, SYN))
            .expect_egress(there.tcp(snat, backend, SYN));
        world
            .ingress(back.tcp(backend, snat, SYN_ACK))
            .expect_egress(back.tcp(frontend, client, SYN_ACK));
        world
            .ingress(there.udp(client, frontend))
            .expect_egress(there.udp(snat, backend));
        world
            .ingress(back.udp(backend, snat))
            .expect_egress(back.udp(frontend, client));
    }
}

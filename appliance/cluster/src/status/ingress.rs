//! `status.loadBalancer.ingress`: ours in the API's shape, and whose is what.

use std::net::IpAddr;

use super::{Circumstances, IngressPort, IpMode, Transport};
use crate::object;

/// `VIP` is what an absent `ipMode` means (KEP-1860).
const IP_MODE_DEFAULT: &str = "VIP";

pub(super) fn written(ingress: &super::Ingress) -> object::Ingress {
    object::Ingress {
        ip: Some(ingress.ip.to_string()),
        ip_mode: Some(
            match ingress.ip_mode {
                IpMode::Vip => IP_MODE_DEFAULT,
                IpMode::Proxy => "Proxy",
            }
            .to_owned(),
        ),
        hostname: None,
        ports: ingress.ports.iter().copied().map(written_port).collect(),
    }
}

fn written_port(port: IngressPort) -> object::IngressPort {
    let protocol = match port.protocol {
        Transport::Tcp => "TCP",
        Transport::Udp => "UDP",
        Transport::Sctp => "SCTP",
    };
    object::IngressPort {
        port: i64::from(port.port),
        protocol: protocol.to_owned(),
        error: port.error.map(|error| error.as_str().to_owned()),
    }
}

/// Whether both lists mean the same to whoever reads the API.
pub(super) fn same(one: &[object::Ingress], other: &[object::Ingress]) -> bool {
    let mode = |ingress: &object::Ingress| {
        let mode = ingress.ip_mode.clone();
        ingress.ip.is_some().then(|| mode.unwrap_or_else(|| IP_MODE_DEFAULT.to_owned()))
    };
    let is_same = |(a, b): (&object::Ingress, &object::Ingress)| {
        let same_ip = a.ip == b.ip || (address(a).is_some() && address(a) == address(b));
        same_ip && mode(a) == mode(b) && a.hostname == b.hostname && a.ports == b.ports
    };
    one.len() == other.len() && one.iter().zip(other).all(is_same)
}

/// What stays when the box withdraws its own addresses.
pub(super) fn foreign(
    ingress: &[object::Ingress],
    is_marked: bool,
    circumstances: &Circumstances<'_>,
) -> Vec<object::Ingress> {
    let is_ours = |ingress: &&object::Ingress| match address(ingress) {
        // Of an object that we served, an address whose pool is no longer configured is ours as well.
        Some(address) => is_marked || circumstances.book.owns(address),
        None => false,
    };
    ingress.iter().filter(|ingress| !is_ours(ingress)).cloned().collect()
}

fn address(ingress: &object::Ingress) -> Option<IpAddr> {
    ingress.ip.as_ref()?.parse().ok()
}

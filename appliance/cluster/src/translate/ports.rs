//! The ports of a Service.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use spillway_lb::model::Protocol;

use super::refused::RefusalReason as Why;
use super::spec::Verdict;
use crate::object::{Service, ServicePort, Shown};
use crate::status::{IngressPort, PortError, Transport};

/// Ports of one Service that are taken. Media servers with a range of ports fit in.
pub(crate) const PORTS_MAX: usize = 1024;

/// RFC 1123 label.
const NAME_LEN_MAX: usize = 63;

/// A port that can be served.
#[expect(clippy::struct_field_names, reason = "a nodePort is what the API calls it")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Port {
    /// The name, or `number/protocol` of an unnamed one. Unique in the Service.
    pub label: String,
    /// Empty when unnamed; slices call it the same.
    pub name: String,
    pub protocol: Protocol,
    pub number: u16,
    pub node_port: Option<u16>,
}

/// Why one port is not served.
pub(crate) struct Flaw {
    pub port: String,
    pub reason: Why,
    pub message: String,
}

/// The ports, sorted by their labels so that their order in the object means nothing.
pub(crate) struct Ports {
    pub good: Vec<Port>,
    pub flaws: Vec<Flaw>,
}

/// `node_ports`: the cluster's range of nodePorts.
pub(crate) fn read_ports(service: &Service, node_ports: &RangeInclusive<u16>) -> Verdict<Ports> {
    let said = &service.spec.ports;
    if said.len() > PORTS_MAX {
        return Err((
            Why::TooManyPorts,
            format!("has {} ports; at most {PORTS_MAX} are taken", said.len()),
        ));
    }
    if said.is_empty() {
        return Err((Why::Invalid, "has no ports".to_owned()));
    }
    let mut good = Vec::new();
    let mut flaws = Vec::new();
    let (mut labels, mut fronts) = (HashSet::new(), HashSet::new());
    for port in said {
        let label = label_of(port);
        let read = read_port(port, &label, node_ports).and_then(|port| {
            if labels.insert(port.label.clone()) && fronts.insert((port.protocol, port.number)) {
                Ok(port)
            } else {
                Err((
                    Why::Invalid,
                    "has the name or the number of another port of the Service".to_owned(),
                ))
            }
        });
        match read {
            Ok(port) => good.push(port),
            Err((reason, message)) => {
                let message = format!("port {label} {message}");
                flaws.push(Flaw { port: label, reason, message });
            }
        }
    }
    good.sort_by(|left: &Port, right: &Port| left.label.cmp(&right.label));
    flaws.sort_by(|left, right| left.port.cmp(&right.port));
    Ok(Ports { good, flaws })
}

/// All ports as the status lists them: every one or none, for so the API wants it.
pub(crate) fn said_ports(service: &Service) -> Vec<IngressPort> {
    let read = |port: &ServicePort| {
        let (protocol, error) = match protocol_text(&port.protocol) {
            "TCP" => (Transport::Tcp, None),
            "UDP" => (Transport::Udp, None),
            "SCTP" => (Transport::Sctp, Some(PortError::SctpNotServed)),
            _ => return None,
        };
        Some(IngressPort { port: port_number(port.port)?, protocol, error })
    };
    let ports = service.spec.ports.iter().take(PORTS_MAX).map(read);
    ports.collect::<Option<Vec<IngressPort>>>().unwrap_or_default()
}

fn label_of(port: &ServicePort) -> String {
    if port.name.is_empty() {
        format!("{}/{}", port.port, Shown(protocol_text(&port.protocol)))
    } else {
        Shown(&port.name).to_string()
    }
}

/// The API's default is TCP.
pub(crate) fn protocol_text(said: &str) -> &str {
    if said.is_empty() { "TCP" } else { said }
}

fn read_port(port: &ServicePort, label: &str, node_ports: &RangeInclusive<u16>) -> Verdict<Port> {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if port.name.len() > NAME_LEN_MAX || !port.name.bytes().all(good) {
        return Err((Why::Invalid, "has a name that Kubernetes does not allow".to_owned()));
    }
    let protocol = match protocol_text(&port.protocol) {
        "TCP" => Protocol::Tcp,
        "UDP" => Protocol::Udp,
        "SCTP" => return Err((Why::Sctp, "is SCTP, which is not forwarded".to_owned())),
        other => return Err((Why::Invalid, format!("has the unknown protocol {}", Shown(other)))),
    };
    let Some(number) = port_number(port.port) else {
        return Err((Why::Invalid, format!("has the number {}; allowed: 1 to 65535", port.port)));
    };
    let node_port = match port.node_port {
        0 => None,
        said => {
            // Within the range nothing but kube-proxy listens; outside of it kubelet, sshd and all the others do.
            let inside = port_number(said).filter(|it| node_ports.contains(it));
            let (low, high) = (node_ports.start(), node_ports.end());
            let flaw = || format!("has nodePort {said}, outside of {low}-{high}");
            Some(inside.ok_or_else(|| (Why::NodePortRange, flaw()))?)
        }
    };
    Ok(Port { label: label.to_owned(), name: port.name.clone(), protocol, number, node_port })
}

/// 1 to 65535.
pub(crate) fn port_number(said: i64) -> Option<u16> {
    u16::try_from(said).ok().filter(|port| *port > 0)
}

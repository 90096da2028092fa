//! Strings with a form that only a node's configuration has.

use std::net::{IpAddr, SocketAddr};

use spillway_cluster::node::Place;
use spillway_lb::model::Protocol;

use super::super::form::{Form, Wrong, any_address, listen, port};
use super::pattern::Pattern;

pub(super) const FRONTEND: Form<NodePlace> =
    Form::new("a frontend such as \"10.96.0.10:53/udp\" or \"*:30080\"", frontend);
pub(super) const SOCKET: Form<SocketAddr> =
    Form::new("an address and port such as \"10.244.1.7:80\" or \"[fd00::7]:80\"", socket);
pub(super) const PATTERN: Form<Pattern> =
    Form::new("the name of a device such as \"eth0\" or \"veth*\"", pattern);
pub(super) const OPTIONAL_LISTEN: Form<Option<SocketAddr>> =
    Form::new("an address and port, or \"\" for none", optional_listen);
/// RFC 1123 subdomain, as the kubelet names its node.
pub(super) const NODE_NAME: Form<String> = Form::new("the name of a node", node_name);

/// Where a static service answers.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodePlace {
    pub(super) place: Place,
    pub(super) port: u16,
    pub(super) protocol: Protocol,
}

/// `10.96.0.10:53/udp`, `[fd00::1]:53`, `*:30080`.
fn frontend(text: &str) -> Result<NodePlace, Wrong> {
    let (place, protocol) = match text.rsplit_once('/') {
        None => (text, Protocol::Tcp),
        Some((place, "tcp")) => (place, Protocol::Tcp),
        Some((place, "udp")) => (place, Protocol::Udp),
        Some((place, other)) => {
            return Err(Wrong::with_help(
                format!("\"{text}\": protocol \"{other}\" is not served"),
                format!("write \"{place}/tcp\" or \"{place}/udp\""),
            ));
        }
    };
    if let Some(number) = place.strip_prefix("*:") {
        return Ok(NodePlace { place: Place::Node, port: port(number, text)?, protocol });
    }
    let socket = socket(place)?;
    Ok(NodePlace { place: Place::Address(socket.ip()), port: socket.port(), protocol })
}

fn socket(text: &str) -> Result<SocketAddr, Wrong> {
    let bare = text.parse::<IpAddr>().ok();
    let (host, number) = match text.rsplit_once(':') {
        Some((host, number)) if bare.is_none() => (host, number),
        Some(_) | None => {
            let address = any_address(text)?;
            return Err(Wrong::with_help(
                format!("\"{text}\" has no port"),
                format!(
                    "write the port behind a colon, such as \"{}\"",
                    SocketAddr::new(address, 80)
                ),
            ));
        }
    };
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let address = any_address(inner.unwrap_or(host))?;
    if inner.is_some() != address.is_ipv6() {
        let help = format!("write \"{}\"", SocketAddr::new(address, port(number, text)?));
        return Err(Wrong::with_help(
            format!("\"{text}\": IPv6 stands in brackets, and nothing else does"),
            help,
        ));
    }
    Ok(SocketAddr::new(address, port(number, text)?))
}

/// What the kernel takes for a name (`IFNAMSIZ`), and stars.
fn pattern(text: &str) -> Result<Pattern, Wrong> {
    const BYTES_MAX: usize = 15;
    if text.is_empty() {
        return Err(Wrong::new("the name of a device cannot be empty"));
    }
    if text.len() > BYTES_MAX {
        return Err(Wrong::with_help(
            format!("\"{text}\" is {} bytes long", text.len()),
            format!("the kernel's names of devices have at most {BYTES_MAX}"),
        ));
    }
    if let Some(bad) = text.chars().find(|c| c.is_whitespace() || "/:".contains(*c)) {
        return Err(Wrong::new(format!("\"{text}\": a device's name cannot contain '{bad}'")));
    }
    Ok(Pattern::new(text.to_owned()))
}

fn optional_listen(text: &str) -> Result<Option<SocketAddr>, Wrong> {
    if text.is_empty() { Ok(None) } else { listen(text).map(Some) }
}

fn node_name(text: &str) -> Result<String, Wrong> {
    const LENGTH_MAX: usize = 253;
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
    if !text.is_empty() && text.len() <= LENGTH_MAX && text.bytes().all(good) {
        return Ok(text.to_owned());
    }
    Err(Wrong::with_help(
        format!("\"{text}\" is no name that a node has"),
        "the name that kubectl get nodes shows: at most 253 lower-case letters, digits, '-' and '.'",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frontend_is_an_address_or_the_node_with_a_port_and_a_protocol() {
        let good = [
            ("10.96.0.10:53/udp", "10.96.0.10:53", Protocol::Udp),
            ("10.96.0.10:53", "10.96.0.10:53", Protocol::Tcp),
            ("[fd00::1]:53/tcp", "[fd00::1]:53", Protocol::Tcp),
        ];
        for (text, socket, protocol) in good {
            let socket: SocketAddr = socket.parse().unwrap();
            let expected =
                NodePlace { place: Place::Address(socket.ip()), port: socket.port(), protocol };
            assert_eq!(frontend(text), Ok(expected), "{text}");
        }
        let node = NodePlace { place: Place::Node, port: 30_080, protocol: Protocol::Udp };
        assert_eq!(frontend("*:30080/udp"), Ok(node));
    }

    #[test]
    fn what_is_no_frontend_is_refused_with_its_reason() {
        let bad = [
            ("10.96.0.10", "\"10.96.0.10\" has no port"),
            ("fd00::1", "\"fd00::1\" has no port"),
            ("[fd00::1]", "\"[fd00:\" is not an IP address"),
            ("10.96.0.10:0", "\"10.96.0.10:0\": port 0 is no port"),
            ("*:0", "\"*:0\": port 0 is no port"),
            (
                "[10.96.0.10]:53",
                "\"[10.96.0.10]:53\": IPv6 stands in brackets, and nothing else does",
            ),
            ("10.96.0.10:53/sctp", "\"10.96.0.10:53/sctp\": protocol \"sctp\" is not served"),
            (
                "[::ffff:10.96.0.10]:53",
                "\"::ffff:10.96.0.10\" is an IPv4 address in the dress of IPv6",
            ),
            ("web:80", "\"web\" is not an IP address"),
        ];
        for (text, message) in bad {
            assert_eq!(frontend(text).unwrap_err().message, message, "{text}");
        }
    }
}

//! What Kubernetes calls things, networks of either family, and where an API server is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::{IpNet, Ipv4Net};
use spillway_cluster::Span;

use super::Wrong;

/// RFC 1123, section 2.1, as Kubernetes reads it: the name of a namespace.
pub(super) fn dns_label(text: &str) -> Result<String, Wrong> {
    const LENGTH_MAX: usize = 63;
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let is_label = !text.is_empty()
        && text.len() <= LENGTH_MAX
        && text.bytes().all(good)
        && !text.starts_with('-')
        && !text.ends_with('-');
    if is_label {
        return Ok(text.to_owned());
    }
    Err(Wrong::with_help(
        format!("\"{text}\" is no name that Kubernetes gives"),
        "1 to 63 lower-case letters, digits and '-', which is neither first nor last",
    ))
}

/// `namespace/name`.
pub(super) fn namespaced(text: &str) -> Result<(String, String), Wrong> {
    let Some((namespace, name)) = text.split_once('/') else {
        return Err(Wrong::with_help(
            format!("\"{text}\" has no namespace"),
            format!("write both, such as \"kube-system/{text}\""),
        ));
    };
    Ok((dns_label(namespace)?, dns_label(name)?))
}

/// What stands in a label's value, and behind the slash of a key.
fn is_label_part(text: &str) -> bool {
    const LENGTH_MAX: usize = 63;
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let ends = [text.bytes().next(), text.bytes().last()];
    text.len() <= LENGTH_MAX
        && text.bytes().all(inner)
        && ends.into_iter().flatten().all(|b| b.is_ascii_alphanumeric())
}

/// A key of a label, or a class: a name, perhaps with the domain of its author before it.
pub(super) fn qualified(text: &str) -> Result<String, Wrong> {
    const DOMAIN_MAX: usize = 253;
    let (domain, name) = match text.split_once('/') {
        Some((domain, name)) => (Some(domain), name),
        None => (None, text),
    };
    let is_domain = |domain: &str| {
        domain.len() <= DOMAIN_MAX && domain.split('.').all(|label| dns_label(label).is_ok())
    };
    if !name.is_empty() && is_label_part(name) && domain.is_none_or(is_domain) {
        return Ok(text.to_owned());
    }
    Err(Wrong::with_help(
        format!("\"{text}\" is no name that Kubernetes takes"),
        "a name of at most 63 letters, digits, '-', '_', '.', perhaps behind a domain, such as \"example.com/name\"",
    ))
}

pub(super) fn label_value(text: &str) -> Result<String, Wrong> {
    if is_label_part(text) {
        return Ok(text.to_owned());
    }
    Err(Wrong::with_help(
        format!("\"{text}\" is no value that a label can have"),
        "at most 63 letters, digits, '-', '_', '.', with a letter or digit at both ends",
    ))
}

/// `https://address:port`. Never `http`: whoever can read the watch can also write it.
pub(super) fn api_server(text: &str) -> Result<String, Wrong> {
    let bare = text.strip_suffix('/').unwrap_or(text);
    let Some(authority) = bare.strip_prefix("https://") else {
        let rest = bare.split_once("://").map_or(bare, |(_, rest)| rest);
        return Err(Wrong::with_help(
            format!("\"{text}\" does not start with https://"),
            format!("the API server is asked over TLS only; write \"https://{rest}\""),
        ));
    };
    if let Some(bad) = authority.chars().find(|c| "/?#@".contains(*c)) {
        return Err(Wrong::with_help(
            format!("\"{text}\" cannot contain '{bad}' behind https://"),
            "an address and a port, such as \"https://10.0.0.1:6443\"",
        ));
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (authority, None),
    };
    let is_v6 = |host: &str| {
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        inner.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok())
    };
    let host_is_good = host.split('.').all(|part| dns_label(part).is_ok()) || is_v6(host);
    let port_is_good = |port: &str| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    if !host_is_good || !port.is_none_or(port_is_good) {
        return Err(Wrong::with_help(
            format!("\"{text}\" names no address and port"),
            "write it as \"https://10.0.0.1:6443\" or \"https://[fd00::1]:6443\"",
        ));
    }
    Ok(bare.to_owned())
}

pub(in super::super) fn listen(text: &str) -> Result<SocketAddr, Wrong> {
    match text.parse::<SocketAddr>() {
        Ok(socket) if socket.port() > 0 => Ok(socket),
        Ok(_) => Err(Wrong::new(format!("\"{text}\": port 0 is no port"))),
        Err(_) => Err(Wrong::with_help(
            format!("\"{text}\" is not an address and port"),
            "write it as \"127.0.0.1:9100\" or \"[::1]:9100\"",
        )),
    }
}

pub(in super::super) fn any_address(text: &str) -> Result<IpAddr, Wrong> {
    match text.parse() {
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_some() => {
            let v4 = v6.to_ipv4_mapped().unwrap_or(Ipv4Addr::UNSPECIFIED);
            Err(Wrong::with_help(
                format!("\"{text}\" is an IPv4 address in the dress of IPv6"),
                format!("write \"{v4}\""),
            ))
        }
        Ok(address) => Ok(address),
        Err(_) => Err(Wrong::new(format!("\"{text}\" is not an IP address"))),
    }
}

/// A prefix of either family, without bits behind its length.
pub(super) fn network(text: &str) -> Result<IpNet, Wrong> {
    let Some((host, length)) = text.split_once('/') else {
        let host = any_address(text)?;
        return Err(Wrong::with_help(
            format!("\"{text}\" has no prefix length"),
            format!("write \"{}\" for this address alone", IpNet::from(host)),
        ));
    };
    let host = any_address(host)?;
    let longest = if host.is_ipv4() { 32 } else { 128 };
    let net = length.parse().ok().and_then(|length| IpNet::new(host, length).ok());
    let Some(net) = net else {
        return Err(Wrong::new(format!(
            "\"{text}\": the prefix length must be 0 to {longest}, not {length}"
        )));
    };
    if net.trunc() != net {
        return Err(Wrong::with_help(
            format!("\"{text}\" has bits set behind its prefix"),
            format!("write \"{}\" or \"{}\"", net.trunc(), IpNet::from(host)),
        ));
    }
    Ok(net)
}

/// Where a route leads.
pub(super) fn destination(text: &str) -> Result<Ipv4Net, Wrong> {
    match network(text)? {
        IpNet::V6(_) => Err(Wrong::with_help(
            format!("\"{text}\" is IPv6, which is not served yet"),
            "give an IPv4 prefix",
        )),
        IpNet::V4(net) if net.prefix_len() == 0 => Err(Wrong::with_help(
            format!("\"{text}\" is the way to everything"),
            "that is the gateway of a [[port]]",
        )),
        IpNet::V4(net) => Ok(net),
    }
}

/// Addresses of a pool: `203.0.113.0/28`, `198.51.100.10-198.51.100.20`, or one alone.
pub(super) fn span(text: &str) -> Result<Span, Wrong> {
    let Some((first, last)) = text.split_once('-') else {
        if text.contains('/') {
            return network(text).map(Span::Prefix);
        }
        return any_address(text).map(|address| Span::Prefix(IpNet::from(address)));
    };
    let (first, last) = (any_address(first.trim())?, any_address(last.trim())?);
    if first.is_ipv4() != last.is_ipv4() {
        return Err(Wrong::new(format!("\"{text}\" runs from one family into the other")));
    }
    if first > last {
        return Err(Wrong::with_help(
            format!("\"{text}\" runs backwards"),
            format!("write \"{last}-{first}\""),
        ));
    }
    Ok(Span::Range { first, last })
}

/// Empty: no file.
#[expect(clippy::unnecessary_wraps, reason = "the signature of every form")]
pub(super) fn optional_path(text: &str) -> Result<Option<PathBuf>, Wrong> {
    Ok((!text.is_empty()).then(|| PathBuf::from(text)))
}

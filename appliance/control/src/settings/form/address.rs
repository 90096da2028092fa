//! Addresses, ports, and what is made of them.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

use ipnet::Ipv4Net;
use spillway_lb::model::{Frontend, Protocol};

use super::Wrong;

pub(super) fn address(text: &str) -> Result<Ipv4Addr, Wrong> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let bare = text.trim_start_matches('[').split([']', '/', '%']).next().unwrap_or_default();
    if matches!(bare.parse(), Ok(IpAddr::V6(_))) {
        return Err(Wrong::with_help(
            format!("\"{text}\" is IPv6, which is not served yet"),
            "give an IPv4 address",
        ));
    }
    if let Some((address, _)) = text.split_once('/')
        && address.parse::<Ipv4Addr>().is_ok()
    {
        return Err(Wrong::with_help(
            format!("\"{text}\" has a prefix; a single address is meant here"),
            format!("write \"{address}\""),
        ));
    }
    Err(Wrong::new(format!("\"{text}\" is not an IPv4 address")))
}

pub(super) fn prefix(text: &str) -> Result<Ipv4Net, Wrong> {
    let Some((host, length)) = text.split_once('/') else {
        let host = address(text)?;
        return Err(Wrong::with_help(
            format!("\"{text}\" has no prefix length"),
            format!("say how much of it is on-link, such as \"{host}/24\""),
        ));
    };
    // IPv6 is told from a slip by `address`.
    let host = address(host)?;
    match length.parse() {
        Ok(length @ 8..=32) => Ipv4Net::new(host, length)
            .map_err(|_| Wrong::new(format!("\"{text}\" has a wrong prefix length"))),
        Ok(_) | Err(_) => {
            Err(Wrong::new(format!("\"{text}\": the prefix length must be 8 to 32, not {length}")))
        }
    }
}

pub(in super::super) fn port(text: &str, whole: &str) -> Result<u16, Wrong> {
    match text.parse() {
        Ok(0) => Err(Wrong::new(format!("\"{whole}\": port 0 is no port"))),
        Ok(port) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(port),
        Ok(_) | Err(_) => {
            Err(Wrong::new(format!("\"{whole}\": the port must be 1 to 65535, not \"{text}\"")))
        }
    }
}

pub(super) fn socket(text: &str) -> Result<(Ipv4Addr, u16), Wrong> {
    if text.matches(':').count() > 1 {
        // Two colons: IPv6 in brackets or bare, or nonsense; `address` says which.
        let host = text.rsplit_once("]:").map_or(text, |(host, _)| host);
        address(host)?;
    }
    let Some((host, number)) = text.split_once(':') else {
        let host = address(text)?;
        return Err(Wrong::with_help(
            format!("\"{text}\" has no port"),
            format!("write the port behind a colon, such as \"{host}:80\""),
        ));
    };
    Ok((address(host)?, port(number, text)?))
}

pub(super) fn frontend(text: &str) -> Result<Frontend, Wrong> {
    let (socket_text, protocol) = match text.rsplit_once('/') {
        None => (text, Protocol::Tcp),
        Some((socket, "tcp")) => (socket, Protocol::Tcp),
        Some((socket, "udp")) => (socket, Protocol::Udp),
        Some((socket, other)) => {
            return Err(Wrong::with_help(
                format!("\"{text}\": protocol \"{other}\" is not served"),
                format!("write \"{socket}/tcp\" or \"{socket}/udp\""),
            ));
        }
    };
    let (address, port) = socket(socket_text)?;
    Ok(Frontend { address: IpAddr::V4(address), port, protocol })
}

/// `31210` or `1024-60999`.
pub(super) fn ports(text: &str) -> Result<RangeInclusive<u16>, Wrong> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let (low, high) = (port(low.trim(), text)?, port(high.trim(), text)?);
    if low > high {
        return Err(Wrong::with_help(
            format!("\"{text}\" runs backwards"),
            format!("write \"{high}-{low}\""),
        ));
    }
    Ok(low..=high)
}

pub(super) fn mac(text: &str) -> Result<[u8; 6], Wrong> {
    let hex = |part: &str| match part.len() {
        2 if part.bytes().all(|b| b.is_ascii_hexdigit()) => u8::from_str_radix(part, 16).ok(),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = text.split(':').map(hex).collect();
    let mac: Option<[u8; 6]> = bytes.and_then(|bytes| bytes.try_into().ok());
    let Some(mac) = mac else {
        return Err(Wrong::with_help(
            format!("\"{text}\" is not a MAC address"),
            "six bytes in hexadecimal, such as \"02:00:00:00:00:72\"",
        ));
    };
    // IEEE 802: the lowest bit of the first byte makes an address a group's.
    if mac[0] & 1 == 1 {
        return Err(Wrong::new(format!("\"{text}\" is a multicast MAC; a neighbor has its own")));
    }
    if mac == [0; 6] {
        return Err(Wrong::new(format!("\"{text}\" is nobody's MAC")));
    }
    Ok(mac)
}

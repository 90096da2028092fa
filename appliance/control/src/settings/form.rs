//! Strings with a form: durations, addresses, ranges of ports.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::Ipv4Net;
use spillway_lb::model::{Frontend, Protocol};

use super::device::PciAddress;

/// Why a string is not of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) message: String,
    pub(super) help: Option<String>,
}

impl Wrong {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    pub(super) fn with_help(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: Some(help.into()) }
    }
}

/// How a string is read.
#[derive(Debug)]
pub(super) struct Form<T> {
    /// With its article and an example, for "expected ..., found an integer".
    pub(super) expected: &'static str,
    /// An integer means the same as its digits in quotes.
    pub(super) integer_too: bool,
    pub(super) parse: fn(&str) -> Result<T, Wrong>,
}

impl<T> Clone for Form<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Form<T> {}

impl<T> Form<T> {
    const fn new(expected: &'static str, parse: fn(&str) -> Result<T, Wrong>) -> Self {
        Self { expected, integer_too: false, parse }
    }
}

pub(super) const DURATION: Form<Duration> =
    Form::new("a duration such as \"500ms\" or \"2s\"", duration);
pub(super) const ADDRESS: Form<Ipv4Addr> =
    Form::new("an IPv4 address such as \"10.0.1.1\"", address);
pub(super) const PREFIX: Form<Ipv4Net> =
    Form::new("an address with its prefix such as \"10.0.1.1/24\"", prefix);
pub(super) const FRONTEND: Form<Frontend> =
    Form::new("a frontend such as \"172.26.50.101:80/tcp\"", frontend);
pub(super) const SOCKET: Form<(Ipv4Addr, u16)> =
    Form::new("an address and port such as \"10.0.1.72:80\"", socket);
pub(super) const PORTS: Form<RangeInclusive<u16>> =
    Form { expected: "a range of ports such as \"1024-60999\"", integer_too: true, parse: ports };
pub(super) const STATUSES: Form<RangeInclusive<u16>> = Form {
    expected: "a range of HTTP statuses such as \"200-399\"",
    integer_too: true,
    parse: statuses,
};
pub(super) const MAC: Form<[u8; 6]> = Form::new("a MAC address such as \"02:00:00:00:00:72\"", mac);
pub(super) const PCI: Form<PciAddress> = Form::new("a PCI address such as \"0000:03:00.0\"", pci);
pub(super) const INTERFACE: Form<String> =
    Form::new("the name of an interface such as \"eth1\"", interface);
/// Of the box or of a service.
pub(super) const NAME: Form<String> = Form::new("a string", |text| name(text, "-_./"));
/// Of a port; it becomes part of a DPDK device's name.
pub(super) const PORT_NAME: Form<String> = Form::new("a string", |text| name(text, "-_"));
pub(super) const PATH: Form<PathBuf> = Form::new("a path", path);
pub(super) const SOCKET_PATH: Form<PathBuf> = Form::new("the path of a socket", socket_path);
pub(super) const HTTP_PATH: Form<String> = Form::new("a path such as \"/healthz\"", http_path);
pub(super) const HTTP_HOST: Form<String> = Form::new("the name of a host", http_host);

/// `500ms`, `2s`, `1m`, `1h`, `1d`.
fn duration(text: &str) -> Result<Duration, Wrong> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit.trim_start() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => {
            return Err(Wrong::with_help(
                format!("\"{text}\" is not a duration"),
                "a whole number and ms, s, m, h or d, such as \"500ms\" or \"2s\"",
            ));
        }
    };
    let ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_ms));
    ms.map(Duration::from_millis)
        .ok_or_else(|| Wrong::new(format!("\"{text}\" is not a duration that fits")))
}

fn address(text: &str) -> Result<Ipv4Addr, Wrong> {
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

fn prefix(text: &str) -> Result<Ipv4Net, Wrong> {
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

fn port(text: &str, whole: &str) -> Result<u16, Wrong> {
    match text.parse() {
        Ok(0) => Err(Wrong::new(format!("\"{whole}\": port 0 is no port"))),
        Ok(port) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(port),
        Ok(_) | Err(_) => {
            Err(Wrong::new(format!("\"{whole}\": the port must be 1 to 65535, not \"{text}\"")))
        }
    }
}

fn socket(text: &str) -> Result<(Ipv4Addr, u16), Wrong> {
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

fn frontend(text: &str) -> Result<Frontend, Wrong> {
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
fn ports(text: &str) -> Result<RangeInclusive<u16>, Wrong> {
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

/// `204` or `200-399`.
fn statuses(text: &str) -> Result<RangeInclusive<u16>, Wrong> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let status = |part: &str| match part.trim().parse() {
        Ok(status @ 100..=599) => Ok(status),
        Ok(_) | Err(_) => {
            Err(Wrong::new(format!("\"{text}\": an HTTP status is 100 to 599, not \"{part}\"")))
        }
    };
    let (low, high): (u16, u16) = (status(low)?, status(high)?);
    if low > high {
        return Err(Wrong::with_help(
            format!("\"{text}\" runs backwards"),
            format!("write \"{high}-{low}\""),
        ));
    }
    Ok(low..=high)
}

fn mac(text: &str) -> Result<[u8; 6], Wrong> {
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

fn pci(text: &str) -> Result<PciAddress, Wrong> {
    let parse = || {
        let (rest, function) = text.rsplit_once('.')?;
        let (rest, device) = rest.rsplit_once(':')?;
        // lspci leaves out domain 0.
        let (domain, bus) = rest.rsplit_once(':').unwrap_or(("0000", rest));
        let address = PciAddress {
            domain: u16::from_str_radix(domain, 16).ok()?,
            bus: u8::from_str_radix(bus, 16).ok()?,
            device: u8::from_str_radix(device, 16).ok().filter(|device| *device < 32)?,
            function: function.parse().ok().filter(|function| *function < 8)?,
        };
        Some(address)
    };
    parse().ok_or_else(|| {
        Wrong::with_help(
            format!("\"{text}\" is not a PCI address"),
            "domain:bus:device.function as lspci -D shows it, such as \"0000:03:00.0\"",
        )
    })
}

/// What the kernel takes (`dev_valid_name`, `IFNAMSIZ`).
fn interface(text: &str) -> Result<String, Wrong> {
    const BYTES_MAX: usize = 15;
    if text.is_empty() || text == "." || text == ".." {
        return Err(Wrong::new(format!("\"{text}\" is no name for an interface")));
    }
    if text.len() > BYTES_MAX {
        return Err(Wrong::with_help(
            format!("\"{text}\" is {} bytes long", text.len()),
            format!("the kernel's names of interfaces have at most {BYTES_MAX}"),
        ));
    }
    // A comma would end the argument that hands the name to the driver.
    if let Some(bad) = text.chars().find(|c| c.is_whitespace() || "/:,=".contains(*c)) {
        return Err(Wrong::new(format!("\"{text}\": an interface's name cannot contain '{bad}'")));
    }
    Ok(text.to_owned())
}

fn name(text: &str, marks: &str) -> Result<String, Wrong> {
    const LENGTH_MAX: usize = 63;
    if text.is_empty() {
        return Err(Wrong::new("a name cannot be empty"));
    }
    let good = |c: &char| c.is_ascii_alphanumeric() || marks.contains(*c);
    if let Some(bad) = text.chars().find(|c| !good(c)) {
        let known: Vec<String> = marks.chars().map(|c| format!("'{c}'")).collect();
        return Err(Wrong::with_help(
            format!("\"{text}\" cannot contain '{bad}'"),
            format!("use letters, digits, {}", known.join(", ")),
        ));
    }
    if text.len() > LENGTH_MAX {
        return Err(Wrong::new(format!("\"{text}\" is longer than {LENGTH_MAX} characters")));
    }
    Ok(text.to_owned())
}

/// What may stand in a request line (RFC 9112, section 3.2.1).
fn http_path(text: &str) -> Result<String, Wrong> {
    if !text.starts_with('/') {
        return Err(Wrong::with_help(
            format!("\"{text}\" does not start with '/'"),
            format!("write \"/{text}\""),
        ));
    }
    if let Some(bad) = text.chars().find(|c| !c.is_ascii_graphic()) {
        return Err(Wrong::with_help(
            format!("\"{text}\" cannot contain {bad:?}"),
            "encode it with a percent sign, such as %20",
        ));
    }
    Ok(text.to_owned())
}

fn http_host(text: &str) -> Result<String, Wrong> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    match text.chars().find(|c| !good(*c)) {
        None if text.is_empty() => Err(Wrong::new("a host cannot be empty")),
        None => Ok(text.to_owned()),
        Some(bad) => Err(Wrong::new(format!("\"{text}\" cannot contain {bad:?}"))),
    }
}

fn path(text: &str) -> Result<PathBuf, Wrong> {
    if text.is_empty() {
        return Err(Wrong::new("a path cannot be empty"));
    }
    Ok(PathBuf::from(text))
}

fn socket_path(text: &str) -> Result<PathBuf, Wrong> {
    // unix(7): `sun_path` has 108 bytes, one of them for the NUL.
    const BYTES_MAX: usize = 107;
    if text.len() > BYTES_MAX {
        return Err(Wrong::with_help(
            format!("\"{text}\" is {} bytes long", text.len()),
            format!("the path of a Unix socket has at most {BYTES_MAX}"),
        ));
    }
    path(text)
}

//! Strings with a form: durations, addresses, ranges of ports.

mod address;
mod cluster;
mod duration;
mod http;

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use spillway_cluster::Span;
use spillway_lb::model::Frontend;

pub(super) use address::port;
pub(super) use cluster::{any_address, listen};
pub(super) use duration::words as duration_words;

use super::device::PciAddress;
use address::{address, frontend, mac, ports, prefix, socket};
use cluster::{
    api_server, destination, dns_label, label_value, namespaced, network, optional_path, qualified,
    span,
};
use duration::duration;
use http::{http_host, http_path, statuses};

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
    pub(super) const fn new(expected: &'static str, parse: fn(&str) -> Result<T, Wrong>) -> Self {
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
pub(super) const NETWORK: Form<IpNet> = Form::new("a prefix such as \"192.0.2.0/24\"", network);
pub(super) const DESTINATION: Form<Ipv4Net> =
    Form::new("a prefix such as \"10.244.1.0/24\"", destination);
pub(super) const SPAN: Form<Span> =
    Form::new("addresses such as \"203.0.113.0/28\" or \"198.51.100.10-198.51.100.20\"", span);
pub(super) const LISTEN: Form<SocketAddr> =
    Form::new("an address and port such as \"127.0.0.1:9100\"", listen);
pub(super) const API_SERVER: Form<String> =
    Form::new("a URL such as \"https://10.0.0.1:6443\"", api_server);
pub(super) const CONTEXT: Form<String> = Form::new("the name of a context", context);
pub(super) const CLASS: Form<String> = Form::new("a class such as \"spillway.io/box\"", qualified);
pub(super) const LABEL_KEY: Form<String> = Form::new("the key of a label", qualified);
pub(super) const LABEL_VALUE: Form<String> = Form::new("the value of a label", label_value);
pub(super) const NAMESPACE: Form<String> =
    Form::new("the name of a namespace such as \"default\"", dns_label);
pub(super) const LEASE: Form<(String, String)> =
    Form::new("a namespace and a name such as \"kube-system/spillway\"", namespaced);
pub(super) const OPTIONAL_PATH: Form<Option<PathBuf>> =
    Form::new("a path, or \"\" for none", optional_path);

/// A kubeconfig names its contexts as it likes.
fn context(text: &str) -> Result<String, Wrong> {
    if text.is_empty() {
        return Err(Wrong::with_help(
            "a context cannot be empty",
            "leave it out to take the kubeconfig's current one",
        ));
    }
    Ok(text.to_owned())
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

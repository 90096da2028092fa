//! The closed sets of words and the small values that rows and filters are made of.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Declares an enum whose JSON word, `Display` and `FromStr` are one and the same.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every word of the set, in order of declaration.
            pub const WORDS: &[&str] = &[$($word),+];

            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    other => Err(UnknownWord { word: other.to_owned(), known: Self::WORDS }),
                }
            }
        }
    };
}

/// A word that is not in its set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is none of {}", known.join(", "))]
pub struct UnknownWord {
    pub word: String,
    pub known: &'static [&'static str],
}

words!(
    /// Transport protocol of a frontend or a flow.
    Protocol {
        Tcp = "tcp",
        Udp = "udp",
        /// ICMP echo; where a port is shown it is the echo identifier.
        Icmp = "icmp",
    }
);
words!(
    /// What kind of frontend the Service declares. Forwarding is the same for all.
    FrontendKind {
        ClusterIp = "ClusterIP",
        NodePort = "NodePort",
        LoadBalancer = "LoadBalancer",
        ExternalIp = "ExternalIP",
    }
);
words!(
    /// Which backend a new flow gets.
    Scheduler { Random = "random", Maglev = "maglev" }
);
words!(
    /// Whether a backend takes new flows.
    BackendState {
        Active = "active",
        /// Its health check fails; the row's `reason` says how.
        Down = "down",
        /// Weight 0: keeps its flows and takes no new ones.
        Drained = "drained",
    }
);
words!(
    /// Where a flow stands; each state has its own idle timeout.
    FlowState {
        /// TCP: the client's SYN has passed.
        SynSent = "syn-sent",
        /// TCP: the backend's SYN+ACK has passed.
        SynReceived = "syn-received",
        /// TCP: data may pass both ways.
        Established = "established",
        /// TCP: the client has sent FIN, the backend may still send.
        FinClient = "fin-client",
        /// TCP: the backend has sent FIN, the client may still send.
        FinBackend = "fin-backend",
        /// TCP: both have sent FIN; the SNAT port rests until the record goes.
        Closing = "closing",
        /// TCP: a RST has passed; likewise.
        Reset = "reset",
        /// UDP, ICMP: the backend has not answered yet.
        Unreplied = "unreplied",
        /// UDP, ICMP: the backend has answered.
        Replied = "replied",
    }
);
words!(
    /// What is known about a next hop's MAC address.
    NeighborState {
        Reachable = "reachable",
        /// Known, and due to be asked again; still used.
        Stale = "stale",
        /// Asked for, not answered yet.
        Incomplete = "incomplete",
        /// Asked for in vain.
        Failed = "failed",
        /// From the configuration: never asked for, never changed.
        Static = "static",
    }
);
words!(
    /// What a health check says about its backend.
    HealthState { Up = "up", Down = "down", /// Not checked yet.
    Unknown = "unknown" }
);
words!(
    /// How a health check asks.
    CheckKind { Tcp = "tcp", Http = "http" }
);
words!(
    /// Link of a port.
    LinkState { Up = "up", Down = "down" }
);
words!(
    /// What a worker does when nothing arrives.
    PollMode {
        /// Polls without a pause.
        Busy = "busy",
        /// Backs off while idle.
        Adaptive = "adaptive",
    }
);
words!(
    /// Where Services and backends come from.
    Source { Static = "static", Kubernetes = "kubernetes" }
);
words!(
    /// A kind of object that the box watches.
    ObjectKind { Service = "Service", EndpointSlice = "EndpointSlice", Node = "Node" }
);

/// A 48-bit MAC address; in JSON `"02:00:00:00:00:01"`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress(pub [u8; 6]);

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, octet) in self.0.iter().enumerate() {
            let colon = if position == 0 { "" } else { ":" };
            write!(f, "{colon}{octet:02x}")?;
        }
        Ok(())
    }
}

impl From<MacAddress> for String {
    fn from(mac: MacAddress) -> Self {
        mac.to_string()
    }
}

impl FromStr for MacAddress {
    type Err = NotAMac;

    fn from_str(text: &str) -> Result<Self, NotAMac> {
        let bad = || NotAMac(text.to_owned());
        let mut octets = [0_u8; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            // `from_str_radix` alone would take a sign.
            let is_pair = |part: &&str| part.len() == 2 && !part.starts_with('+');
            let part = parts.next().filter(is_pair).ok_or_else(bad)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| bad())?;
        }
        if parts.next().is_some() { Err(bad()) } else { Ok(Self(octets)) }
    }
}

impl TryFrom<String> for MacAddress {
    type Error = NotAMac;

    fn try_from(text: String) -> Result<Self, NotAMac> {
        text.parse()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a MAC address such as 02:00:00:00:00:01")]
pub struct NotAMac(String);

/// Ports `first..=last`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortRange {
    pub first: u16,
    pub last: u16,
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// An address with an optional port, as a filter: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`,
/// `[2001:db8::1]:80`. In JSON it is this text.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressMatch {
    pub address: IpAddr,
    /// `None`: any port.
    pub port: Option<u16>,
}

impl AddressMatch {
    pub fn matches(&self, endpoint: SocketAddr) -> bool {
        self.address == endpoint.ip() && self.port.is_none_or(|port| port == endpoint.port())
    }
}

impl fmt::Display for AddressMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.address, port).fmt(f),
            None => self.address.fmt(f),
        }
    }
}

impl From<AddressMatch> for String {
    fn from(filter: AddressMatch) -> Self {
        filter.to_string()
    }
}

impl FromStr for AddressMatch {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self { address, port: None });
        }
        text.parse::<SocketAddr>()
            .map(|endpoint| Self { address: endpoint.ip(), port: Some(endpoint.port()) })
            .map_err(|_| NotAnAddress(text.to_owned()))
    }
}

impl TryFrom<String> for AddressMatch {
    type Error = NotAnAddress;

    fn try_from(text: String) -> Result<Self, NotAnAddress> {
        text.parse()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address such as 192.0.2.1, 192.0.2.1:80 or [2001:db8::1]:80")]
pub struct NotAnAddress(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_as_itself_in_text_and_in_json() {
        for word in FlowState::WORDS {
            let state: FlowState = word.parse().unwrap();
            assert_eq!(state.to_string(), *word);
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{word}\""));
            assert_eq!(serde_json::from_str::<FlowState>(&format!("\"{word}\"")).unwrap(), state);
        }
        let error = "tpc".parse::<Protocol>().unwrap_err();
        assert_eq!(error.to_string(), "`tpc` is none of tcp, udp, icmp");
    }

    #[test]
    fn a_mac_address_is_six_pairs_of_hex_digits_and_nothing_else() {
        let mac: MacAddress = "02:00:00:00:0a:FF".parse().unwrap();
        assert_eq!(mac, MacAddress([2, 0, 0, 0, 10, 255]));
        assert_eq!(mac.to_string(), "02:00:00:00:0a:ff");
        for wrong in [
            "",
            "02:00:00:00:00",
            "02:00:00:00:00:01:02",
            "2:0:0:0:0:1",
            "02-00-00-00-00-01",
            "02:00:00:00:00:0g",
            "02:00:00:00:00:+1",
        ] {
            assert!(wrong.parse::<MacAddress>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_address_filter_matches_any_port_unless_it_names_one() {
        let endpoint: SocketAddr = "192.0.2.1:80".parse().unwrap();
        for (filter, matches) in [
            ("192.0.2.1", true),
            ("192.0.2.1:80", true),
            ("192.0.2.1:81", false),
            ("192.0.2.2", false),
            ("192.0.2.2:80", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(
                filter.parse::<AddressMatch>().unwrap().matches(endpoint),
                matches,
                "{filter}"
            );
        }
        let six: SocketAddr = "[2001:db8::1]:80".parse().unwrap();
        assert!("2001:db8::1".parse::<AddressMatch>().unwrap().matches(six));
        assert!("[2001:db8::1]:80".parse::<AddressMatch>().unwrap().matches(six));
    }

    #[test]
    fn an_address_filter_reads_back_what_it_writes() {
        for text in ["192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]:80"] {
            let filter: AddressMatch = text.parse().unwrap();
            assert_eq!(filter.to_string(), text);
            let json = serde_json::to_string(&filter).unwrap();
            assert_eq!(serde_json::from_str::<AddressMatch>(&json).unwrap(), filter);
        }
        for wrong in ["", "192.0.2", "192.0.2.1:", "192.0.2.1:65536", ":80", "[2001:db8::1]", "web"]
        {
            assert!(wrong.parse::<AddressMatch>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_range_of_one_port_is_shown_as_that_port() {
        assert_eq!(PortRange { first: 31210, last: 31210 }.to_string(), "31210");
        assert_eq!(PortRange { first: 32768, last: 60999 }.to_string(), "32768-60999");
    }
}

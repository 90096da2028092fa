//! The rows of the maps, as the programs see them: `bpf/include/spillway/types.h`, field by field.
//!
//! Addresses and ports are in network order, everything else in the machine's. `tests/layout.rs` compares every
//! struct with the programs' BTF.
#![expect(unsafe_code, reason = "aya asks for a promise that a row is plain bytes")]

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use aya::Pod;

/// Part of the name of the folder that maps are pinned in. Grows with every change of a struct or of a map's kind,
/// so that programs never meet rows of another version.
pub const LAYOUT_VERSION: u32 = 1;

/// Peers of one unconnected UDP socket that are remembered at the same time.
pub const DATAGRAM_PEERS: usize = 8;
/// Service prefixes that [`Settings`] has room for.
pub const SERVICE_PREFIXES: usize = 4;

macro_rules! rows {
    ($($(#[$meta:meta])* $name:ident = $size:literal { $($(#[$field_meta:meta])* $field:ident: $type:ty,)+ })+) => {
        $(
            $(#[$meta])*
            #[repr(C)]
            #[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
            pub struct $name { $($(#[$field_meta])* pub $field: $type,)+ }

            const _: () = assert!(size_of::<$name>() == $size);

            // SAFETY: `repr(C)`, integers and arrays of them only, and no padding: every gap is a named field.
            unsafe impl Pod for $name {}
        )+
    };
}

/// An address of either family, IPv4 as `::ffff:a.b.c.d`, in network order.
#[repr(transparent)]
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(pub [u8; 16]);

// SAFETY: sixteen bytes, all of which may have any value.
unsafe impl Pod for Address {}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        Self(match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        })
    }
}

impl From<Address> for IpAddr {
    fn from(address: Address) -> Self {
        let v6 = Ipv6Addr::from(address.0);
        v6.to_ipv4_mapped().map_or(Self::V6(v6), Self::V4)
    }
}

/// A port in network order.
#[repr(transparent)]
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Be16(pub [u8; 2]);

// SAFETY: two bytes, both of which may have any value.
unsafe impl Pod for Be16 {}

impl From<u16> for Be16 {
    fn from(host: u16) -> Self {
        Self(host.to_be_bytes())
    }
}

impl From<Be16> for u16 {
    fn from(wire: Be16) -> Self {
        Self::from_be_bytes(wire.0)
    }
}

rows! {
    /// Key of `frontends`.
    #[derive(Hash, PartialOrd, Ord)]
    FrontendKey = 20 { address: Address, port: Be16, protocol: u8, scope: u8, }

    /// Row of `frontends`.
    Frontend = 24 {
        id: u32,
        service: u32,
        first: u32,
        count: u32,
        affinity_s: u32,
        flags: u16,
        kind: u8,
        pad: u8,
    }

    /// Row of `backends`.
    Backend = 32 { address: Address, port: Be16, state: u8, flags: u8, service: u32, pad: u64, }

    /// Row of `socket_peer`.
    Translation = 48 {
        frontend: Address,
        backend_address: Address,
        frontend_port: Be16,
        backend_port: Be16,
        backend: u32,
        service: u32,
        pad: u32,
    }

    /// Row of `socket_datagrams`.
    DatagramPeers = 392 { peer: [Translation; DATAGRAM_PEERS], next: u32, pad: u32, }

    /// Key of `affinity`.
    #[derive(Hash)]
    AffinityKey = 24 { client: Address, service: u32, pad: u32, }

    /// Row of `affinity`.
    Affinity = 16 { last_used_ns: u64, backend: u32, pad: u32, }

    /// Data of a key of `source_ranges`; aya adds the length of the prefix, which counts these 32 bits too.
    #[derive(Hash, PartialOrd, Ord)]
    SourceRange = 20 { service: u32, source: Address, }

    /// Row of `clients`.
    Client = 32 { ipv4: Address, ipv6: Address, }

    /// Key of `conntrack` and of `nat`.
    #[derive(Hash)]
    Tuple = 40 {
        source: Address,
        destination: Address,
        source_port: Be16,
        destination_port: Be16,
        protocol: u8,
        direction: u8,
        pad: u16,
    }

    /// Row of `conntrack`.
    Conntrack = 56 {
        last_seen_ns: u64,
        address: Address,
        port: Be16,
        flags: u16,
        service: u32,
        backend: u32,
        frontend: u32,
        packets: u64,
        bytes: u64,
    }

    /// Row of `nat`.
    Nat = 32 { last_seen_ns: u64, address: Address, port: Be16, pad: [u16; 3], }

    /// Row of `devices`.
    Device = 8 { way: u8, pad: [u8; 7], }

    /// A prefix of [`Settings`].
    Prefix = 32 { address: Address, mask: Address, }

    /// The one row of `settings`.
    Settings = 184 {
        node_ipv4: Address,
        node_ipv6: Address,
        host_netns: u64,
        snat_port_min: u16,
        snat_port_max: u16,
        node_port_min: u16,
        node_port_max: u16,
        flags: u32,
        service_prefixes: u32,
        service_prefix: [Prefix; SERVICE_PREFIXES],
    }

    /// What the ring `events` carries.
    DropEvent = 56 {
        at_ns: u64,
        tuple: Tuple,
        ifindex: u32,
        reason: u16,
        program: u8,
        pad: u8,
    }
}

macro_rules! flags {
    ($($(#[$meta:meta])* $name:ident: $type:ty = $value:expr;)+) => { $($(#[$meta])* pub const $name: $type = $value;)+ };
}

flags! {
    SCOPE_INTERNAL: u8 = 0;
    SCOPE_EXTERNAL: u8 = 1;

    FRONTEND_MAGLEV: u16 = 1;
    FRONTEND_GUARDED: u16 = 1 << 1;
    FRONTEND_TERMINATING: u16 = 1 << 2;
    FRONTEND_LOCAL: u16 = 1 << 3;
    FRONTEND_HOST_ONLY: u16 = 1 << 4;
    FRONTEND_ELSEWHERE: u16 = 1 << 5;

    BACKEND_FREE: u8 = 0;
    BACKEND_ACTIVE: u8 = 1;
    BACKEND_TERMINATING: u8 = 2;
    /// In `Backend::flags`.
    BACKEND_LOCAL: u8 = 1;

    DIRECTION_ORIGINAL: u8 = 0;
    DIRECTION_REPLY: u8 = 1;

    CONNTRACK_SEEN_REPLY: u16 = 1;
    CONNTRACK_CLOSING: u16 = 1 << 1;
    CONNTRACK_CLOSED: u16 = 1 << 2;
    CONNTRACK_EAST_WEST: u16 = 1 << 3;
    CONNTRACK_SNAT: u16 = 1 << 4;
    CONNTRACK_PASS: u16 = 1 << 5;

    WAY_PASS: u8 = 0;
    WAY_PEER: u8 = 1;
    WAY_NEIGHBOR: u8 = 2;

    SETTINGS_REFUSE_UNOWNED: u32 = 1;
    SETTINGS_GUARD_NODE_PORTS: u32 = 1 << 1;
}

/// The counters of the programs, in the order of `enum counter`, by their names in metrics.
pub const COUNTERS: [&str; 13] = [
    "connect",
    "connect-refused",
    "send",
    "send-refused",
    "send-reselected",
    "receive",
    "peer-name",
    "bind-refused",
    "flows-new",
    "forward",
    "reply",
    "conntrack-failed",
    "nat-retries",
];

/// The programs, in the order of `enum program`.
pub const PROGRAMS: [&str; 5] =
    ["socket", "from-netdev", "to-netdev", "from-container", "to-container"];

impl FrontendKey {
    pub fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address.into(), self.port.into())
    }
}

impl Backend {
    pub fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address.into(), self.port.into())
    }
}

impl Tuple {
    pub fn source(&self) -> SocketAddr {
        SocketAddr::new(self.source.into(), self.source_port.into())
    }

    pub fn destination(&self) -> SocketAddr {
        SocketAddr::new(self.destination.into(), self.destination_port.into())
    }
}

//! The admin protocol: what `spillwayd` answers on its Unix socket, and the words it uses.
//!
//! One connection carries one request: the client sends one JSON line, the daemon answers with
//! lines and closes. Every answer has the same form, so that a list of a million flows needs no
//! more memory on either side than one row:
//!
//! ```text
//! > {"version":1,"request":"service_list"}
//! < {"header":{"version":1,"kind":"services"}}
//! < {"row":{"id":1,"frontend":"172.26.50.101:30645", ...}}
//! < {"trailer":{"count":1,"truncated":false}}
//! ```
//!
//! An answer that does not end in a trailer was cut off; an `error` line ends it early.
//!
//! Invariants: every line is one JSON object without a raw line feed; no request is longer than
//! [`REQUEST_BYTES_MAX`], no response line longer than [`RESPONSE_BYTES_MAX`]. Field names and
//! units are stable within a [`VERSION`]; fields may be added, so readers ignore unknown ones.
//!
//! This crate must never depend on DPDK, on an async runtime or on the data plane: the daemon
//! translates its own types into these rows, and the command line starts with nothing else.

pub mod client;
pub mod request;
pub mod response;
pub mod rows;
pub mod values;

pub use request::{
    ConntrackFilter, ProtocolError, Request, ServiceFilter, decode_request, encode_request,
};
pub use response::{
    ErrorCode, Failure, Header, Kind, Response, Row, Trailer, decode_response, encode_error,
    encode_header, encode_list, encode_row, encode_trailer,
};
pub use rows::{
    AcceptedRow, BackendRow, ClusterStatus, ConntrackRow, DropReport, DropRow, FeedStatus,
    HealthRow, LeaderStatus, NeighborRow, NodeRow, PacketTotals, PoolRow, PortRow, RefusedRow,
    ServiceBackendRow, ServiceRow, SnatRow, Status, WorkerRow, WriteCounts,
};
pub use values::{
    AddressMatch, BackendState, CheckKind, FlowState, FrontendKind, HealthState, LinkState,
    MacAddress, NeighborState, ObjectKind, PollMode, PortRange, Protocol, Scheduler, Source,
};

/// Version of the protocol and of the JSON that the command line prints. Grows when a field goes,
/// or changes its name, unit or set of values.
pub const VERSION: u32 = 1;

/// Where the daemon listens unless it is told otherwise.
pub const SOCKET_DEFAULT: &str = "/run/spillway/admin.sock";

/// Environment variable that names another socket to the command line.
pub const SOCKET_ENV: &str = "SPILLWAY_ADMIN_SOCKET";

/// Longest request line in bytes, line feed included.
pub const REQUEST_BYTES_MAX: usize = 4096;

/// Longest response line in bytes, line feed included: a Service with 65,535 backends fits.
pub const RESPONSE_BYTES_MAX: usize = 16 << 20;

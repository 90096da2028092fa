//! Requests: one JSON line, `{"version":1,"request":NAME}` with a `filter` for `conntrack_list`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::response::{ErrorCode, Kind};
use crate::rows::ConntrackRow;
use crate::values::{AddressMatch, FlowState, Protocol};
use crate::{REQUEST_BYTES_MAX, VERSION};

/// What a client may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Status,
    ServiceList,
    BackendList,
    ConntrackList(ConntrackFilter),
    SnatList,
    NeighborList,
    HealthList,
    PortList,
    Drops,
}

impl Request {
    /// The request's name on the wire.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::ServiceList => "service_list",
            Self::BackendList => "backend_list",
            Self::ConntrackList(_) => "conntrack_list",
            Self::SnatList => "snat_list",
            Self::NeighborList => "neighbor_list",
            Self::HealthList => "health_list",
            Self::PortList => "port_list",
            Self::Drops => "drops",
        }
    }

    /// What the rows of the answer are.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Status => Kind::Status,
            Self::ServiceList => Kind::Services,
            Self::BackendList => Kind::Backends,
            Self::ConntrackList(_) => Kind::Conntrack,
            Self::SnatList => Kind::Snat,
            Self::NeighborList => Kind::Neighbors,
            Self::HealthList => Kind::Health,
            Self::PortList => Kind::Ports,
            Self::Drops => Kind::Drops,
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "status" => Self::Status,
            "service_list" => Self::ServiceList,
            "backend_list" => Self::BackendList,
            "conntrack_list" => Self::ConntrackList(ConntrackFilter::default()),
            "snat_list" => Self::SnatList,
            "neighbor_list" => Self::NeighborList,
            "health_list" => Self::HealthList,
            "port_list" => Self::PortList,
            "drops" => Self::Drops,
            _ => return None,
        })
    }
}

/// Which flows to list: those that satisfy every condition that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConntrackFilter {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<AddressMatch>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frontend: Option<AddressMatch>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<AddressMatch>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snat: Option<AddressMatch>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<FlowState>,
    /// Most rows to list; `None`: all. With more flows than this the trailer says `truncated`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

impl ConntrackFilter {
    /// Whether a flow satisfies every condition. The limit is the lister's business.
    pub fn matches(&self, row: &ConntrackRow) -> bool {
        self.client.is_none_or(|wanted| wanted.matches(row.client))
            && self.frontend.is_none_or(|wanted| wanted.matches(row.frontend))
            && self.backend.is_none_or(|wanted| wanted.matches(row.backend))
            && self.snat.is_none_or(|wanted| wanted.matches(row.snat))
            && self.protocol.is_none_or(|wanted| wanted == row.protocol)
            && self.state.is_none_or(|wanted| wanted == row.state)
    }
}

/// Why a line is no request. The daemon answers with [`crate::encode_error`] and closes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    #[error("a request is at most {REQUEST_BYTES_MAX} bytes long")]
    TooLong,
    #[error("not a request: {0}")]
    Malformed(String),
    #[error("protocol version {asked} was asked for, this daemon speaks version {VERSION}")]
    UnsupportedVersion { asked: u64 },
    #[error("request `{0}` is unknown to this daemon")]
    UnknownRequest(String),
    #[error("bad filter: {0}")]
    BadFilter(String),
}

impl ProtocolError {
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::TooLong => ErrorCode::TooLong,
            Self::Malformed(_) => ErrorCode::Malformed,
            Self::UnsupportedVersion { .. } => ErrorCode::UnsupportedVersion,
            Self::UnknownRequest(_) => ErrorCode::UnknownRequest,
            Self::BadFilter(_) => ErrorCode::BadFilter,
        }
    }
}

/// Reads one request line; a trailing line feed may be there or not.
///
/// # Errors
/// The version is judged first, then the name, then the rest, so that an older daemon tells a
/// newer client what is really wrong. Unknown fields are refused: a misspelt filter that were
/// ignored would list everything.
pub fn decode_request(line: &str) -> Result<Request, ProtocolError> {
    if line.len() > REQUEST_BYTES_MAX {
        return Err(ProtocolError::TooLong);
    }
    let mut fields: Map<String, Value> =
        serde_json::from_str(line).map_err(|error| ProtocolError::Malformed(error.to_string()))?;
    let version = fields
        .remove("version")
        .as_ref()
        .and_then(Value::as_u64)
        .ok_or_else(|| ProtocolError::Malformed("`version` must be a number".to_owned()))?;
    if version != u64::from(VERSION) {
        return Err(ProtocolError::UnsupportedVersion { asked: version });
    }
    let Some(Value::String(name)) = fields.remove("request") else {
        return Err(ProtocolError::Malformed("`request` must be a string".to_owned()));
    };
    let mut request = Request::from_name(&name).ok_or(ProtocolError::UnknownRequest(name))?;
    if let Request::ConntrackList(filter) = &mut request
        && let Some(value) = fields.remove("filter")
    {
        *filter = serde_json::from_value(value)
            .map_err(|error| ProtocolError::BadFilter(error.to_string()))?;
    }
    match fields.keys().next() {
        None => Ok(request),
        Some(key) => Err(ProtocolError::Malformed(format!(
            "`{key}` is no field of request `{}`",
            request.name()
        ))),
    }
}

/// Writes a request as one line, line feed included.
pub fn encode_request(request: &Request) -> String {
    let mut fields = Map::new();
    fields.insert("version".to_owned(), VERSION.into());
    fields.insert("request".to_owned(), request.name().into());
    if let Request::ConntrackList(filter) = request
        && *filter != ConntrackFilter::default()
        && let Ok(value) = serde_json::to_value(filter)
    {
        fields.insert("filter".to_owned(), value);
    }
    format!("{}\n", Value::Object(fields))
}

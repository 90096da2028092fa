//! Requests: one JSON line, `{"version":1,"request":NAME}`, for some with a `filter` or a `kind`.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::response::{ErrorCode, Kind};
use crate::rows::ConntrackRow;
use crate::values::{AddressMatch, FlowState, ObjectKind, Protocol};
use crate::{REQUEST_BYTES_MAX, VERSION};

/// What a client may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Status,
    ServiceList(ServiceFilter),
    BackendList,
    ConntrackList(ConntrackFilter),
    SnatList,
    NeighborList,
    HealthList,
    PortList,
    Drops,
    /// What is not served, and why.
    RefusedList(ServiceFilter),
    NodeList,
    PoolList,
    /// Takes a list that the shrink guard holds as it is: of one kind, or of all. The one request
    /// that changes something.
    AcceptShrink(Option<ObjectKind>),
}

impl Request {
    /// The request's name on the wire.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::ServiceList(_) => "service_list",
            Self::BackendList => "backend_list",
            Self::ConntrackList(_) => "conntrack_list",
            Self::SnatList => "snat_list",
            Self::NeighborList => "neighbor_list",
            Self::HealthList => "health_list",
            Self::PortList => "port_list",
            Self::Drops => "drops",
            Self::RefusedList(_) => "refused_list",
            Self::NodeList => "node_list",
            Self::PoolList => "pool_list",
            Self::AcceptShrink(_) => "accept_shrink",
        }
    }

    /// What the rows of the answer are.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Status => Kind::Status,
            Self::ServiceList(_) => Kind::Services,
            Self::BackendList => Kind::Backends,
            Self::ConntrackList(_) => Kind::Conntrack,
            Self::SnatList => Kind::Snat,
            Self::NeighborList => Kind::Neighbors,
            Self::HealthList => Kind::Health,
            Self::PortList => Kind::Ports,
            Self::Drops => Kind::Drops,
            Self::RefusedList(_) => Kind::Refused,
            Self::NodeList => Kind::Nodes,
            Self::PoolList => Kind::Pools,
            Self::AcceptShrink(_) => Kind::Accepted,
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "status" => Self::Status,
            "service_list" => Self::ServiceList(ServiceFilter::default()),
            "backend_list" => Self::BackendList,
            "conntrack_list" => Self::ConntrackList(ConntrackFilter::default()),
            "snat_list" => Self::SnatList,
            "neighbor_list" => Self::NeighborList,
            "health_list" => Self::HealthList,
            "port_list" => Self::PortList,
            "drops" => Self::Drops,
            "refused_list" => Self::RefusedList(ServiceFilter::default()),
            "node_list" => Self::NodeList,
            "pool_list" => Self::PoolList,
            "accept_shrink" => Self::AcceptShrink(None),
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

/// Which Services to list: those that satisfy every condition that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceFilter {
    /// The namespace, in whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// A part of the name, without the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl ServiceFilter {
    /// Whether a Service of this name, `namespace/name` or a bare one, satisfies every condition.
    pub fn matches(&self, service: &str) -> bool {
        let (namespace, name) = match service.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, service),
        };
        self.namespace.as_deref().is_none_or(|wanted| namespace == Some(wanted))
            && self.name.as_deref().is_none_or(|part| name.contains(part))
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
    match &mut request {
        Request::ConntrackList(filter) => read_filter(&mut fields, filter)?,
        Request::ServiceList(filter) | Request::RefusedList(filter) => {
            read_filter(&mut fields, filter)?;
        }
        Request::AcceptShrink(kind) => {
            if let Some(value) = fields.remove("kind") {
                *kind = serde_json::from_value(value)
                    .map_err(|error| ProtocolError::Malformed(format!("`kind`: {error}")))?;
            }
        }
        Request::Status
        | Request::BackendList
        | Request::SnatList
        | Request::NeighborList
        | Request::HealthList
        | Request::PortList
        | Request::Drops
        | Request::NodeList
        | Request::PoolList => {}
    }
    match fields.keys().next() {
        None => Ok(request),
        Some(key) => Err(ProtocolError::Malformed(format!(
            "`{key}` is no field of request `{}`",
            request.name()
        ))),
    }
}

fn read_filter<F: DeserializeOwned>(
    fields: &mut Map<String, Value>,
    filter: &mut F,
) -> Result<(), ProtocolError> {
    let Some(value) = fields.remove("filter") else { return Ok(()) };
    // Serde would also read a list, field by field in the order of their declaration.
    if !value.is_object() {
        return Err(ProtocolError::BadFilter("`filter` must be an object".to_owned()));
    }
    *filter = serde_json::from_value(value)
        .map_err(|error| ProtocolError::BadFilter(error.to_string()))?;
    Ok(())
}

/// Writes a request as one line, line feed included.
pub fn encode_request(request: &Request) -> String {
    let mut fields = Map::new();
    fields.insert("version".to_owned(), VERSION.into());
    fields.insert("request".to_owned(), request.name().into());
    let extra = match request {
        Request::ConntrackList(filter) if *filter != ConntrackFilter::default() => {
            serde_json::to_value(filter).ok().map(|value| ("filter", value))
        }
        Request::ServiceList(filter) | Request::RefusedList(filter)
            if *filter != ServiceFilter::default() =>
        {
            serde_json::to_value(filter).ok().map(|value| ("filter", value))
        }
        Request::AcceptShrink(Some(kind)) => Some(("kind", kind.as_str().into())),
        Request::Status
        | Request::ServiceList(_)
        | Request::BackendList
        | Request::ConntrackList(_)
        | Request::SnatList
        | Request::NeighborList
        | Request::HealthList
        | Request::PortList
        | Request::Drops
        | Request::RefusedList(_)
        | Request::NodeList
        | Request::PoolList
        | Request::AcceptShrink(None) => None,
    };
    if let Some((key, value)) = extra {
        fields.insert(key.to_owned(), value);
    }
    format!("{}\n", Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests() -> Vec<Request> {
        let filter = ConntrackFilter {
            client: Some("192.0.2.1".parse().unwrap()),
            frontend: Some("192.0.2.10:80".parse().unwrap()),
            backend: Some("10.0.1.72:80".parse().unwrap()),
            snat: Some("[2001:db8::1]:31210".parse().unwrap()),
            protocol: Some(Protocol::Tcp),
            state: Some(FlowState::FinClient),
            limit: Some(u64::MAX),
        };
        let services = ServiceFilter {
            namespace: Some("default".to_owned()),
            name: Some("web:\n\"".to_owned()),
        };
        vec![
            Request::Status,
            Request::ServiceList(ServiceFilter::default()),
            Request::ServiceList(services.clone()),
            Request::BackendList,
            Request::ConntrackList(ConntrackFilter::default()),
            Request::ConntrackList(filter),
            Request::SnatList,
            Request::NeighborList,
            Request::HealthList,
            Request::PortList,
            Request::Drops,
            Request::RefusedList(ServiceFilter::default()),
            Request::RefusedList(services),
            Request::NodeList,
            Request::PoolList,
            Request::AcceptShrink(None),
            Request::AcceptShrink(Some(ObjectKind::EndpointSlice)),
        ]
    }

    #[test]
    fn every_request_reads_back_as_it_was_written() {
        for request in requests() {
            let line = encode_request(&request);
            assert_eq!(line.find('\n'), Some(line.len() - 1), "{line}");
            assert!(line.len() < REQUEST_BYTES_MAX);
            assert_eq!(decode_request(&line), Ok(request));
        }
    }

    #[test]
    fn the_version_is_judged_before_the_rest() {
        let newer = r#"{"version":2,"request":"explain","flow":[1]}"#;
        assert_eq!(decode_request(newer), Err(ProtocolError::UnsupportedVersion { asked: 2 }));
        let unknown = r#"{"version":1,"request":"explain","flow":[1]}"#;
        assert_eq!(decode_request(unknown), Err(ProtocolError::UnknownRequest("explain".into())));
    }

    #[test]
    fn what_is_no_request_is_refused_with_its_code() {
        for (line, code) in [
            ("", ErrorCode::Malformed),
            ("status", ErrorCode::Malformed),
            ("[]", ErrorCode::Malformed),
            ("{}", ErrorCode::Malformed),
            (r#"{"version":1}"#, ErrorCode::Malformed),
            (r#"{"version":"1","request":"status"}"#, ErrorCode::Malformed),
            (r#"{"version":-1,"request":"status"}"#, ErrorCode::Malformed),
            (r#"{"version":1,"request":7}"#, ErrorCode::Malformed),
            (r#"{"version":1,"request":"status"} {}"#, ErrorCode::Malformed),
            (r#"{"version":1,"request":"status","filter":{}}"#, ErrorCode::Malformed),
            (r#"{"version":1,"request":"conntrack_list","limit":1}"#, ErrorCode::Malformed),
            (r#"{"version":0,"request":"status"}"#, ErrorCode::UnsupportedVersion),
            (r#"{"version":1,"request":"Status"}"#, ErrorCode::UnknownRequest),
            (r#"{"version":1,"request":"conntrack_list","filter":[]}"#, ErrorCode::BadFilter),
            (
                r#"{"version":1,"request":"conntrack_list","filter":{"cleint":"192.0.2.1"}}"#,
                ErrorCode::BadFilter,
            ),
            (
                r#"{"version":1,"request":"conntrack_list","filter":{"client":"192.0.2"}}"#,
                ErrorCode::BadFilter,
            ),
            (
                r#"{"version":1,"request":"conntrack_list","filter":{"limit":-1}}"#,
                ErrorCode::BadFilter,
            ),
            (
                r#"{"version":1,"request":"service_list","filter":{"client":"192.0.2.1"}}"#,
                ErrorCode::BadFilter,
            ),
            (r#"{"version":1,"request":"refused_list","filter":{"name":7}}"#, ErrorCode::BadFilter),
            (r#"{"version":1,"request":"node_list","filter":{}}"#, ErrorCode::Malformed),
            (r#"{"version":1,"request":"node_list","kind":"Node"}"#, ErrorCode::Malformed),
            (r#"{"version":1,"request":"accept_shrink","kind":"Pod"}"#, ErrorCode::Malformed),
        ] {
            let error = decode_request(line).unwrap_err();
            assert_eq!(error.code(), code, "{line}: {error}");
        }
    }

    #[test]
    fn a_line_beyond_the_limit_is_not_even_read() {
        let mut line = encode_request(&Request::Status);
        line.extend(std::iter::repeat_n(' ', REQUEST_BYTES_MAX - line.len()));
        assert_eq!(decode_request(&line), Ok(Request::Status));
        line.push(' ');
        assert_eq!(decode_request(&line), Err(ProtocolError::TooLong));
    }

    #[test]
    fn nested_rubbish_is_an_error_and_no_stack_overflow() {
        let line = "[".repeat(REQUEST_BYTES_MAX);
        assert_eq!(decode_request(&line).unwrap_err().code(), ErrorCode::Malformed);
    }

    #[test]
    fn a_flow_is_listed_only_if_every_condition_holds() {
        let row = ConntrackRow {
            protocol: Protocol::Tcp,
            client: "192.0.2.1:4000".parse().unwrap(),
            frontend: "192.0.2.10:80".parse().unwrap(),
            snat: "10.0.1.1:31210".parse().unwrap(),
            backend: "10.0.1.72:8080".parse().unwrap(),
            state: FlowState::Established,
            idle_seconds: 0,
            expires_seconds: 0,
            worker: 0,
            service: None,
        };
        let lists = |filter: &str| {
            let line = format!(r#"{{"version":1,"request":"conntrack_list","filter":{filter}}}"#);
            let request = decode_request(&line).unwrap();
            matches!(request, Request::ConntrackList(filter) if filter.matches(&row))
        };
        for matching in [
            "{}",
            r#"{"client":"192.0.2.1"}"#,
            r#"{"client":"192.0.2.1:4000","frontend":"192.0.2.10:80","snat":"10.0.1.1:31210",
                "backend":"10.0.1.72:8080","protocol":"tcp","state":"established"}"#,
        ] {
            assert!(lists(matching), "{matching}");
        }
        for other in [
            r#"{"client":"192.0.2.2"}"#,
            r#"{"frontend":"192.0.2.10:81"}"#,
            r#"{"snat":"10.0.1.1:31211"}"#,
            r#"{"backend":"10.0.1.73"}"#,
            r#"{"protocol":"udp"}"#,
            r#"{"state":"closing"}"#,
            r#"{"client":"192.0.2.1","state":"closing"}"#,
        ] {
            assert!(!lists(other), "{other}");
        }
    }

    #[test]
    fn a_service_is_listed_by_its_whole_namespace_and_by_any_part_of_its_name() {
        let filter = |namespace: Option<&str>, name: Option<&str>| ServiceFilter {
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
        };
        for (namespace, name, matches) in [
            (None, None, true),
            (Some("shop"), None, true),
            (Some("sho"), None, false),
            (None, Some("web"), true),
            (None, Some(":http"), true),
            (None, Some("shop"), false),
            (Some("shop"), Some("eb"), true),
            (Some("bank"), Some("web"), false),
        ] {
            let filter = filter(namespace, name);
            assert_eq!(filter.matches("shop/web:http"), matches, "{filter:?}");
        }
        assert!(filter(None, Some("web")).matches("web"), "a bare name has no namespace");
        assert!(!filter(Some("web"), None).matches("web"));
    }
}

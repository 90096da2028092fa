//! Responses: a header line, one line per row, a trailer line; or an error line.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::request::ProtocolError;
use crate::{RESPONSE_BYTES_MAX, VERSION};

/// What the rows of an answer are.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Status,
    Services,
    Backends,
    Conntrack,
    Snat,
    Neighbors,
    Health,
    Ports,
    Drops,
    Refused,
    Nodes,
    Pools,
    Accepted,
}

/// A type that answers consist of, each line one value.
pub trait Row: Serialize + DeserializeOwned {
    const KIND: Kind;
}

/// One line of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response<R> {
    /// The first line.
    Header(Header),
    Row(R),
    /// The last line of a complete answer.
    Trailer(Trailer),
    /// The last line of an answer that failed, at whatever point.
    Error(Failure),
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the protocol that the rows follow.
    pub version: u32,
    pub kind: Kind,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trailer {
    /// Rows that were sent.
    pub count: u64,
    /// The limit of the request cut the list.
    pub truncated: bool,
}

/// Why there is no answer, or no more of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub code: ErrorCode,
    /// A sentence for people.
    pub message: String,
}

/// What went wrong, for programs.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request line is longer than allowed.
    TooLong,
    /// The line is no request.
    Malformed,
    UnsupportedVersion,
    UnknownRequest,
    BadFilter,
    /// Too many clients at once; try again.
    Busy,
    /// There is no cluster: the box takes its Services from the configuration.
    NoCluster,
    /// The daemon could not collect the answer.
    Internal,
    /// A code that this version of the crate does not know.
    #[serde(other)]
    Other,
}

impl From<&ProtocolError> for Failure {
    fn from(error: &ProtocolError) -> Self {
        Self { code: error.code(), message: error.to_string() }
    }
}

/// The first line of an answer, line feed included.
pub fn encode_header(kind: Kind) -> String {
    encode(&Response::<()>::Header(Header { version: VERSION, kind }))
}

/// One row, line feed included. A row longer than [`RESPONSE_BYTES_MAX`] becomes an error line.
pub fn encode_row<R: Row>(row: &R) -> String {
    encode(&Response::Row(row))
}

/// The last line of a complete answer, line feed included.
pub fn encode_trailer(trailer: Trailer) -> String {
    encode(&Response::<()>::Trailer(trailer))
}

/// The last line of an answer that failed, line feed included.
pub fn encode_error(failure: &Failure) -> String {
    encode(&Response::<()>::Error(failure.clone()))
}

/// A whole answer whose rows are all there: header, rows, trailer.
pub fn encode_list<R: Row>(rows: &[R]) -> String {
    let mut text = encode_header(R::KIND);
    for row in rows {
        text.push_str(&encode_row(row));
    }
    text.push_str(&encode_trailer(Trailer { count: rows.len() as u64, truncated: false }));
    text
}

/// Reads one line of an answer; a trailing line feed may be there or not.
///
/// # Errors
/// The line is not JSON, or not of the form that the rows' kind has in this version.
pub fn decode_response<R: Row>(line: &str) -> Result<Response<R>, serde_json::Error> {
    serde_json::from_str(line)
}

fn encode<R: Serialize>(response: &Response<R>) -> String {
    // JSON escapes every control character, so the only raw line feed is the one added here.
    let message = match serde_json::to_string(response) {
        Ok(mut line) if line.len() < RESPONSE_BYTES_MAX => {
            line.push('\n');
            return line;
        }
        Ok(line) => format!("a row of {} bytes is longer than allowed", line.len()),
        Err(error) => format!("a row cannot be written: {error}"),
    };
    encode_error(&Failure { code: ErrorCode::Internal, message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DropReport, DropRow, PacketTotals};

    fn report(description: String) -> DropReport {
        let row = DropRow {
            number: 27,
            reason: "no-backend".to_owned(),
            count: u64::MAX,
            workers: vec![u64::MAX],
            description,
        };
        DropReport { balance: PacketTotals::default(), drops: vec![row] }
    }

    #[test]
    fn a_list_is_a_header_its_rows_and_a_trailer() {
        let rows = [report("a".to_owned()), report("b".to_owned())];
        let text = encode_list(&rows);
        let lines: Vec<_> = text.lines().map(|line| decode_response(line).unwrap()).collect();
        let [first, second] = rows;
        assert_eq!(
            lines,
            [
                Response::Header(Header { version: VERSION, kind: Kind::Drops }),
                Response::Row(first),
                Response::Row(second),
                Response::Trailer(Trailer { count: 2, truncated: false }),
            ]
        );
    }

    #[test]
    fn a_row_is_one_line_whatever_its_strings_hold() {
        let row = report("line\nfeed\r\0\u{2028}\"".to_owned());
        let line = encode_row(&row);
        assert_eq!(line.find('\n'), Some(line.len() - 1));
        assert_eq!(decode_response::<DropReport>(&line).unwrap(), Response::Row(row));
    }

    #[test]
    fn a_row_beyond_the_limit_becomes_an_error_line() {
        let line = encode_row(&report("x".repeat(RESPONSE_BYTES_MAX)));
        let Response::Error(failure) = decode_response::<DropReport>(&line).unwrap() else {
            panic!("no error line");
        };
        assert_eq!(failure.code, ErrorCode::Internal);
        let fixed = encode_row(&report(String::new())).len();
        let longest = encode_row(&report("x".repeat(RESPONSE_BYTES_MAX - fixed)));
        assert_eq!(longest.len(), RESPONSE_BYTES_MAX);
        assert!(matches!(decode_response::<DropReport>(&longest), Ok(Response::Row(_))));
    }

    #[test]
    fn fields_and_codes_of_a_newer_daemon_are_tolerated() {
        let header = r#"{"header":{"version":1,"kind":"drops","generation":7}}"#;
        let expected = Response::Header(Header { version: 1, kind: Kind::Drops });
        assert_eq!(decode_response::<DropReport>(header).unwrap(), expected);
        let error = r#"{"error":{"code":"overloaded","message":"m"}}"#;
        let failure = Failure { code: ErrorCode::Other, message: "m".to_owned() };
        assert_eq!(decode_response::<DropReport>(error).unwrap(), Response::Error(failure));
    }

    #[test]
    fn a_refused_request_is_told_in_its_own_words() {
        let error = ProtocolError::UnsupportedVersion { asked: 9 };
        let line = encode_error(&Failure::from(&error));
        assert_eq!(
            line,
            "{\"error\":{\"code\":\"unsupported_version\",\"message\":\"protocol version 9 was \
             asked for, this daemon speaks version 1\"}}\n"
        );
    }
}

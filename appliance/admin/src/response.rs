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

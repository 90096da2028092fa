//! As much HTTP/1.1 (RFC 9112) as the lab needs, for both ends.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest head of a request or answer, in bytes.
const HEAD_MAX: usize = 16 * 1024;

/// Bytes that are computed and written at once; a multiple of the pattern's word.
pub(crate) const CHUNK: usize = 64 * 1024;

/// What the server needs to know of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    query: String,
    pub(crate) keep_alive: bool,
    pub(crate) body_len: u64,
    pub(crate) expects_continue: bool,
}

impl Request {
    /// Value of a key in the query string.
    pub(crate) fn query(&self, key: &str) -> Option<&str> {
        self.query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
    }

    fn parse(head: &str) -> Option<Self> {
        let mut lines = head.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut request = Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            keep_alive: version == "HTTP/1.1",
            body_len: 0,
            expects_continue: false,
        };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "connection" if value.eq_ignore_ascii_case("close") => request.keep_alive = false,
                "content-length" => request.body_len = value.parse().ok()?,
                "expect" => request.expects_continue = value.eq_ignore_ascii_case("100-continue"),
                _ => {}
            }
        }
        Some(request)
    }
}

/// At most `limit` bytes from the front of `bytes`.
pub(crate) fn piece(bytes: &[u8], limit: u64) -> &[u8] {
    let len = usize::try_from(limit).map_or(bytes.len(), |limit| limit.min(bytes.len()));
    bytes.get(..len).unwrap_or(bytes)
}

/// Reads up to the blank line; leaves what follows it in `input`. `None`: the peer has closed.
pub(crate) async fn read_head(
    stream: &mut TcpStream,
    input: &mut Vec<u8>,
) -> io::Result<Option<String>> {
    loop {
        if let Some(at) = input.windows(4).position(|window| window == b"\r\n\r\n") {
            let mut head: Vec<u8> = input.drain(..at.saturating_add(4)).collect();
            head.truncate(at);
            return String::from_utf8(head).map(Some).map_err(io::Error::other);
        }
        if input.len() > HEAD_MAX {
            return Err(io::Error::other("head too long"));
        }
        if stream.read_buf(input).await? == 0 {
            return if input.is_empty() {
                Ok(None)
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            };
        }
    }
}

/// The next request of a connection; `None` after the last.
pub(crate) async fn read_request(
    stream: &mut TcpStream,
    input: &mut Vec<u8>,
) -> io::Result<Option<Request>> {
    let Some(head) = read_head(stream, input).await? else { return Ok(None) };
    Request::parse(&head).map(Some).ok_or_else(|| io::Error::other("not an HTTP request"))
}

/// Status line and headers of an answer.
pub(crate) async fn respond_head(
    stream: &mut TcpStream,
    status: &str,
    body_len: u64,
    keep_alive: bool,
) -> io::Result<()> {
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {body_len}\r\nConnection: {connection}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await
}

/// A whole answer, in one write so that it is one segment.
pub(crate) async fn respond(
    stream: &mut TcpStream,
    status: &str,
    body: &[u8],
    keep_alive: bool,
) -> io::Result<()> {
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let len = body.len();
    let mut answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len}\r\nConnection: {connection}\r\n\r\n"
    )
    .into_bytes();
    answer.extend_from_slice(body);
    stream.write_all(&answer).await
}

/// The end of HTTP on this connection; says who we are.
pub(crate) async fn switch_protocols(stream: &mut TcpStream, name: &str) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: records\r\nX-Node: {name}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await
}

/// Value of a header in a head, by its lower-case name.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.split("\r\n").filter_map(|line| line.split_once(':'));
    fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_curl_writes_it() {
        let request =
            Request::parse("POST /sum?a=1&bytes=20 HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\nExpect: 100-continue")
                .unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/sum"));
        assert_eq!(request.query("bytes"), Some("20"));
        assert!(request.keep_alive && request.expects_continue);
        assert_eq!(request.body_len, 20);
    }

    #[test]
    fn old_clients_and_polite_ones_are_hung_up_on() {
        assert!(!Request::parse("GET / HTTP/1.0").unwrap().keep_alive);
        assert!(!Request::parse("GET / HTTP/1.1\r\nConnection: close").unwrap().keep_alive);
        assert_eq!(Request::parse("hello"), None);
    }
}

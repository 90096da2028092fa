//! As much HTTP/1.1 as a check needs: one request, one status line (RFC 9112).

use std::net::SocketAddrV4;

/// A status line that is not over by then is none.
const STATUS_LINE_MAX: usize = 256;

/// `GET path`, asking for the connection to be closed after the answer. Bytes of `path` and `host`
/// that would end the line or the word are percent-encoded, so that neither can forge a header.
pub(super) fn request(path: &str, host: Option<&str>, remote: SocketAddrV4) -> Vec<u8> {
    let host = match host {
        Some(host) => encoded(host),
        None if remote.port() == 80 => remote.ip().to_string(),
        None => remote.to_string(),
    };
    format!(
        "GET {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: spillway/{}\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n",
        encoded(path),
        env!("CARGO_PKG_VERSION"),
    )
    .into_bytes()
}

fn encoded(text: &str) -> String {
    let word = |c: char| {
        if c.is_ascii_control() || c == ' ' {
            format!("%{:02X}", u32::from(c))
        } else {
            c.to_string()
        }
    };
    text.chars().map(word).collect()
}

/// What the bytes so far say.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// The line is not over.
    More,
    Code(u16),
    /// Not a status line of HTTP/1.
    Bad,
}

/// Collects the first line of an answer.
#[derive(Debug, Default)]
pub(super) struct StatusLine {
    bytes: Vec<u8>,
}

impl StatusLine {
    /// Takes the next bytes; what comes after the line is not looked at.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Status {
        let room = STATUS_LINE_MAX - self.bytes.len().min(STATUS_LINE_MAX);
        self.bytes.extend(bytes.iter().take(room));
        let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') else {
            // Whatever does not even begin like HTTP need not be waited for.
            let begins = self.bytes.iter().zip(b"HTTP/1.").all(|(a, b)| a == b);
            let full = self.bytes.len() >= STATUS_LINE_MAX;
            return if begins && !full { Status::More } else { Status::Bad };
        };
        self.bytes.get(..end).and_then(code).map_or(Status::Bad, Status::Code)
    }
}

/// The status of `HTTP/1.x NNN[ reason][\r]`.
fn code(line: &[u8]) -> Option<u16> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (minor, rest) = line.strip_prefix(b"HTTP/1.")?.split_first()?;
    let rest = rest.strip_prefix(b" ").filter(|_| minor.is_ascii_digit())?;
    let (digits, reason) = rest.split_first_chunk::<3>()?;
    let ends = reason.first().is_none_or(|byte| *byte == b' ');
    let code = digits.iter().try_fold(0_u16, |code, digit| {
        digit.is_ascii_digit().then(|| code * 10 + u16::from(digit - b'0'))
    })?;
    (ends && (100..600).contains(&code)).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn status(text: &str) -> Status {
        StatusLine::default().take(text.as_bytes())
    }

    #[test]
    fn a_status_line_is_read_with_and_without_reason() {
        assert_eq!(status("HTTP/1.1 200 OK\r\nServer: x\r\n\r\n"), Status::Code(200));
        assert_eq!(status("HTTP/1.0 503\r\n"), Status::Code(503));
        assert_eq!(status("HTTP/1.1 404 \n"), Status::Code(404));
    }

    #[test]
    fn what_is_no_http_is_refused_at_once() {
        for text in [
            "SSH-2.0-OpenSSH_9.2\r\n",
            "S",
            "HTTP/2 200\r\n",
            "HTTP/1.1 20\r\n",
            "HTTP/1.1 2000\r\n",
            "HTTP/1.1 99x\r\n",
            "HTTP/1.1 +20\r\n",
            "HTTP/1.1  200\r\n",
            "HTTP/1.x 200\r\n",
            "HTTP/1.1 600 ?\r\n",
            "\n",
        ] {
            assert_eq!(status(text), Status::Bad, "{text:?}");
        }
    }

    #[test]
    fn an_endless_line_is_bounded() {
        let mut line = StatusLine::default();
        assert_eq!(line.take(b"HTTP/1.1 200 "), Status::More);
        assert_eq!(line.take(&[b'x'; 10_000]), Status::Bad);
        assert!(line.bytes.len() <= STATUS_LINE_MAX);
    }

    #[test]
    fn the_request_is_complete_and_names_its_host() {
        let request = |host, remote: &str| {
            String::from_utf8(request("/healthz", host, remote.parse().unwrap())).unwrap()
        };
        let text = request(Some("app.example"), "10.0.1.1:8080");
        assert!(text.starts_with("GET /healthz HTTP/1.1\r\nHost: app.example\r\n"), "{text}");
        assert!(text.contains("\r\nUser-Agent: spillway/"), "{text}");
        assert!(text.ends_with("\r\nConnection: close\r\n\r\n"), "{text}");
        assert!(request(None, "10.0.1.1:8080").contains("\r\nHost: 10.0.1.1:8080\r\n"));
        assert!(request(None, "10.0.1.1:80").contains("\r\nHost: 10.0.1.1\r\n"));
    }

    #[test]
    fn a_path_cannot_forge_a_header() {
        let remote = "10.0.1.1:80".parse().unwrap();
        let text = request("/ HTTP/1.1\r\nX: y", Some("a\nb"), remote);
        assert_eq!(text.split(|byte| *byte == b'\n').count(), 7, "five lines and an empty one");
    }

    proptest! {
        #[test]
        fn the_answer_does_not_depend_on_how_it_was_cut(
            bytes in prop::collection::vec(any::<u8>(), 0..400), cuts in prop::collection::vec(1_usize..50, 1..20),
            http: bool,
        ) {
            let mut bytes = bytes;
            if http {
                bytes.splice(0..0, *b"HTTP/1.1 204 No Content\r\n");
            }
            let whole = StatusLine::default().take(&bytes);
            let mut line = StatusLine::default();
            let mut rest = bytes.as_slice();
            let mut last = line.take(&[]);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() || last != Status::More {
                    break;
                }
                let (head, tail) = rest.split_at((*cut).min(rest.len()));
                last = line.take(head);
                rest = tail;
            }
            prop_assert_eq!(last, whole);
        }
    }
}

//! As much HTTP/1.1 as a check needs: one request, a status line, one header (RFC 9112).

use std::net::SocketAddrV4;
use std::ops::RangeInclusive;

use spillway_control::health::ProbeError;

/// A status line that is not over by then is none.
const STATUS_LINE_MAX: usize = 256;
/// Of a longer header line the rest is not looked at.
const HEADER_LINE_MAX: usize = 256;
/// Headers that are read for the weight, in bytes.
const HEADERS_MAX: usize = 8 * 1024;

/// `spec.externalTrafficPolicy: Local`: how many endpoints the node has, by kube-proxy and Cilium.
const WEIGHT_HEADER: &[u8] = b"X-Load-Balancing-Endpoint-Weight";

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

/// What a check wants to hear.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    /// A status in this range; nothing after it matters.
    Status(RangeInclusive<u16>),
    /// What kube-proxy says at a `healthCheckNodePort`: 200 and the node's weight, or 503. Any 503 is
    /// taken as "no endpoints": kube-proxy also says it of itself while its rules are old
    /// (`pkg/proxy/healthcheck`), and a node that refuses us wants no traffic, whoever speaks there.
    Endpoints,
}

/// What the bytes so far say.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It is not decided.
    More,
    /// With the weight, when it was asked for and told.
    Good(Option<u16>),
    Failed(ProbeError),
}

const BAD: Heard = Heard::Failed(ProbeError::BadHttp);

/// Reads an answer's head as far as it matters.
#[derive(Debug)]
pub(super) struct Head {
    wanted: Wanted,
    /// The line that is not over.
    line: Vec<u8>,
    /// Of the header lines so far.
    len: usize,
    /// The status line was good.
    in_headers: bool,
}

impl Head {
    pub(super) const fn new(wanted: Wanted) -> Self {
        Self { wanted, line: Vec::new(), len: 0, in_headers: false }
    }

    /// Takes the next bytes. What comes after the decision is not looked at.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Heard {
        for byte in bytes {
            let heard = match (self.in_headers, *byte == b'\n') {
                (false, true) => self.status(),
                (false, false) => self.more_of_status(*byte),
                (true, true) => self.header(),
                (true, false) => self.more_of_header(*byte),
            };
            if heard != Heard::More {
                return heard;
            }
        }
        Heard::More
    }

    /// There is no more: what has been heard has to do.
    pub(super) const fn end(&self) -> Heard {
        if self.in_headers { Heard::Good(None) } else { BAD }
    }

    fn more_of_status(&mut self, byte: u8) -> Heard {
        // Whatever does not even begin like HTTP need not be waited for.
        let begins = b"HTTP/1.".get(self.line.len()).is_none_or(|wanted| *wanted == byte);
        self.line.push(byte);
        if begins && self.line.len() < STATUS_LINE_MAX { Heard::More } else { BAD }
    }

    fn status(&mut self) -> Heard {
        let Some(code) = code(&std::mem::take(&mut self.line)) else { return BAD };
        match (&self.wanted, code) {
            (Wanted::Status(expect), code) if expect.contains(&code) => Heard::Good(None),
            (Wanted::Endpoints, 200) => {
                self.in_headers = true;
                Heard::More
            }
            (Wanted::Endpoints, 503) => Heard::Failed(ProbeError::NoEndpoints),
            (Wanted::Status(_) | Wanted::Endpoints, code) => {
                Heard::Failed(ProbeError::HttpStatus(code))
            }
        }
    }

    fn more_of_header(&mut self, byte: u8) -> Heard {
        self.len += 1;
        if self.line.len() < HEADER_LINE_MAX {
            self.line.push(byte);
        }
        // It has said 200: a node that talks too much is still a node.
        if self.len < HEADERS_MAX { Heard::More } else { Heard::Good(None) }
    }

    fn header(&mut self) -> Heard {
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        if line.is_empty() {
            return Heard::Good(None);
        }
        weight(line).map_or(Heard::More, |weight| Heard::Good(Some(weight)))
    }
}

/// The weight in `X-Load-Balancing-Endpoint-Weight: N`. What is no number is as good as unsaid; what
/// is too large is the largest.
fn weight(line: &[u8]) -> Option<u16> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (line.get(..colon)?, line.get(colon + 1..)?);
    if !name.eq_ignore_ascii_case(WEIGHT_HEADER) || line.len() >= HEADER_LINE_MAX {
        return None;
    }
    let digits = value.trim_ascii();
    let number = digits.iter().try_fold(0_u16, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u16::from(digit - b'0'))?;
        Some(number.saturating_mul(10).saturating_add(digit))
    })?;
    (!digits.is_empty()).then_some(number)
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

    fn heard(wanted: Wanted, text: &str) -> Heard {
        Head::new(wanted).take(text.as_bytes())
    }

    /// The status, as a check that wants none of them shows it.
    fn status(text: &str) -> Heard {
        heard(Wanted::Status(0..=0), text)
    }

    const fn refused(code: u16) -> Heard {
        Heard::Failed(ProbeError::HttpStatus(code))
    }

    fn endpoints(headers: &str) -> Heard {
        heard(Wanted::Endpoints, &format!("HTTP/1.1 200 OK\r\n{headers}\r\n"))
    }

    #[test]
    fn a_status_line_is_read_with_and_without_reason() {
        assert_eq!(status("HTTP/1.1 200 OK\r\nServer: x\r\n\r\n"), refused(200));
        assert_eq!(status("HTTP/1.0 503\r\n"), refused(503));
        assert_eq!(status("HTTP/1.1 404 \n"), refused(404));
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
            assert_eq!(status(text), BAD, "{text:?}");
        }
    }

    #[test]
    fn an_expected_status_is_good() {
        assert_eq!(heard(Wanted::Status(200..=399), "HTTP/1.1 302 Found\r\n"), Heard::Good(None));
    }

    #[test]
    fn an_endless_line_is_bounded() {
        let mut head = Head::new(Wanted::Status(200..=200));
        assert_eq!(head.take(b"HTTP/1.1 200 "), Heard::More);
        assert_eq!(head.take(&[b'x'; 10_000]), BAD);
        assert!(head.line.len() <= STATUS_LINE_MAX);
    }

    #[test]
    fn endless_headers_are_bounded_and_the_node_is_well() {
        let mut head = Head::new(Wanted::Endpoints);
        assert_eq!(head.take(b"HTTP/1.1 200 OK\r\nX: "), Heard::More);
        assert_eq!(head.take(&[b'x'; HEADERS_MAX]), Heard::Good(None));
        assert!(head.line.len() <= HEADER_LINE_MAX);
        let mut head = Head::new(Wanted::Endpoints);
        head.take(b"HTTP/1.1 200 OK\r\n");
        assert_eq!(head.take("a: b\r\n".repeat(2_000).as_bytes()), Heard::Good(None));
    }

    #[test]
    fn a_node_s_weight_is_read_however_it_is_written() {
        // As kube-proxy's Go server sends it, after the status and before the date.
        let go = "Content-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n\
                  X-Load-Balancing-Endpoint-Weight: 3\r\nDate: Sat, 21 Nov 2026 10:00:00 GMT\r\n";
        assert_eq!(endpoints(go), Heard::Good(Some(3)));
        for (header, weight) in [
            ("x-load-balancing-endpoint-weight:7\r\n", Some(7)),
            ("X-LOAD-BALANCING-ENDPOINT-WEIGHT: \t 7 \t\r\n", Some(7)),
            ("X-Load-Balancing-Endpoint-Weight: 0\r\n", Some(0)),
            ("X-Load-Balancing-Endpoint-Weight: 65536\r\n", Some(65_535)),
            ("X-Load-Balancing-Endpoint-Weight: 99999999999999999999999\r\n", Some(65_535)),
            ("X-Load-Balancing-Endpoint-Weight: -1\r\n", None),
            ("X-Load-Balancing-Endpoint-Weight: +1\r\n", None),
            ("X-Load-Balancing-Endpoint-Weight: many\r\n", None),
            ("X-Load-Balancing-Endpoint-Weight:\r\n", None),
            // RFC 9112, 5.1: no space before the colon; 5.2: a folded line is no header.
            ("X-Load-Balancing-Endpoint-Weight : 1\r\n", None),
            (" X-Load-Balancing-Endpoint-Weight: 1\r\n", None),
            (
                "X-Load-Balancing-Endpoint-Weight: x\r\nX-Load-Balancing-Endpoint-Weight: 5\r\n",
                Some(5),
            ),
            ("no colon\r\n", None),
            ("", None),
        ] {
            assert_eq!(endpoints(header), Heard::Good(weight), "{header:?}");
        }
        let old = "HTTP/1.0 200 OK\nX-Load-Balancing-Endpoint-Weight: 2\n\n";
        assert_eq!(heard(Wanted::Endpoints, old), Heard::Good(Some(2)));
    }

    #[test]
    fn a_node_without_endpoints_says_503() {
        let said = heard(Wanted::Endpoints, "HTTP/1.1 503 Service Unavailable\r\n");
        assert_eq!(said, Heard::Failed(ProbeError::NoEndpoints));
        assert_eq!(heard(Wanted::Endpoints, "HTTP/1.1 500 Oh\r\n"), refused(500));
        assert_eq!(heard(Wanted::Endpoints, "HTTP/1.1 204 No Content\r\n"), refused(204));
    }

    #[test]
    fn an_answer_that_ends_early_has_said_its_status_or_nothing() {
        let mut head = Head::new(Wanted::Endpoints);
        head.take(b"HTTP/1.1 20");
        assert_eq!(head.end(), BAD);
        head.take(b"0 OK\r\nContent-");
        assert_eq!(head.end(), Heard::Good(None));
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
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            cuts in prop::collection::vec(1_usize..50, 1..20),
            begin in prop::sample::select(vec![
                "", "HTTP/1.1 204 No Content\r\n", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\na: b\r\n",
            ]),
            weight in prop::option::of(any::<u32>()),
            endpoints: bool,
        ) {
            let wanted = if endpoints { Wanted::Endpoints } else { Wanted::Status(200..=204) };
            let mut all = begin.as_bytes().to_vec();
            if let Some(weight) = weight {
                all.extend(format!("X-Load-Balancing-Endpoint-Weight: {weight}\r\n").bytes());
            }
            all.extend(bytes);
            let whole = Head::new(wanted.clone()).take(&all);
            let mut head = Head::new(wanted);
            let mut rest = all.as_slice();
            let mut last = head.take(&[]);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() || last != Heard::More {
                    break;
                }
                let (piece, tail) = rest.split_at((*cut).min(rest.len()));
                last = head.take(piece);
                rest = tail;
            }
            prop_assert_eq!(last, whole);
        }

        #[test]
        fn any_weight_comes_through_or_is_the_largest(weight: u64, before in "[a-zA-Z-]{1,20}") {
            let headers = format!("{before}: x\r\nX-Load-Balancing-Endpoint-Weight: {weight}\r\n");
            let expected = u16::try_from(weight).unwrap_or(u16::MAX);
            prop_assert_eq!(endpoints(&headers), Heard::Good(Some(expected)));
        }
    }
}

//! The asking side, blocking: the command line and the tests use it; the daemon does not.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::request::{Request, encode_request};
use crate::response::{Failure, Kind, Response, Row, Trailer, decode_response};
use crate::{RESPONSE_BYTES_MAX, VERSION};

/// Longest silence of the daemon before an answer counts as failed.
pub const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody could be asked: no socket, nobody listens, no permission.
    #[error("{0}")]
    Connect(#[source] io::Error),
    #[error("the daemon's answer broke off: {0}")]
    Io(#[source] io::Error),
    #[error("the daemon closed the connection in the middle of its answer")]
    CutOff,
    #[error("the daemon said nothing for {} s", SILENCE_MAX.as_secs())]
    Silent,
    #[error("{}", .0.message)]
    Refused(Failure),
    #[error("the daemon speaks version {0} of the admin protocol, this program version {VERSION}")]
    Version(u32),
    #[error("the daemon's answer makes no sense: {0}")]
    Nonsense(String),
}

/// An answer being read, row by row. Ends after the trailer or the first error.
#[derive(Debug)]
pub struct Rows<R, S> {
    input: BufReader<S>,
    line: Vec<u8>,
    count: u64,
    trailer: Option<Trailer>,
    done: bool,
    row: std::marker::PhantomData<R>,
}

/// Asks the daemon at `socket`.
///
/// # Errors
/// See [`ClientError`]; a refusal by the daemon is one of them.
pub fn ask<R: Row>(socket: &Path, request: &Request) -> Result<Rows<R, UnixStream>, ClientError> {
    let stream = UnixStream::connect(socket).map_err(ClientError::Connect)?;
    stream.set_read_timeout(Some(SILENCE_MAX)).map_err(ClientError::Io)?;
    stream.set_write_timeout(Some(SILENCE_MAX)).map_err(ClientError::Io)?;
    Rows::start(stream, request)
}

/// Asks and collects the whole answer: for lists that are known to be short.
///
/// # Errors
/// See [`ClientError`].
pub fn fetch<R: Row>(socket: &Path, request: &Request) -> Result<Vec<R>, ClientError> {
    ask(socket, request)?.collect()
}

impl<R: Row, S: Read + Write> Rows<R, S> {
    /// Sends the request over `stream` and reads the header of the answer.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn start(mut stream: S, request: &Request) -> Result<Self, ClientError> {
        // A daemon that is full answers `busy` and closes without reading: what it said is
        // better than the broken pipe.
        let sent = stream.write_all(encode_request(request).as_bytes());
        let input = BufReader::with_capacity(64 << 10, stream);
        let mut rows = Self {
            input,
            line: Vec::new(),
            count: 0,
            trailer: None,
            done: false,
            row: std::marker::PhantomData,
        };
        match (rows.read_header(request.kind()), sent) {
            (Ok(()), _) => Ok(rows),
            (Err(ClientError::Refused(failure)), _) => Err(ClientError::Refused(failure)),
            (Err(_), Err(error)) => Err(io_error(error)),
            (Err(error), Ok(())) => Err(error),
        }
    }

    /// The trailer, once every row was read.
    pub const fn trailer(&self) -> Option<Trailer> {
        self.trailer
    }

    fn read_header(&mut self, kind: Kind) -> Result<(), ClientError> {
        match self.read_response()? {
            Response::Header(header) if header.version != VERSION => {
                Err(ClientError::Version(header.version))
            }
            Response::Header(header) if header.kind == kind && R::KIND == kind => Ok(()),
            Response::Header(header) => {
                Err(ClientError::Nonsense(format!("{:?} instead of {kind:?}", header.kind)))
            }
            Response::Error(failure) => Err(ClientError::Refused(failure)),
            Response::Row(_) | Response::Trailer(_) => {
                Err(ClientError::Nonsense("it does not begin with a header".to_owned()))
            }
        }
    }

    fn read_response(&mut self) -> Result<Response<R>, ClientError> {
        self.line.clear();
        let mut limited = (&mut self.input).take(RESPONSE_BYTES_MAX as u64);
        limited.read_until(b'\n', &mut self.line).map_err(io_error)?;
        let nonsense = |message: String| Err(ClientError::Nonsense(message));
        match self.line.last() {
            Some(b'\n') => {}
            Some(_) if self.line.len() >= RESPONSE_BYTES_MAX => {
                return nonsense(format!("a line is longer than {RESPONSE_BYTES_MAX} bytes"));
            }
            Some(_) | None => return Err(ClientError::CutOff),
        }
        let Ok(text) = str::from_utf8(&self.line) else {
            return nonsense("a line is not UTF-8".to_owned());
        };
        decode_response(text).or_else(|error| nonsense(error.to_string()))
    }

    fn read_row(&mut self) -> Result<Option<R>, ClientError> {
        match self.read_response()? {
            Response::Row(row) => {
                self.count += 1;
                Ok(Some(row))
            }
            Response::Trailer(trailer) if trailer.count == self.count => {
                self.trailer = Some(trailer);
                Ok(None)
            }
            Response::Trailer(trailer) => Err(ClientError::Nonsense(format!(
                "{} rows arrived, {} were announced",
                self.count, trailer.count
            ))),
            Response::Error(failure) => Err(ClientError::Refused(failure)),
            Response::Header(_) => Err(ClientError::Nonsense("a second header".to_owned())),
        }
    }
}

impl<R: Row, S: Read + Write> Iterator for Rows<R, S> {
    type Item = Result<R, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.read_row().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

fn io_error(error: io::Error) -> ClientError {
    let kind = error.kind();
    if matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) {
        ClientError::Silent
    } else if matches!(kind, io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) {
        ClientError::CutOff
    } else {
        ClientError::Io(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorCode, SnatRow, encode_error, encode_header, encode_list, encode_row};

    /// A peer that reads what it gets and answers with what it was given.
    struct Peer {
        heard: Vec<u8>,
        answer: io::Cursor<Vec<u8>>,
        /// What a read meets after the answer; `None`: the end.
        then: Option<io::ErrorKind>,
        /// What a write meets; `None`: success.
        deaf: Option<io::ErrorKind>,
    }

    impl Peer {
        fn answering(answer: impl Into<Vec<u8>>) -> Self {
            let answer = io::Cursor::new(answer.into());
            Self { heard: Vec::new(), answer, then: None, deaf: None }
        }
    }

    impl Read for Peer {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match (self.answer.read(buffer)?, self.then) {
                (0, Some(kind)) => Err(kind.into()),
                (length, _) => Ok(length),
            }
        }
    }

    impl Write for Peer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.deaf {
                Some(kind) => Err(kind.into()),
                None => self.heard.write(bytes),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn row() -> SnatRow {
        SnatRow {
            address: "10.0.1.1".parse().unwrap(),
            ports: crate::PortRange { first: 31210, last: 31210 },
            backend: None,
            protocol: None,
            in_use: 0,
            capacity: 1,
        }
    }

    fn start(peer: Peer) -> Result<Rows<SnatRow, Peer>, ClientError> {
        Rows::start(peer, &Request::SnatList)
    }

    #[test]
    fn rows_come_one_by_one_and_end_with_the_trailer() {
        let mut rows = start(Peer::answering(encode_list(&[row(), row()]))).unwrap();
        assert_eq!(rows.input.get_ref().heard, b"{\"request\":\"snat_list\",\"version\":1}\n");
        assert_eq!(rows.next().unwrap().unwrap(), row());
        assert_eq!(rows.trailer(), None);
        assert_eq!(rows.next().unwrap().unwrap(), row());
        assert!(rows.next().is_none());
        assert_eq!(rows.trailer(), Some(Trailer { count: 2, truncated: false }));
        assert!(rows.next().is_none());
    }

    #[test]
    fn an_answer_that_stops_is_an_error_once_and_then_over() {
        let cut = encode_header(Kind::Snat) + &encode_row(&row());
        let mut rows = start(Peer::answering(cut)).unwrap();
        assert!(rows.next().unwrap().is_ok());
        assert!(matches!(rows.next(), Some(Err(ClientError::CutOff))));
        assert!(rows.next().is_none());
        assert_eq!(rows.trailer(), None);
    }

    #[test]
    fn silence_is_told_apart_from_a_closed_connection() {
        let silent = Peer { then: Some(io::ErrorKind::WouldBlock), ..Peer::answering("") };
        assert!(matches!(start(silent), Err(ClientError::Silent)));
        let reset = Peer { then: Some(io::ErrorKind::ConnectionReset), ..Peer::answering("") };
        assert!(matches!(start(reset), Err(ClientError::CutOff)));
        let other = Peer { then: Some(io::ErrorKind::OutOfMemory), ..Peer::answering("") };
        assert!(matches!(start(other), Err(ClientError::Io(_))));
    }

    #[test]
    fn a_daemon_that_refuses_without_reading_is_still_heard() {
        let busy = Failure { code: ErrorCode::Busy, message: "too many clients".to_owned() };
        let mut peer = Peer::answering(encode_error(&busy));
        peer.deaf = Some(io::ErrorKind::BrokenPipe);
        assert!(matches!(start(peer), Err(ClientError::Refused(failure)) if failure == busy));
        let mut mute = Peer::answering("");
        mute.deaf = Some(io::ErrorKind::BrokenPipe);
        assert!(matches!(start(mute), Err(ClientError::CutOff)));
    }

    #[test]
    fn an_endless_line_is_given_up_at_the_limit() {
        struct Endless;
        impl Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                buffer.fill(b' ');
                Ok(buffer.len())
            }
        }
        impl Write for Endless {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let result = Rows::<SnatRow, _>::start(Endless, &Request::SnatList);
        let error = result.err().unwrap().to_string();
        assert!(error.contains("a line is longer than 16777216 bytes"), "{error}");
    }

    #[test]
    fn a_line_that_is_not_text_is_nonsense() {
        let error = start(Peer::answering(b"\xff\xfe\n".to_vec())).err().unwrap();
        assert!(matches!(&error, ClientError::Nonsense(why) if why == "a line is not UTF-8"));
    }

    #[test]
    fn rows_of_another_kind_than_asked_for_are_refused() {
        let rows = Rows::<SnatRow, _>::start(
            Peer::answering(encode_header(Kind::Ports)),
            &Request::PortList,
        );
        assert!(matches!(rows, Err(ClientError::Nonsense(_))));
    }
}

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

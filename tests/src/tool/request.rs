//! One `GET /` and what came of it, and the tally of many.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use spillway_tests::report::Requests;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http;

/// Patience for each step of a request. Longer than the kernel's second SYN (1 s) and third (3 s).
const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// Which node answered, and whom it saw.
#[derive(Debug)]
pub(crate) struct Answer {
    node: String,
    peer: String,
    took: Duration,
}

impl Answer {
    /// The server's name.
    pub(crate) fn node(&self) -> &str {
        &self.node
    }
}

/// A step that failed, in words that can be counted.
pub(crate) type Failure = String;

/// Connects, within the time allowed for a step.
pub(crate) async fn connect(to: SocketAddr) -> Result<TcpStream, Failure> {
    let stream = step("connect", TcpStream::connect(to)).await?;
    stream.set_nodelay(true).map_err(|error| format!("connect: {}", error.kind()))?;
    // Whoever translates on the way must not show: getpeername() says what was asked for.
    match stream.peer_addr() {
        Ok(peer) if peer == to => Ok(stream),
        Ok(peer) => Err(format!("connect: the peer is called {peer}")),
        Err(error) => Err(format!("getpeername: {}", error.kind())),
    }
}

/// `GET /` on a connection that stays open.
pub(crate) async fn get(stream: &mut TcpStream, keep_alive: bool) -> Result<Answer, Failure> {
    let begin = Instant::now();
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let request = format!("GET / HTTP/1.1\r\nHost: lab\r\nConnection: {connection}\r\n\r\n");
    step("send", stream.write_all(request.as_bytes())).await?;
    let body = step("answer", read_body(stream)).await?;
    let (node, peer) = body.trim().split_once(' ').ok_or_else(|| format!("odd answer: {body}"))?;
    Ok(Answer { node: node.to_owned(), peer: peer.to_owned(), took: begin.elapsed() })
}

/// A connection, a request, and the end of both.
pub(crate) async fn once(to: SocketAddr) -> Result<Answer, Failure> {
    let begin = Instant::now();
    let mut stream = connect(to).await?;
    let answer = get(&mut stream, false).await?;
    // The server closes; whoever reads to the end leaves no reset behind.
    let mut rest = Vec::new();
    step("close", stream.read_to_end(&mut rest)).await?;
    if !rest.is_empty() {
        return Err(format!("{} bytes too many", rest.len()));
    }
    Ok(Answer { took: begin.elapsed(), ..answer })
}

async fn read_body(stream: &mut TcpStream) -> io::Result<String> {
    let mut input = Vec::new();
    let head = http::read_head(stream, &mut input).await?;
    let head = head.ok_or(io::ErrorKind::UnexpectedEof)?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(io::Error::other("status is not 200"));
    }
    let len = http::header(&head, "content-length").and_then(|len| len.parse::<usize>().ok());
    let len = len.ok_or_else(|| io::Error::other("no content length"))?;
    while input.len() < len {
        if stream.read_buf(&mut input).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    String::from_utf8(input).map_err(io::Error::other)
}

async fn step<T>(name: &str, work: impl Future<Output = io::Result<T>>) -> Result<T, Failure> {
    match tokio::time::timeout(STEP_TIMEOUT, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(format!("{name}: {}", error.kind())),
        Err(_elapsed) => Err(format!("{name}: no answer in {} s", STEP_TIMEOUT.as_secs())),
    }
}

/// Enters one outcome into the report.
pub(crate) fn count(report: &mut Requests, outcome: Result<Answer, Failure>) {
    match outcome {
        Ok(answer) => {
            report.ok = report.ok.saturating_add(1);
            let took = u64::try_from(answer.took.as_millis()).unwrap_or(u64::MAX);
            report.slowest_ms = report.slowest_ms.max(took);
            let address = answer.peer.rsplit_once(':').map_or("", |(address, _)| address);
            for (map, key) in
                [(&mut report.nodes, answer.node.as_str()), (&mut report.peers, address)]
            {
                let seen = map.entry(key.to_owned()).or_default();
                *seen = seen.saturating_add(1);
            }
        }
        Err(failure) => {
            report.failed = report.failed.saturating_add(1);
            let seen = report.errors.entry(failure).or_default();
            *seen = seen.saturating_add(1);
            let now = unix_ms();
            report.failures_unix_ms =
                Some((report.failures_unix_ms.map_or(now, |(first, _)| first), now));
        }
    }
}

/// Wall clock, for comparing with what another process noted.
fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

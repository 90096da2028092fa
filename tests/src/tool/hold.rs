//! Many connections that are all open at the same time.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use spillway_tests::report::Requests;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;

use crate::request::{self, Answer, Failure};
use crate::steps::Steps;

/// Handshakes and requests under way at the same time; the rest waits its turn.
const UNDER_WAY: usize = 256;

/// Opens them with a request each, then repeats the requests on every step from stdin.
pub(crate) async fn run(to: SocketAddr, connections: u32) -> io::Result<()> {
    let mut steps = Steps::from_stdin();
    let tasks = LocalSet::new();
    let open = (0..connections).map(|_| None).collect();
    let mut streams = tasks.run_until(round(to, open)).await?;
    while steps.next().await.is_some() {
        streams = tasks.run_until(round(to, streams)).await?;
    }
    Ok(())
}

/// A request on every connection, opened first where there is none yet; prints the report.
async fn round(
    to: SocketAddr,
    streams: Vec<Option<TcpStream>>,
) -> io::Result<Vec<Option<TcpStream>>> {
    let begin = Instant::now();
    let turns = Rc::new(Semaphore::new(UNDER_WAY));
    let mut work = Vec::new();
    for stream in streams {
        let turns = Rc::clone(&turns);
        work.push(tokio::task::spawn_local(async move {
            let _turn = turns.acquire().await;
            ask(to, stream).await
        }));
    }
    let mut report = Requests::default();
    let mut open = Vec::new();
    for task in work {
        match task.await.map_err(io::Error::other)? {
            Ok((stream, answer)) => {
                request::count(&mut report, Ok(answer));
                open.push(Some(stream));
            }
            Err(failure) => request::count(&mut report, Err(failure)),
        }
    }
    report.elapsed_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
    crate::print_report(&report)?;
    Ok(open)
}

async fn ask(to: SocketAddr, stream: Option<TcpStream>) -> Result<(TcpStream, Answer), Failure> {
    let mut stream = match stream {
        Some(stream) => stream,
        None => request::connect(to).await?,
    };
    let answer = request::get(&mut stream, true).await?;
    Ok((stream, answer))
}

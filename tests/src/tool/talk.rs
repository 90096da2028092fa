//! A UDP client that asks who is there, and tells how long it heard nothing.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use spillway_tests::report::Talk;
use tokio::net::UdpSocket;
use tokio::task::LocalSet;

use crate::echo;
use crate::steps::Steps;

/// When a datagram counts as lost: short, because the next one is on its way soon.
const TIMEOUT: Duration = Duration::from_millis(250);

/// What it asks; the servers put their name before it.
const QUESTION: &[u8] = b"?";

#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Socket {
    /// A connected one for every datagram.
    Fresh,
    /// One that stays, connected; the kernel hands it errors.
    Connected,
    /// One that stays and is told the address with every datagram, as DNS resolvers do it.
    Unconnected,
}

/// Asks `datagrams` times, or until stdin closes.
pub(crate) async fn run(
    to: SocketAddr,
    socket: Socket,
    datagrams: Option<u32>,
    interval: Duration,
) -> Talk {
    let go_on = Rc::new(Cell::new(true));
    let stop = Rc::clone(&go_on);
    let tasks = LocalSet::new();
    if datagrams.is_none() {
        tasks.spawn_local(async move {
            Steps::from_stdin().end().await;
            stop.set(false);
        });
    }
    let more = move |sent: u64| datagrams.map_or(go_on.get(), |most| sent < u64::from(most));
    tasks.run_until(talk(to, socket, more, interval)).await
}

async fn talk(
    to: SocketAddr,
    kind: Socket,
    more: impl Fn(u64) -> bool,
    interval: Duration,
) -> Talk {
    let mut report = Talk::default();
    let mut open = None;
    let mut heard = Instant::now();
    while more(report.sent) {
        report.sent = report.sent.saturating_add(1);
        match exchange(to, kind, &mut open).await {
            Ok(name) => {
                report.answered = report.answered.saturating_add(1);
                let seen = report.nodes.entry(name).or_default();
                *seen = seen.saturating_add(1);
                note_silence(&mut report, heard);
                heard = Instant::now();
            }
            Err(why) => {
                let seen = report.errors.entry(why.to_string()).or_default();
                *seen = seen.saturating_add(1);
                // One that the kernel has closed is of no use any more.
                if why.kind() != io::ErrorKind::TimedOut && kind != Socket::Fresh {
                    report.reopened = report.reopened.saturating_add(1);
                    open = None;
                }
            }
        }
        if kind == Socket::Fresh {
            open = None;
        }
        if !interval.is_zero() {
            tokio::time::sleep(interval).await;
        }
    }
    note_silence(&mut report, heard);
    report
}

fn note_silence(report: &mut Talk, heard: Instant) {
    let silence = u64::try_from(heard.elapsed().as_millis()).unwrap_or(u64::MAX);
    report.silence_ms_max = report.silence_ms_max.max(silence);
}

async fn socket(to: SocketAddr, kind: Socket) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(echo::any(to)).await?;
    if kind != Socket::Unconnected {
        socket.connect(to).await?;
        let peer = socket.peer_addr()?;
        if peer != to {
            return Err(io::Error::other(format!("the peer is called {peer}")));
        }
    }
    Ok(socket)
}

/// One question; the name in the answer.
async fn exchange(
    to: SocketAddr,
    kind: Socket,
    open: &mut Option<UdpSocket>,
) -> io::Result<String> {
    let socket = match open {
        Some(socket) => socket,
        None => open.insert(socket(to, kind).await?),
    };
    match kind {
        Socket::Fresh | Socket::Connected => socket.send(QUESTION).await?,
        Socket::Unconnected => socket.send_to(QUESTION, to).await?,
    };
    let mut answer = [0; 128];
    let (len, from) = match tokio::time::timeout(TIMEOUT, socket.recv_from(&mut answer)).await {
        Ok(received) => received?,
        Err(_elapsed) => return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer")),
    };
    if from != to {
        return Err(io::Error::other(format!("an answer from {from}")));
    }
    let text = String::from_utf8_lossy(answer.get(..len).unwrap_or_default());
    let name = text.split_whitespace().next().unwrap_or_default();
    Ok(name.to_owned())
}

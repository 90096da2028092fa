//! Many UDP clients, each of which knows what it sent.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use spillway_tests::pattern;
use spillway_tests::report::Datagrams;
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;

/// Payload bytes of every datagram.
const LEN: usize = 64;

/// Nothing in the lab loses datagrams but full socket buffers: so many exchanges at a time.
const UNDER_WAY: usize = 64;

/// When a datagram counts as lost.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Each of `sockets` sends its datagrams one after the other and waits for each to return. All
/// sockets stay open to the end, so that each is a flow of its own.
pub(crate) async fn run(to: SocketAddr, sockets: u32, datagrams: u32) -> io::Result<Datagrams> {
    let begin = Instant::now();
    let report = Rc::new(RefCell::new(Datagrams::default()));
    let turns = Rc::new(Semaphore::new(UNDER_WAY));
    let tasks = LocalSet::new();
    let mut clients = Vec::new();
    for number in 0..sockets {
        let socket = UdpSocket::bind(crate::echo::any(to)).await?;
        socket.connect(to).await?;
        let (report, turns) = (Rc::clone(&report), Rc::clone(&turns));
        clients.push(tasks.spawn_local(async move {
            for sequence in 0..datagrams {
                let _turn = turns.acquire().await;
                let outcome = exchange(&socket, token(number, sequence)).await;
                count(&mut report.borrow_mut(), outcome);
            }
            socket
        }));
    }
    let mut open = Vec::new();
    tasks
        .run_until(async {
            for client in clients {
                open.push(client.await);
            }
        })
        .await;
    let mut report = report.take();
    report.elapsed_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(report)
}

#[derive(Copy, Clone)]
enum Outcome {
    Returned,
    Strayed,
    Lost,
    Refused,
}

async fn exchange(socket: &UdpSocket, token: [u8; LEN]) -> Outcome {
    let mut answer = [0; LEN * 2];
    let exchange = async {
        socket.send(&token).await?;
        socket.recv(&mut answer).await
    };
    match tokio::time::timeout(TIMEOUT, exchange).await {
        Ok(Ok(len)) if answer.get(..len) == Some(&token[..]) => Outcome::Returned,
        Ok(Ok(_)) => Outcome::Strayed,
        Ok(Err(_)) => Outcome::Refused,
        Err(_elapsed) => Outcome::Lost,
    }
}

fn count(report: &mut Datagrams, outcome: Outcome) {
    report.sent = report.sent.saturating_add(1);
    let counter = match outcome {
        Outcome::Returned => &mut report.returned,
        Outcome::Strayed => &mut report.strayed,
        Outcome::Lost => &mut report.lost,
        Outcome::Refused => &mut report.refused,
    };
    *counter = counter.saturating_add(1);
}

/// What only this socket sends, and only once.
fn token(socket: u32, sequence: u32) -> [u8; LEN] {
    let mut token = [0; LEN];
    let index = (u64::from(socket) << 32) | u64::from(sequence);
    pattern::fill(pattern::word(index) & !7, &mut token);
    for (byte, value) in token.iter_mut().zip(index.to_be_bytes()) {
        *byte = value;
    }
    token
}

#[cfg(test)]
mod tests {
    use super::token;

    #[test]
    fn every_token_is_its_sockets_own() {
        assert_ne!(token(1, 0), token(0, 1));
        assert_ne!(token(1, 0), token(2, 0));
        assert_eq!(token(5, 6), token(5, 6));
    }
}

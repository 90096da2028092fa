//! One attempt to reach what should refuse, and how the refusal felt.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use spillway_tests::report::Refusal;
use tokio::net::{TcpStream, UdpSocket};

use crate::Protocol;

/// Connects (TCP), or sends a datagram and waits for what comes back (UDP).
pub(crate) async fn attempt(to: SocketAddr, protocol: Protocol, timeout: Duration) -> Refusal {
    let begin = Instant::now();
    let work = async {
        match protocol {
            Protocol::Tcp => TcpStream::connect(to).await.map(drop),
            Protocol::Udp => ask(to).await,
        }
    };
    let outcome = match tokio::time::timeout(timeout, work).await {
        Err(_elapsed) => "timeout".to_owned(),
        Ok(Ok(())) => "answered".to_owned(),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => "refused".to_owned(),
        Ok(Err(error)) => error.to_string(),
    };
    let elapsed_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
    Refusal { outcome, elapsed_ms }
}

async fn ask(to: SocketAddr) -> io::Result<()> {
    let socket = UdpSocket::bind(crate::echo::any(to)).await?;
    // A connected socket hears of ICMP errors.
    socket.connect(to).await?;
    socket.send(b"is anybody there").await?;
    let mut answer = [0; 64];
    socket.recv(&mut answer).await.map(drop)
}

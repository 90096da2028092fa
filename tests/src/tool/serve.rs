//! The servers of a node.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | `n1 10.0.1.1:31210`: our name and the peer address that we saw |
//! | `GET /healthz` | 200 |
//! | `GET /big?bytes=N` | N bytes of the pattern |
//! | `POST /sum` | length and FNV-1a of the body |
//! | `GET /records`, `Upgrade: records` | 101, then every byte comes back |

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use spillway_tests::pattern::{self, Digest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::task::LocalSet;

use crate::http::{self, Request};

/// Pending connections: a burst of a thousand must not be answered with silence.
const BACKLOG: u32 = 4096;

/// The ports of a server.
#[derive(Copy, Clone, Debug, clap::Args)]
pub(crate) struct Ports {
    /// TCP port for HTTP.
    #[arg(long)]
    http: u16,
    /// UDP port for echo.
    #[arg(long)]
    udp: Option<u16>,
    /// UDP port for DNS: every name is at this server's own address.
    #[arg(long)]
    dns: Option<u16>,
}

/// `addresses`: where it listens; a pod's server has addresses of its own.
pub(crate) async fn run(name: String, addresses: &[IpAddr], ports: Ports) -> io::Result<()> {
    let name: Rc<str> = name.into();
    let tasks = LocalSet::new();
    for address in addresses.iter().copied() {
        let listener = listen((address, ports.http).into())?;
        tasks.spawn_local(accept(listener, Rc::clone(&name)));
        if let Some(port) = ports.udp {
            let socket = UdpSocket::bind((address, port)).await?;
            tasks.spawn_local(crate::echo::serve(socket, Rc::clone(&name)));
        }
        if let Some(port) = ports.dns {
            let socket = UdpSocket::bind((address, port)).await?;
            tasks.spawn_local(crate::dns::serve(socket, addresses.to_vec()));
        }
    }
    let mut stdout = io::stdout();
    writeln!(stdout, "listening")?;
    stdout.flush()?;
    tasks.await;
    Ok(())
}

pub(crate) fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A server that was killed comes back while its old connections still rest.
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    socket.listen(BACKLOG)
}

async fn accept(listener: TcpListener, name: Rc<str>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let name = Rc::clone(&name);
                tokio::task::spawn_local(async move {
                    // A client that goes away is not news.
                    let _ = connection(stream, peer, &name).await;
                });
            }
            Err(error) => {
                // Out of descriptors, or a connection that died in the queue: the next one may do.
                eprintln!("accept: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
    }
}

async fn connection(mut stream: TcpStream, peer: SocketAddr, name: &str) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = Vec::new();
    while let Some(request) = http::read_request(&mut stream, &mut input).await? {
        let keep = request.keep_alive;
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/") => {
                let body = format!("{name} {peer}\n");
                http::respond(&mut stream, "200 OK", body.as_bytes(), keep).await?;
            }
            ("GET", "/healthz") => http::respond(&mut stream, "200 OK", b"ok\n", keep).await?,
            ("GET", "/big") => send_big(&mut stream, &request).await?,
            ("POST", "/sum") => send_sum(&mut stream, &mut input, &request).await?,
            ("GET", "/records") => {
                http::switch_protocols(&mut stream, name).await?;
                return echo_bytes(&mut stream, &mut input).await;
            }
            _ => http::respond(&mut stream, "404 Not Found", b"no such page\n", keep).await?,
        }
        if !keep {
            break;
        }
    }
    stream.shutdown().await
}

async fn send_big(stream: &mut TcpStream, request: &Request) -> io::Result<()> {
    let Some(bytes) = request.query("bytes").and_then(|value| value.parse::<u64>().ok()) else {
        return http::respond(stream, "400 Bad Request", b"bytes=N, please\n", false).await;
    };
    http::respond_head(stream, "200 OK", bytes, request.keep_alive).await?;
    let mut buffer = vec![0; http::CHUNK];
    let mut offset = 0;
    while offset < bytes {
        pattern::fill(offset, &mut buffer);
        let piece = http::piece(&buffer, bytes - offset);
        stream.write_all(piece).await?;
        offset = offset.saturating_add(piece.len() as u64);
    }
    Ok(())
}

async fn send_sum(
    stream: &mut TcpStream,
    input: &mut Vec<u8>,
    request: &Request,
) -> io::Result<()> {
    if request.expects_continue {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    let mut left = request.body_len;
    let mut digest = Digest::default();
    while left > 0 {
        if input.is_empty() && stream.read_buf(input).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let piece = http::piece(input, left);
        digest.update(piece);
        let taken = piece.len();
        left = left.saturating_sub(taken as u64);
        input.drain(..taken);
    }
    let body = format!("{} {:016x}\n", request.body_len, digest.value());
    http::respond(stream, "200 OK", body.as_bytes(), request.keep_alive).await
}

async fn echo_bytes(stream: &mut TcpStream, input: &mut Vec<u8>) -> io::Result<()> {
    loop {
        if input.is_empty() && stream.read_buf(input).await? == 0 {
            return stream.shutdown().await;
        }
        stream.write_all(input).await?;
        input.clear();
    }
}

//! A client and a server that echoes, over TCP and UDP.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// Echoes TCP and UDP on this port until the process ends. TCP clients get the address that they are seen by first.
pub(crate) fn serve(port: u16) {
    for any in ["0.0.0.0", "::"] {
        // Of [::] the bind would take IPv4 too, where that is the default.
        let end = SocketAddr::new(any.parse().unwrap(), if any == "::" { port + 1 } else { port });
        let listener = TcpListener::bind(end).unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || echo(stream));
            }
        });
        let socket = UdpSocket::bind(end).unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((size, client)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(&buffer[..size], client);
            }
        });
    }
}

fn echo(mut stream: TcpStream) {
    let Ok(seen) = stream.peer_addr() else { return };
    let mut line = format!("{seen}").into_bytes();
    line.resize(64, b' ');
    if stream.write_all(&line).is_err() {
        return;
    }
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(size @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..size]).is_err() {
            return;
        }
    }
}

/// Sends so many octets, gets them back, and returns whom the server has seen.
pub(crate) fn transfer(server: SocketAddr, octets: usize) -> Result<IpAddr, String> {
    let told = |error: std::io::Error| format!("{server}: {error}");
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE).map_err(told)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(told)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(told)?;
    let mut line = [0; 64];
    stream.read_exact(&mut line).map_err(told)?;
    let seen: SocketAddr = String::from_utf8_lossy(&line).trim().parse().unwrap();

    let sent: Vec<u8> = (0..octets).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let mut writer = stream.try_clone().map_err(told)?;
    let copy = sent.clone();
    let writing = thread::spawn(move || {
        writer.write_all(&copy)?;
        writer.shutdown(Shutdown::Write)
    });
    let mut came = Vec::with_capacity(octets);
    stream.read_to_end(&mut came).map_err(told)?;
    writing.join().unwrap().map_err(told)?;
    if came != sent {
        return Err(format!("{server}: {} of {octets} octets came back right", came.len()));
    }
    Ok(seen.ip())
}

/// One datagram there and back.
pub(crate) fn ask(server: SocketAddr, question: &[u8]) -> Result<(), String> {
    let told = |error: std::io::Error| format!("{server} by UDP: {error}");
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).map_err(told)?;
    socket.connect(server).map_err(told)?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(told)?;
    socket.send(question).map_err(told)?;
    let mut answer = vec![0; 64 * 1024];
    let size = socket.recv(&mut answer).map_err(told)?;
    if answer[..size] == *question { Ok(()) } else { Err(format!("{server}: another answer")) }
}

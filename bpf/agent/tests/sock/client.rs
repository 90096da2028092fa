//! A process that opens sockets when it is told to: this test binary again, with a variable set. A cgroup has whole
//! processes, so a thread would not do.
#![expect(unsafe_code, reason = "no safe wrapper dissolves a connected socket")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use nix::libc;

const ROLE: &str = "SPILLWAY_SOCKET_CLIENT";
/// Tells answers from what the test harness prints.
const MARK: &str = "answer: ";

/// The process, from outside. It ends when this is dropped.
pub(crate) struct Client {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Client {
    /// Starts it in a cgroup; in the network namespace of the calling thread, or in a new one.
    pub(crate) fn start(cgroup: &Path, new_namespace: bool) -> Self {
        let binary = std::env::current_exe().unwrap();
        let mut command = if new_namespace {
            let mut command = Command::new("unshare");
            command.arg("--net").arg(binary);
            command
        } else {
            Command::new(binary)
        };
        command.args(["--exact", "client::serves_when_asked_to", "--nocapture"]);
        command.env(ROLE, "1").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let to = child.stdin.take();
        let from = BufReader::new(child.stdout.take().unwrap());
        let mut client = Self { child, to, from };
        assert_eq!(client.ask(&format!("cgroup {}", cgroup.display())), "ok");
        client
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// One command, one answer: see [`Sockets::obey`].
    pub(crate) fn ask(&mut self, command: &str) -> String {
        writeln!(self.to.as_mut().unwrap(), "{command}").unwrap();
        loop {
            let mut line = String::new();
            assert_ne!(self.from.read_line(&mut line).unwrap(), 0, "the client died at {command}");
            // The harness may have begun the line.
            if let Some((_, answer)) = line.trim_end().split_once(MARK) {
                return answer.to_owned();
            }
        }
    }

    /// Several commands; the answer of the last.
    pub(crate) fn ask_all(&mut self, commands: &[&str]) -> String {
        commands.iter().map(|command| self.ask(command)).last().unwrap()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.to = None;
        let _ = self.child.wait();
    }
}

#[test]
fn serves_when_asked_to() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let mut sockets = Sockets::default();
    for line in io::stdin().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = sockets.obey(&words).unwrap_or_else(|error| {
            error.raw_os_error().map_or_else(|| error.to_string(), |errno| format!("errno {errno}"))
        });
        println!("\n{MARK}{answer}");
    }
}

/// Sockets that stay open, by their names.
#[derive(Default)]
struct Sockets {
    udp: BTreeMap<String, UdpSocket>,
    tcp: BTreeMap<String, TcpStream>,
}

impl Sockets {
    fn obey(&mut self, words: &[&str]) -> io::Result<String> {
        match *words {
            ["cgroup", path] => fs::write(Path::new(path).join("cgroup.procs"), "0")?,
            ["cookie"] => {
                let cookie = spillway_node::namespaces::cookie()?;
                return Ok(cookie.map_or_else(String::new, |it| it.to_string()));
            }
            ["tcp", to, times] => return many(times, || tcp_once(address(to))),
            ["udp", to, times] => return many(times, || udp_once(address(to))),
            // How long a connect() takes: the best of many short rounds, in nanoseconds.
            ["cost", to, times] => return cost(address(to), times.parse().unwrap()),
            ["bind", "tcp", at] => drop(TcpListener::bind(at)?),
            ["bind", "udp", at] => drop(UdpSocket::bind(at)?),
            ["accepts", at] => return accepts(at),
            ["stream", name, to] => {
                let mut stream = TcpStream::connect(to)?;
                let mut greeting = [0; 1];
                stream.read_exact(&mut greeting)?;
                self.tcp.insert(name.to_owned(), stream);
            }
            ["write", name] => self.tcp.get_mut(name).unwrap().write_all(b"!")?,
            ["open", name, at] => {
                let socket = UdpSocket::bind(at)?;
                socket.set_read_timeout(Some(Duration::from_millis(500)))?;
                self.udp.insert(name.to_owned(), socket);
            }
            ["connect", name, to] => self.udp[name].connect(to)?,
            ["dissolve", name] => dissolve(&self.udp[name])?,
            ["peer", name] => return Ok(self.udp[name].peer_addr()?.to_string()),
            ["send", name] => drop(self.udp[name].send(b"?")?),
            ["send", name, to] => drop(self.udp[name].send_to(b"?", to)?),
            ["receive", name] => return receive(&self.udp[name]),
            _ => return Err(io::Error::other(format!("no such command: {words:?}"))),
        }
        Ok("ok".to_owned())
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn any(like: SocketAddr) -> &'static str {
    if like.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }
}

/// `what BACKEND PEER`, one after the other.
fn many(times: &str, mut once: impl FnMut() -> io::Result<String>) -> io::Result<String> {
    let all: io::Result<Vec<String>> = (0..times.parse().unwrap()).map(|_| once()).collect();
    Ok(all?.join(" "))
}

/// Which backend greeted, and who the socket says it is.
fn tcp_once(to: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(to)?;
    let peer = stream.peer_addr()?;
    let mut greeting = String::new();
    stream.read_to_string(&mut greeting)?;
    Ok(format!("{greeting}@{peer}"))
}

fn udp_once(to: SocketAddr) -> io::Result<String> {
    let socket = UdpSocket::bind(any(to))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    socket.connect(to)?;
    let peer = socket.peer_addr()?;
    socket.send(b"?")?;
    let answer = receive(&socket)?;
    if !answer.ends_with(&format!("@{peer}")) {
        return Err(io::Error::other(format!("connected to {peer}, answered as {answer}")));
    }
    Ok(answer)
}

/// Who an accepted socket says its client is.
fn accepts(at: &str) -> io::Result<String> {
    let listener = TcpListener::bind(at)?;
    let client = TcpStream::connect(at)?;
    let (accepted, _) = listener.accept()?;
    assert_eq!(accepted.peer_addr()?, client.local_addr()?);
    Ok(accepted.peer_addr()?.ip().to_string())
}

/// Which backend answered, from where.
fn receive(socket: &UdpSocket) -> io::Result<String> {
    let mut buffer = [0; 64];
    let (len, from) = socket.recv_from(&mut buffer)?;
    Ok(format!("{}@{from}", String::from_utf8_lossy(&buffer[..len])))
}

fn cost(to: SocketAddr, times: u32) -> io::Result<String> {
    let mut best = Duration::MAX;
    for _ in 0..300 {
        let sockets: io::Result<Vec<_>> = (0..times).map(|_| UdpSocket::bind(any(to))).collect();
        let sockets = sockets?;
        let begin = std::time::Instant::now();
        for socket in &sockets {
            socket.connect(to)?;
        }
        best = best.min(begin.elapsed() / times);
    }
    Ok(best.as_nanos().to_string())
}

/// connect(2): "Connectionless sockets may dissolve the association by connecting to an address with the sa_family
/// member set to AF_UNSPEC".
fn dissolve(socket: &UdpSocket) -> io::Result<()> {
    let nobody = libc::sockaddr { sa_family: 0, sa_data: [0; 14] };
    let len = libc::socklen_t::try_from(size_of_val(&nobody)).unwrap();
    // SAFETY: `nobody` is an address of `len` bytes that lives until the call returns.
    let result = unsafe { libc::connect(socket.as_raw_fd(), &raw const nobody, len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

//! What kube-proxy says of a node, byte for byte as v1.36 does: `/healthz` on 10256, and a Service's
//! `healthCheckNodePort`.

use std::cell::Cell;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::rc::Rc;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, LocalSet};

use crate::http;
use crate::serve;
use crate::steps::Steps;

/// What the node claims.
#[derive(Copy, Clone, Debug)]
struct Claim {
    endpoints: u32,
    healthy: bool,
}

/// Which of the two questions a port answers.
#[derive(Copy, Clone, Debug)]
enum Question {
    Node,
    Service,
}

pub(crate) async fn run(healthz: u16, service: Option<u16>) -> io::Result<()> {
    LocalSet::new().run_until(follow(healthz, service)).await
}

/// Does what the lines on stdin say; says `listening` after each that it has carried out.
async fn follow(healthz: u16, service: Option<u16>) -> io::Result<()> {
    let claim = Rc::new(Cell::new(Claim { endpoints: 0, healthy: true }));
    let mut steps = Steps::from_stdin();
    let mut listeners = listen(healthz, service, &claim)?;
    say("listening")?;
    while let Some(line) = steps.next().await {
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("endpoints", count) => {
                let endpoints = count.parse().map_err(io::Error::other)?;
                claim.set(Claim { endpoints, ..claim.get() });
            }
            ("healthy", _) => {
                claim.set(Claim { healthy: true, ..claim.get() });
                if listeners.is_empty() {
                    listeners = listen(healthz, service, &claim)?;
                }
            }
            ("unhealthy", _) => claim.set(Claim { healthy: false, ..claim.get() }),
            ("deaf", _) => {
                for listener in listeners.drain(..) {
                    listener.abort();
                    // Its socket closes with it.
                    let _ = listener.await;
                }
            }
            (other, _) => return Err(io::Error::other(format!("no such step: {other}"))),
        }
        say("done")?;
    }
    Ok(())
}

fn say(word: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{word}")?;
    stdout.flush()
}

fn listen(
    healthz: u16,
    service: Option<u16>,
    claim: &Rc<Cell<Claim>>,
) -> io::Result<Vec<JoinHandle<()>>> {
    let ports = [Some((healthz, Question::Node)), service.map(|port| (port, Question::Service))];
    let mut tasks = Vec::new();
    for (port, question) in ports.into_iter().flatten() {
        let listener = serve::listen((Ipv4Addr::UNSPECIFIED, port).into())?;
        tasks.push(tokio::task::spawn_local(accept(listener, question, Rc::clone(claim))));
    }
    Ok(tasks)
}

async fn accept(listener: TcpListener, question: Question, claim: Rc<Cell<Claim>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let claim = Rc::clone(&claim);
        tokio::task::spawn_local(async move {
            // A checker that goes away is not news.
            let _ = answer(stream, question, &claim).await;
        });
    }
}

async fn answer(mut stream: TcpStream, question: Question, claim: &Cell<Claim>) -> io::Result<()> {
    let mut input = Vec::new();
    if http::read_request(&mut stream, &mut input).await?.is_none() {
        return Ok(());
    }
    let text = match question {
        Question::Node => node_answer(claim.get()),
        Question::Service => service_answer(claim.get()),
    };
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

fn status(good: bool) -> &'static str {
    if good { "200 OK" } else { "503 Service Unavailable" }
}

fn node_answer(Claim { healthy, .. }: Claim) -> String {
    let body = format!(
        "{{\"lastUpdated\": \"2026-11-21 03:15:41.000000000 +0000 UTC\",\
         \"currentTime\": \"2026-11-21 03:15:41.500000000 +0000 UTC\", \"nodeEligible\": {healthy}}}"
    );
    format!(
        "HTTP/1.1 {}\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        status(healthy),
        body.len(),
    )
}

fn service_answer(Claim { endpoints, healthy }: Claim) -> String {
    let body = format!(
        "{{\n\t\"service\": {{\n\t\t\"namespace\": \"default\",\n\t\t\"name\": \"web\"\n\t}},\n\
         \t\"localEndpoints\": {endpoints},\n\t\"serviceProxyHealthy\": {healthy}\n}}"
    );
    format!(
        "HTTP/1.1 {}\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n\
         X-Load-Balancing-Endpoint-Weight: {endpoints}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        status(endpoints > 0 && healthy),
        body.len(),
    )
}

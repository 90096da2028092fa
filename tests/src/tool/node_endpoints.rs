//! What kube-proxy says at a Service's `healthCheckNodePort`, whatever the path
//! (kubernetes, `pkg/proxy/healthcheck/service_health.go`): 200 while the node has endpoints of the
//! Service, 503 while it has none, and how many in a header.
//!
//! The number is read from a file for each request, so that a test can change it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::http;
use crate::serve;

pub(crate) async fn run(port: u16, file: PathBuf) -> io::Result<()> {
    let listener = serve::listen(port)?;
    let file: Rc<Path> = file.into();
    let mut stdout = io::stdout();
    writeln!(stdout, "listening")?;
    stdout.flush()?;
    let accept = async {
        loop {
            let (stream, _) = listener.accept().await?;
            let file = Rc::clone(&file);
            tokio::task::spawn_local(async move {
                // A client that goes away is not news.
                let _ = connection(stream, &file).await;
            });
        }
    };
    LocalSet::new().run_until(accept).await
}

async fn connection(mut stream: TcpStream, file: &Path) -> io::Result<()> {
    let mut input = Vec::new();
    while let Some(request) = http::read_request(&mut stream, &mut input).await? {
        let endpoints = std::fs::read_to_string(file)?.trim().parse().unwrap_or(0);
        stream.write_all(answer(endpoints, request.keep_alive).as_bytes()).await?;
        if !request.keep_alive {
            break;
        }
    }
    stream.shutdown().await
}

/// Headers in the order in which Go's server writes them: sorted, then its own.
fn answer(endpoints: u32, keep_alive: bool) -> String {
    let status = if endpoints > 0 { "200 OK" } else { "503 Service Unavailable" };
    let body = format!(
        "{{\n\t\"service\": {{\n\t\t\"namespace\": \"lab\",\n\t\t\"name\": \"web\"\n\t}},\n\
         \t\"localEndpoints\": {endpoints},\n\t\"serviceProxyHealthy\": true\n}}"
    );
    let connection = if keep_alive { "" } else { "Connection: close\r\n" };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n\
         X-Content-Type-Options: nosniff\r\nX-Load-Balancing-Endpoint-Weight: {endpoints}\r\n\
         Date: Sat, 21 Nov 2026 10:00:00 GMT\r\nContent-Length: {}\r\n{connection}\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_with_endpoints_says_how_many_and_one_without_says_503() {
        let some = answer(3, false);
        assert!(some.starts_with("HTTP/1.1 200 OK\r\n"), "{some}");
        assert!(some.contains("\r\nX-Load-Balancing-Endpoint-Weight: 3\r\n"), "{some}");
        assert!(answer(0, true).starts_with("HTTP/1.1 503 "));
    }
}

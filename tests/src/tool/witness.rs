//! Connections that live through an event and can tell whether they noticed.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use spillway_tests::pattern;
use spillway_tests::report::Witness;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::LocalSet;

use crate::http;
use crate::request::connect;
use crate::steps::Steps;

/// Bytes of a record: its number, its connection, and pattern.
const RECORD: usize = 256;

/// How long an echo may take before the connection counts as broken: enough for TCP to repair a
/// few lost segments.
const ECHO_TIMEOUT: Duration = Duration::from_secs(15);

/// Sends records on every connection until stdin closes; prints `ready` on stderr when all stand.
pub(crate) async fn run(to: SocketAddr, connections: u32, interval: Duration) -> Vec<Witness> {
    let (stop, stopped) = watch::channel(false);
    let tasks = LocalSet::new();
    tasks.spawn_local(async move {
        Steps::from_stdin().end().await;
        // Nobody listens any more when all connections have broken already.
        let _ = stop.send(true);
    });
    tasks
        .run_until(async move {
            let mut open = Vec::new();
            for number in 0..connections {
                let opened = open_one(to).await;
                let stopped = stopped.clone();
                open.push(tokio::task::spawn_local(async move {
                    match opened {
                        Ok((stream, node)) => {
                            let witness = Witness { node, ..Witness::default() };
                            watch_one(stream, number, interval, stopped, witness).await
                        }
                        Err(why) => Witness { broken: Some(why), ..Witness::default() },
                    }
                }));
            }
            eprintln!("ready");
            let mut witnesses = Vec::new();
            for task in open {
                let died = |error| Witness {
                    broken: Some(format!("witness died: {error}")),
                    ..Witness::default()
                };
                witnesses.push(task.await.unwrap_or_else(died));
            }
            witnesses
        })
        .await
}

async fn open_one(to: SocketAddr) -> Result<(TcpStream, String), String> {
    let mut stream = connect(to).await?;
    let request =
        "GET /records HTTP/1.1\r\nHost: lab\r\nConnection: Upgrade\r\nUpgrade: records\r\n\r\n";
    stream.write_all(request.as_bytes()).await.map_err(|error| format!("upgrade: {error}"))?;
    let mut rest = Vec::new();
    let head = tokio::time::timeout(ECHO_TIMEOUT, http::read_head(&mut stream, &mut rest));
    let head = head.await.map_err(|_| "upgrade: no answer".to_owned())?;
    let head = head.map_err(|error| format!("upgrade: {error}"))?;
    let head = head.ok_or_else(|| "upgrade: closed".to_owned())?;
    let node = http::header(&head, "x-node").ok_or_else(|| format!("upgrade: {head}"))?;
    Ok((stream, node.to_owned()))
}

async fn watch_one(
    mut stream: TcpStream,
    number: u32,
    interval: Duration,
    mut stopped: watch::Receiver<bool>,
    mut witness: Witness,
) -> Witness {
    while !*stopped.borrow() {
        let record = record(number, witness.sent);
        let begin = Instant::now();
        let mut echo = [0; RECORD];
        let exchange = async {
            stream.write_all(&record).await?;
            stream.read_exact(&mut echo).await
        };
        let outcome = tokio::time::timeout(ECHO_TIMEOUT, exchange).await;
        witness.sent = witness.sent.saturating_add(1);
        match outcome {
            Ok(Ok(_)) => witness.echoed = witness.echoed.saturating_add(1),
            Ok(Err(error)) => {
                witness.broken = Some(error.kind().to_string());
                return witness;
            }
            Err(_elapsed) => {
                witness.broken = Some(format!("no echo in {} s", ECHO_TIMEOUT.as_secs()));
                return witness;
            }
        }
        if echo != record {
            witness.corrupt = witness.corrupt.saturating_add(1);
        }
        let took = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        witness.slowest_ms = witness.slowest_ms.max(took);
        // Either is a reason to look at the flag again.
        let _ = tokio::time::timeout(interval, stopped.changed()).await;
    }
    // An orderly end: FIN both ways, so the box sees the whole life of the connection.
    if let Err(error) = stream.shutdown().await {
        witness.broken = Some(format!("close: {}", error.kind()));
    }
    witness
}

/// The `sequence`-th record of a connection: no two records are alike.
fn record(connection: u32, sequence: u64) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    let stream = pattern::word(u64::from(connection)) & !7;
    pattern::fill(stream.wrapping_add(sequence.wrapping_mul(RECORD as u64)), &mut record);
    for (byte, value) in record.iter_mut().zip(sequence.to_be_bytes()) {
        *byte = value;
    }
    record
}

#[cfg(test)]
mod tests {
    use super::record;

    #[test]
    fn no_two_records_are_alike() {
        assert_ne!(record(0, 1), record(0, 2));
        assert_ne!(record(0, 1), record(1, 1));
        assert_eq!(record(3, 7), record(3, 7));
    }
}

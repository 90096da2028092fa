//! The admin socket: one request per connection, answered line by line.

mod cluster;
mod conntrack;
pub(crate) mod network;
pub(crate) mod services;
pub(crate) mod status;

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use spillway_admin::{
    ErrorCode, Failure, REQUEST_BYTES_MAX, Request, Row, decode_request, encode_error, encode_list,
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use crate::desk::{Desk, DeskError};

/// Connections that are answered at once.
const CLIENTS_MAX: usize = 16;
/// A client that has not asked by then, or does not read on for so long, is let go.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why the socket cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    #[error("admin socket {0}: another spillwayd answers there (admin_socket names another)")]
    InUse(PathBuf),
    #[error("admin socket {path}: cannot {attempt}")]
    Io { path: PathBuf, attempt: &'static str, source: io::Error },
}

/// The socket's file, which goes when the daemon does, however it ends but by SIGKILL.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Listens; a socket file that nobody answers is what a killed daemon left behind, and is replaced.
pub(crate) fn bind(path: &Path) -> Result<(UnixListener, SocketFile), SocketError> {
    let failed = |attempt| move |source| SocketError::Io { path: path.to_owned(), attempt, source };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed("make the directory of"))?;
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => return Err(SocketError::InUse(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(_) => std::fs::remove_file(path).map_err(failed("replace"))?,
    }
    let listener = UnixListener::bind(path).map_err(failed("listen on"))?;
    let file = SocketFile(path.to_owned());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
        .map_err(failed("set the mode of"))?;
    Ok((listener, file))
}

/// Answers for ever.
pub(crate) async fn serve(listener: UnixListener, desk: Arc<Desk>) {
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "admin socket: a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let desk = Arc::clone(&desk);
        let place = Arc::clone(&places).try_acquire_owned();
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            let answered = match place {
                Ok(_place) => converse(&mut stream, &desk).await,
                Err(_) => fail(stream.get_mut(), ErrorCode::Busy, "too many clients").await,
            };
            if let Err(error) = answered {
                tracing::debug!(%error, "admin socket: a client was not answered in full");
            }
        });
    }
}

async fn converse(stream: &mut BufReader<UnixStream>, desk: &Desk) -> io::Result<()> {
    let mut line = String::new();
    let mut bounded = (&mut *stream).take(REQUEST_BYTES_MAX as u64 + 1);
    within(bounded.read_line(&mut line)).await?;
    let request = match decode_request(&line) {
        Ok(request) => request,
        Err(error) => {
            return send(stream.get_mut(), &encode_error(&Failure::from(&error))).await;
        }
    };
    let answer = match request {
        Request::ConntrackList(filter) => {
            return conntrack::list(desk, &filter, stream.get_mut()).await;
        }
        Request::Status => status::status(desk).await.map(|row| encode_list(&[row])),
        Request::Drops => status::drops(desk).await.map(|row| encode_list(&[row])),
        Request::ServiceList(filter) => list(services::services(desk, &filter).await),
        Request::BackendList => list(services::backends(desk).await),
        Request::HealthList => list(services::health(desk).await),
        Request::SnatList => list(network::snat(desk).await),
        Request::NeighborList => list(network::neighbors(desk).await),
        Request::PortList => list(Ok(network::ports(desk))),
        Request::RefusedList(filter) => list(Ok(cluster::refused(desk, &filter))),
        Request::NodeList | Request::PoolList | Request::AcceptShrink(_) => {
            return about_cluster(desk, &request, stream.get_mut()).await;
        }
    };
    match answer {
        Ok(text) => send(stream.get_mut(), &text).await,
        Err(error) => fail(stream.get_mut(), ErrorCode::Internal, &error.to_string()).await,
    }
}

/// Answers what makes no sense without a cluster.
async fn about_cluster(desk: &Desk, request: &Request, stream: &mut UnixStream) -> io::Result<()> {
    let Some(cluster) = &desk.cluster else {
        return fail(stream, ErrorCode::NoCluster, cluster::STATIC).await;
    };
    let answer = match request {
        Request::NodeList => desk
            .view()
            .await
            .map(|view| {
                let snapshot = desk.snapshot();
                encode_list(&cluster::nodes(&cluster.view(), &snapshot, &view.health))
            })
            .map_err(|error| error.to_string()),
        Request::PoolList => Ok(encode_list(&cluster::pools(&cluster.view()))),
        Request::AcceptShrink(kind) => match cluster.accept_shrink(*kind) {
            Ok(rows) => {
                for row in &rows {
                    tracing::warn!(
                        "an operator accepts the list of {} {} objects instead of {}",
                        row.objects,
                        row.kind,
                        row.objects_before
                    );
                }
                Ok(encode_list(&rows))
            }
            Err(error) => return fail(stream, ErrorCode::Busy, &error.to_string()).await,
        },
        Request::Status
        | Request::ServiceList(_)
        | Request::BackendList
        | Request::ConntrackList(_)
        | Request::SnatList
        | Request::NeighborList
        | Request::HealthList
        | Request::PortList
        | Request::Drops
        | Request::RefusedList(_) => Err("this is not about the cluster".to_owned()),
    };
    match answer {
        Ok(text) => send(stream, &text).await,
        Err(message) => fail(stream, ErrorCode::Internal, &message).await,
    }
}

fn list<R: Row>(rows: Result<Vec<R>, DeskError>) -> Result<String, DeskError> {
    rows.map(|rows| encode_list(&rows))
}

async fn fail(stream: &mut UnixStream, code: ErrorCode, message: &str) -> io::Result<()> {
    let failure = Failure { code, message: message.to_owned() };
    send(stream, &encode_error(&failure)).await
}

/// Writes a part of an answer to a client that reads.
async fn send(stream: &mut UnixStream, text: &str) -> io::Result<()> {
    within(stream.write_all(text.as_bytes())).await
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let patience = tokio::time::timeout(PATIENCE, work);
    patience.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

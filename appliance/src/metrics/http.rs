//! HTTP, as little of it as a scraper needs: GET and HEAD, one request per connection, and a limit on everything.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::{Observed, Vitals, families, page};

/// Connections that are answered at once; others wait.
const CLIENTS_MAX: usize = 16;
/// A request that is not there by then is none.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(5);
/// A client that has not read its answer by then is let go.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// Longest request, headers included. The least that hyper takes.
const REQUEST_BYTES_MAX: usize = 8 << 10;

const TEXT: &str = "text/plain; charset=utf-8";

/// A status, a media type and a text.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    media_type: &'static str,
    text: String,
}

/// Answers for ever.
pub(crate) async fn serve<S: Observed>(listener: TcpListener, source: Arc<S>) {
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "metrics: a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let source = Arc::clone(&source);
        tokio::spawn(async move {
            let _place = place;
            let answered = tokio::time::timeout(ANSWER_TIME_MAX, converse(stream, source)).await;
            if !matches!(answered, Ok(Ok(()))) {
                tracing::debug!(?answered, "metrics: a client was not answered in full");
            }
        });
    }
}

async fn converse<S: Observed>(stream: TcpStream, source: Arc<S>) -> hyper::Result<()> {
    let service = service_fn(move |request: Request<Incoming>| {
        let source = Arc::clone(&source);
        async move { Ok::<_, Infallible>(respond(answer(&request, &*source).await)) }
    });
    http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIME_MAX)
        .max_buf_size(REQUEST_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

fn respond(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.text)));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let policy = "default-src 'none'; style-src 'unsafe-inline'";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    if answer.status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

async fn answer<S: Observed>(request: &Request<Incoming>, source: &S) -> Answer {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let text = "only GET and HEAD\n".to_owned();
        return Answer { status: StatusCode::METHOD_NOT_ALLOWED, media_type: TEXT, text };
    }
    match request.uri().path() {
        "/metrics" => made(source, families::MEDIA_TYPE, families::text).await,
        "/" => made(source, page::MEDIA_TYPE, page::html).await,
        "/healthz" => match source.vitals().await {
            Ok(_) => plain(StatusCode::OK, "ok\n"),
            Err(error) => plain(StatusCode::SERVICE_UNAVAILABLE, &format!("{error}\n")),
        },
        "/readyz" => match source.vitals().await {
            Ok(vitals) => ready(&vitals),
            Err(error) => plain(StatusCode::SERVICE_UNAVAILABLE, &format!("{error}\n")),
        },
        _ => plain(StatusCode::NOT_FOUND, "there are /, /metrics, /healthz and /readyz\n"),
    }
}

fn plain(status: StatusCode, text: &str) -> Answer {
    Answer { status, media_type: TEXT, text: text.to_owned() }
}

/// A text of a sample, made where it stops nobody.
async fn made<S: Observed>(
    source: &S,
    media_type: &'static str,
    text: fn(super::Sample) -> Result<String, std::fmt::Error>,
) -> Answer {
    let sample = match source.sample().await {
        Ok(sample) => sample,
        Err(error) => return plain(StatusCode::SERVICE_UNAVAILABLE, &format!("{error}\n")),
    };
    match tokio::task::spawn_blocking(move || text(sample)).await {
        Ok(Ok(text)) => Answer { status: StatusCode::OK, media_type, text },
        Ok(Err(_)) | Err(_) => {
            plain(StatusCode::INTERNAL_SERVER_ERROR, "the text could not be written\n")
        }
    }
}

/// Ready is a box whose workers serve something that is known. It stays so while the API server is away:
/// a box that is taken out of service then would make an outage of it.
fn ready(vitals: &Vitals) -> Answer {
    let stale = vitals.status.cluster.as_ref().is_some_and(|cluster| cluster.stale);
    let oldest = vitals.status.workers.iter().map(|worker| worker.generation).min().unwrap_or(0);
    let (status, word) = if !vitals.is_known {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: the cluster was not heard yet")
    } else if oldest == 0 {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: a worker has no Generation yet")
    } else {
        (StatusCode::OK, "ready")
    };
    plain(status, &format!("{word}\ngeneration={oldest}\nstale={stale}\n"))
}

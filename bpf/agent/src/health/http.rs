//! HTTP, as little of it as a prober needs, with Go's spelling of the headers and a limit on everything.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::answer::{Answer, Good, Question, answer};
use super::{Shared, lock};

/// Connections of a port that are answered at once; others wait.
const CLIENTS_MAX: usize = 64;
/// A request that is not there by then is none.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(5);
/// A client that keeps its connection for longer opens another.
const CONNECTION_TIME_MAX: Duration = Duration::from_mins(1);
/// Longest request, headers included. The least that hyper takes.
const REQUEST_BYTES_MAX: usize = 8 << 10;

const WEIGHT: HeaderName = HeaderName::from_static("x-load-balancing-endpoint-weight");

/// Answers for ever. Its connections end with it.
pub(super) async fn serve(listener: TcpListener, question: Question, state: Shared) {
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    let mut clients = JoinSet::new();
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        while clients.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "health: a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let state = Arc::clone(&state);
        clients.spawn(async move {
            let _place = place;
            // A prober that goes away is not news.
            let _ =
                tokio::time::timeout(CONNECTION_TIME_MAX, converse(stream, question, state)).await;
        });
    }
}

async fn converse(stream: TcpStream, question: Question, state: Shared) -> hyper::Result<()> {
    let service = service_fn(move |request: Request<Incoming>| {
        let now = (Instant::now(), SystemTime::now());
        let answer = answer(&lock(&state), question, request.uri().path(), now);
        async move { Ok::<_, Infallible>(respond(answer)) }
    });
    http1::Builder::new()
        .title_case_headers(true)
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIME_MAX)
        .max_buf_size(REQUEST_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

fn respond(answer: Answer) -> Response<Full<Bytes>> {
    let (status, media_type) = match answer.is_good {
        Good::Yes => (StatusCode::OK, "application/json"),
        Good::No => (StatusCode::SERVICE_UNAVAILABLE, "application/json"),
        Good::NoQuestion => (StatusCode::NOT_FOUND, "text/plain; charset=utf-8"),
    };
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(weight) = answer.weight {
        headers.insert(WEIGHT, HeaderValue::from(weight));
    }
    response
}

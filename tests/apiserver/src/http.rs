//! HTTP over the pure API: authentication, faults, bodies, streams. A tower service per connection.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Bytes;
use serde_json::Value;

use crate::api::{Answer, Call};
use crate::auth::{Asked, Authority, Identity};
use crate::discovery::{self, Document};
use crate::faults::Fault;
use crate::form::Form;
use crate::request::{Place, Query, Verb};
use crate::server::{ApiServer, lock};
use crate::status::Status;
use crate::stream;

/// How much a request may carry: etcd's limit, doubled.
const BODY_MAX: usize = 3 << 20;

/// The body was cut off on purpose.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the test API server broke off here, as a fault asked it to")]
pub struct BrokenOff;

pub(crate) type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, BrokenOff>> + Send>>;

/// A response's body: known as a whole, or a stream.
pub enum Body {
    Whole(Bytes),
    Pieces(Pieces),
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(bytes) => f.debug_tuple("Whole").field(&bytes.len()).finish(),
            Self::Pieces(_) => f.write_str("Pieces"),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Pieces(pieces) => {
                pieces.as_mut().poll_next(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Pieces(_) => SizeHint::default(),
        }
    }
}

/// A client's connection: what it said about itself in the TLS handshake, and the server.
#[derive(Clone, Debug)]
pub struct Connection {
    server: ApiServer,
    certificate: Option<Identity>,
}

/// The connection ends without an answer.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the test API server hung up, as a fault asked it to")]
pub struct HungUp;

impl<B> tower::Service<Request<B>> for Connection
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: std::fmt::Display,
{
    type Response = Response<Body>;
    type Error = HungUp;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, HungUp>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), HungUp>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let connection = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let limited = http_body_util::Limited::new(body.map_err(|e| e.to_string()), BODY_MAX);
            let body = match limited.collect().await {
                Ok(collected) => collected.to_bytes(),
                Err(e) => {
                    let why = format!("cannot read the request's body: {e}");
                    return Ok(refusal(&Status::bad_request(why)));
                }
            };
            connection.serve(&head, &body).await
        })
    }
}

impl Connection {
    pub(crate) fn new(server: ApiServer, certificate: Option<Identity>) -> Self {
        Self { server, certificate }
    }

    /// What the stream of bytes below needs: `hyper` calls by reference.
    pub(crate) async fn handle(
        self,
        request: Request<hyper::body::Incoming>,
    ) -> Result<Response<Body>, HungUp> {
        let mut connection = self;
        tower::Service::call(&mut connection, request).await
    }

    async fn serve(
        &self,
        head: &http::request::Parts,
        body: &Bytes,
    ) -> Result<Response<Body>, HungUp> {
        if self.server.shared.live.borrow().is_down {
            return Err(HungUp);
        }
        match self.prepare(head, body) {
            Ok(Prepared::Document(document)) => Ok(send_document(document)),
            Ok(Prepared::Call(call)) => self.answer(head, *call).await,
            Ok(Prepared::NotFound) => Ok(text(StatusCode::NOT_FOUND, "404 page not found\n")),
            Err(status) => Ok(refusal(&status)),
        }
    }

    /// Finds out what is asked for and whether it may be.
    fn prepare(&self, head: &http::request::Parts, body: &Bytes) -> Result<Prepared, Status> {
        let header = |name| header_text(&head.headers, name);
        let authorization =
            head.headers.get(header::AUTHORIZATION).map(|_| header(header::AUTHORIZATION));
        let identity = lock(&self.server.shared.authority)
            .authenticate(authorization, self.certificate.as_ref())?;
        let path = head.uri.path();
        let Some(place) = Place::parse(path) else {
            Authority::authorize_path(&identity, "get", path)?;
            return Ok(discovery::document(path).map_or(Prepared::NotFound, Prepared::Document));
        };
        let query = Query::parse(head.uri.query().unwrap_or_default());
        let verb =
            place.verb(head.method.as_str(), &query).ok_or_else(Status::method_not_allowed)?;
        let asked = Asked {
            verb: verb.as_str(),
            resource: place.resource,
            subresource: &place.subresource,
            namespace: place.namespace.as_deref(),
            name: &place.name,
        };
        lock(&self.server.shared.authority).authorize(&identity, &asked)?;
        let form = Form::of(header(header::ACCEPT)).ok_or_else(Status::not_acceptable)?;
        let body = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(body).map_err(|e| {
                Status::bad_request(format!("error decoding the request's body as JSON: {e}"))
            })?
        };
        let content_type = header(header::CONTENT_TYPE).to_owned();
        Ok(Prepared::Call(Box::new(Call { place, verb, query, form, content_type, body })))
    }

    async fn answer(
        &self,
        head: &http::request::Parts,
        call: Call,
    ) -> Result<Response<Body>, HungUp> {
        let faults =
            lock(&self.server.shared.faults).take(call.verb.as_str(), call.place.resource.plural);
        for fault in &faults {
            match fault {
                Fault::HangUp => return Err(HungUp),
                Fault::Delay { ms } => tokio::time::sleep(Duration::from_millis(*ms)).await,
                Fault::Answer { code, retry_after_s } => {
                    return Ok(refusal(&Status::fault(*code, *retry_after_s)));
                }
                Fault::SlowBody { .. }
                | Fault::CutAfterBytes { .. }
                | Fault::EmptyList
                | Fault::HalfList
                | Fault::Cut { .. }
                | Fault::End { .. }
                | Fault::Stall { .. }
                | Fault::Duplicate { .. }
                | Fault::Replay { .. }
                | Fault::Garble { .. }
                | Fault::DropBookmarks
                | Fault::Expired => {}
            }
        }
        let timeout_s = call.query.number("timeoutSeconds").ok().flatten();
        if let Some(replay) = &self.server.shared.replay
            && let Some(recorded) = replay.answer(&call.place, call.verb, head.uri.path_and_query())
        {
            let timeout = Duration::from_secs(timeout_s.unwrap_or(1800));
            return Ok(stream::recorded(&self.server, recorded, &faults, timeout));
        }
        match self.server.edit(|store, now| call.answer(store, now)) {
            Ok(Answer::Object { code, text }) => {
                let text = if call.verb == Verb::List { lose_items(text, &faults) } else { text };
                Ok(json(code, whole(text, &faults)))
            }
            Ok(Answer::Watch { watch, form, timeout }) => {
                Ok(json(200, stream::body(&self.server, watch, form, timeout, &faults)))
            }
            Err(status) => Ok(refusal(&status)),
        }
    }
}

enum Prepared {
    Document(Document),
    Call(Box<Call>),
    NotFound,
}

fn header_text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// A list that has lost items on the way.
pub(crate) fn lose_items(text: String, faults: &[Fault]) -> String {
    let is_empty = faults.contains(&Fault::EmptyList);
    if !is_empty && !faults.contains(&Fault::HalfList) {
        return text;
    }
    let mut list: Value = serde_json::from_str(&text).unwrap_or_default();
    for field in ["items", "rows"] {
        if let Some(Value::Array(items)) = list.get_mut(field) {
            let mut number = 0_usize;
            items.retain(|_| {
                number += 1;
                !is_empty && number % 2 == 1
            });
        }
    }
    list.to_string()
}

/// A body of known length, unless a fault slows it down or cuts it off.
pub(crate) fn whole(text: String, faults: &[Fault]) -> Body {
    let slow = faults.iter().find_map(|fault| {
        if let Fault::SlowBody { bytes, ms } = fault { Some((*bytes, *ms)) } else { None }
    });
    let cut = faults.iter().find_map(|fault| {
        if let Fault::CutAfterBytes { bytes } = fault { Some(*bytes) } else { None }
    });
    if slow.is_none() && cut.is_none() {
        return Body::Whole(text.into());
    }
    let (size, ms) = slow.unwrap_or((usize::MAX, 0));
    let kept: Vec<u8> = text.into_bytes().into_iter().take(cut.unwrap_or(usize::MAX)).collect();
    let mut pieces: Vec<Result<Bytes, BrokenOff>> =
        kept.chunks(size.max(1)).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    if cut.is_some() {
        pieces.push(Err(BrokenOff));
    }
    let pause = Duration::from_millis(ms);
    Body::Pieces(Box::pin(futures::stream::unfold(
        pieces.into_iter(),
        move |mut rest| async move {
            let piece = rest.next()?;
            tokio::time::sleep(pause).await;
            Some((piece, rest))
        },
    )))
}

/// A JSON response.
pub(crate) fn json(code: u16, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

fn refusal(status: &Status) -> Response<Body> {
    let mut response = json(status.code, Body::Whole(status.to_value().to_string().into()));
    if let Some(seconds) = status.retry_after_s() {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

fn text(code: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = json(code.as_u16(), Body::Whole(text.into()));
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

fn send_document(document: Document) -> Response<Body> {
    match document {
        Document::Json(value) => json(200, Body::Whole(value.to_string().into())),
        Document::Text(plain) => text(StatusCode::OK, plain),
        Document::EmptyProtobuf => {
            let mut response = json(200, Body::Whole(Bytes::new()));
            let protobuf = HeaderValue::from_static(
                "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
            );
            response.headers_mut().insert(header::CONTENT_TYPE, protobuf);
            response
        }
    }
}

/// For `hyper`, whose service must not fail where it merely hangs up.
impl From<Infallible> for HungUp {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

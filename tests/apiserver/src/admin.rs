//! The control port of the binary: plain HTTP on the loopback, a JSON document per order.
//!
//! | order | body | effect |
//! |---|---|---|
//! | `POST /faults` | a [`Rule`](crate::faults::Rule), or a list of them | adds them |
//! | `DELETE /faults` | | takes all back |
//! | `POST /compact` | | forgets history |
//! | `POST /cut` | | breaks off all streams |
//! | `POST /stall` | `true` or `false` | keeps streams silent, or lets them speak |
//! | `POST /down` | `true` or `false` | refuses connections, or serves again |
//! | `POST /tokens` | `{"token":…,"user":…,"groups":[…]}` | accepts a bearer token |
//! | `DELETE /tokens` | `"token"` | refuses it |
//! | `POST /deny` | a [`Denial`] | answers that with 403 |
//! | `DELETE /deny` | | allows everything |
//! | `POST /load` | an object or a list | creates it with its status |

use std::convert::Infallible;
use std::net::SocketAddr;

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::auth::{Denial, Identity};
use crate::faults::Rule;
use crate::server::ApiServer;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewToken {
    token: String,
    user: String,
    #[serde(default)]
    groups: Vec<String>,
}

/// Takes orders until the task is dropped. Returns the address that was taken.
pub async fn listen(server: ApiServer, address: SocketAddr) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let server = server.clone();
            let service = service_fn(move |request| order(server.clone(), request));
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            // Whoever hangs up has no use for an answer.
            tokio::spawn(async move { connection.await.ok() });
        }
    });
    Ok(address)
}

async fn order(
    server: ApiServer,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(e) => return Ok(answer(StatusCode::BAD_REQUEST, format!("body: {e}\n"))),
    };
    Ok(match obey(&server, &head.method, head.uri.path(), &body) {
        Ok(()) => answer(StatusCode::OK, "ok\n".into()),
        Err(why) => {
            answer(StatusCode::BAD_REQUEST, format!("{} {}: {why}\n", head.method, head.uri))
        }
    })
}

fn answer(code: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = code;
    response
}

fn obey(server: &ApiServer, method: &Method, path: &str, body: &[u8]) -> Result<(), String> {
    fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, String> {
        serde_json::from_slice(body).map_err(|e| format!("the body is not understood: {e}"))
    }
    match (method.as_str(), path) {
        ("POST", "/faults") => {
            let rules: Value = read(body)?;
            let rules = if rules.is_array() { rules } else { Value::Array(vec![rules]) };
            let rules: Vec<Rule> = serde_json::from_value(rules).map_err(|e| e.to_string())?;
            for rule in rules {
                server.add_fault(rule);
            }
        }
        ("DELETE", "/faults") => server.clear_faults(),
        ("POST", "/compact") => server.compact(),
        ("POST", "/cut") => server.cut_streams(),
        ("POST", "/stall") => server.stall_streams(read(body)?),
        ("POST", "/down") => server.set_down(read(body)?),
        ("POST", "/tokens") => {
            let NewToken { token, user, groups } = read(body)?;
            server.authority().add_token(token, Identity { user, groups });
        }
        ("DELETE", "/tokens") => server.authority().revoke_token(&read::<String>(body)?),
        ("POST", "/deny") => server.authority().deny(read::<Denial>(body)?),
        ("DELETE", "/deny") => server.authority().allow_all(),
        ("POST", "/load") => server.load(&read(body)?).map_err(|status| status.message)?,
        (_, _) => return Err("no such order".into()),
    }
    Ok(())
}

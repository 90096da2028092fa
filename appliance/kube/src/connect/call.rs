//! One request and what became of it.

use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use kube::client::Body;
use serde::Deserialize;
use tokio::time::timeout;

use crate::connect::link::Live;
use crate::connect::refusal::{Refusal, innermost};
use crate::pace::Trouble;

/// The largest answer of an API server to anything but a LIST.
const ANSWER_LEN_MAX: usize = 4 << 20;

/// Why a request came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No answer: connecting, TLS, or silence.
    Unreachable(String),
    /// An answer that is an error.
    Status { code: u16, text: String, retry_after: Option<Duration> },
    /// An answer that broke off or makes no sense.
    Broken(String),
}

impl Failure {
    pub(crate) fn code(&self) -> Option<u16> {
        match self {
            Self::Status { code, .. } => Some(*code),
            Self::Unreachable(_) | Self::Broken(_) => None,
        }
    }

    pub(crate) fn trouble(&self) -> Trouble {
        match self {
            Self::Unreachable(_) => Trouble::Unreachable,
            Self::Status { .. } | Self::Broken(_) => Trouble::Answered,
        }
    }

    pub(crate) fn retry_after(&self) -> Duration {
        match self {
            Self::Status { retry_after, .. } => retry_after.unwrap_or_default(),
            Self::Unreachable(_) | Self::Broken(_) => Duration::ZERO,
        }
    }

    /// Whether another endpoint may do better.
    pub(crate) fn is_of_endpoint(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Broken(_) => true,
            Self::Status { code, .. } => *code >= 500,
        }
    }

    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Unreachable(text) | Self::Broken(text) | Self::Status { text, .. } => text,
        }
    }

    pub(crate) fn broken(live: &Live, why: impl std::fmt::Display) -> Self {
        Self::Broken(format!("api server {}: {why}", live.url))
    }
}

/// Sends a request and waits for the beginning of an answer that is no error.
pub(crate) async fn begin(
    live: &Live,
    request: Request<Vec<u8>>,
    patience: Duration,
) -> Result<Body, Failure> {
    let url = &live.url;
    let answer = match timeout(patience, live.client.send(request.map(Body::from))).await {
        Err(_) => {
            let s = patience.as_secs_f32();
            return Err(Failure::Unreachable(format!("api server {url}: no answer for {s} s")));
        }
        Ok(Err(error)) => {
            return Err(Failure::Unreachable(format!("api server {url}: {}", Refusal::of(&error))));
        }
        Ok(Ok(answer)) => answer,
    };
    let code = answer.status().as_u16();
    if answer.status().is_success() {
        return Ok(answer.into_body());
    }
    let header = answer.headers().get(http::header::RETRY_AFTER);
    let retry_after = header.and_then(|value| value.to_str().ok()?.parse().ok());
    let retry_after = retry_after.map(Duration::from_secs);
    let body = collect(live, answer.into_body(), ANSWER_LEN_MAX, patience).await;
    let said = message(&body.unwrap_or_default());
    Err(Failure::Status { code, text: explain(url, code, &said), retry_after })
}

/// Sends a request and reads the whole answer.
pub(crate) async fn whole(
    live: &Live,
    request: Request<Vec<u8>>,
    patience: Duration,
) -> Result<Vec<u8>, Failure> {
    let body = begin(live, request, patience).await?;
    collect(live, body, ANSWER_LEN_MAX, patience).await
}

/// Reads a body to its end. Patience is for each piece of it.
pub(crate) async fn collect(
    live: &Live,
    mut body: Body,
    len_max: usize,
    patience: Duration,
) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    loop {
        let frame = match timeout(patience, body.frame()).await {
            Err(_) => return Err(Failure::broken(live, "the answer stopped half way")),
            Ok(None) => return Ok(bytes),
            Ok(Some(Err(error))) => return Err(Failure::broken(live, innermost(&error))),
            Ok(Some(Ok(frame))) => frame,
        };
        if let Some(data) = frame.data_ref() {
            bytes.extend_from_slice(data);
        }
        if bytes.len() > len_max {
            return Err(Failure::broken(live, format!("an answer longer than {len_max} bytes")));
        }
    }
}

/// What an error answer says: a `Status`, or text from something that is no API server.
fn message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Status {
        message: String,
    }
    const SHOWN_MAX: usize = 200;
    let said = match serde_json::from_slice::<Status>(body) {
        Ok(Status { message }) => message,
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    let shown: String = said.chars().filter(|char| !char.is_control()).take(SHOWN_MAX).collect();
    shown.trim().to_owned()
}

fn explain(url: &str, code: u16, said: &str) -> String {
    let hint = match code {
        401 => "; the credentials are not accepted (401): renew the token or the certificate",
        403 => "; the account may not do this (403): apply the RBAC role in config/kubernetes",
        _ => return format!("api server {url}: {code} {said}"),
    };
    format!("api server {url}: {said}{hint}")
}

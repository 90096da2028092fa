//! One patch of a Service, on the wire.

use kube::api::{GetParams, Patch as Body, PatchParams};
use kube::core::Request;
use serde_json::Value;
use spillway_cluster::events::Draft;
use spillway_cluster::{Kind, Object, ObjectKey};

use crate::connect::call::{self, Failure};
use crate::connect::link::Live;
use crate::settings::Clockwork;

/// A patch, and what is told when it has succeeded.
#[derive(Clone, Debug)]
pub(crate) struct Patch {
    pub(crate) key: ObjectKey,
    pub(crate) uid: String,
    pub(crate) is_status: bool,
    pub(crate) body: Value,
    pub(crate) events: Vec<Draft>,
}

/// What became of a patch.
#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    /// The object is now so. Plan again with it.
    Done(Object),
    /// It was planned from an older object than this one. Plan again. `None`: it could not be read.
    Conflict(Option<Object>),
    /// The object is gone, or another one has its name.
    Gone,
    /// The API server does not let us write. It is tried again each minute.
    Forbidden(String),
    /// The API server does not take it, and will not.
    Invalid(String),
    /// The API server cannot take it now. It is tried again.
    Unavailable(String),
    /// Another box is the leader.
    NotLeader,
}

fn request(key: &ObjectKey) -> Request {
    Request::new(format!("/api/v1/namespaces/{}/services", key.namespace))
}

/// Sends it.
pub(crate) async fn send(
    live: &Live,
    clockwork: &Clockwork,
    patch: &Patch,
) -> Result<Written, Failure> {
    let Patch { key, uid, is_status, body, events: _ } = patch;
    let (to, params, body) = (request(key), PatchParams::default(), Body::Merge(body));
    let request = if *is_status {
        to.patch_subresource("status", &key.name, &params, &body)
    } else {
        to.patch(&key.name, &params, &body)
    };
    let request = match request {
        Ok(request) => request,
        Err(error) => return Ok(Written::Invalid(error.to_string())),
    };
    let failure = match call::whole(live, request, clockwork.answer_timeout).await {
        Ok(answer) => return read(live, &answer).map(Written::Done),
        Err(failure) => failure,
    };
    match failure.code() {
        Some(404) => Ok(Written::Gone),
        Some(409) => current(live, clockwork, key, uid).await,
        Some(403) => Ok(Written::Forbidden(failure.text().to_owned())),
        Some(400 | 405 | 413 | 415 | 422) => Ok(Written::Invalid(failure.text().to_owned())),
        Some(_) | None => Err(failure),
    }
}

/// The object as it is after a conflict.
async fn current(
    live: &Live,
    clockwork: &Clockwork,
    key: &ObjectKey,
    uid: &str,
) -> Result<Written, Failure> {
    let Ok(request) = request(key).get(&key.name, &GetParams::default()) else {
        return Ok(Written::Conflict(None));
    };
    let object = match call::whole(live, request, clockwork.answer_timeout).await {
        Ok(answer) => read(live, &answer)?,
        Err(failure) if failure.code() == Some(404) => return Ok(Written::Gone),
        Err(_) => return Ok(Written::Conflict(None)),
    };
    let is_same = matches!(&object, Object::Service(service) if service.meta.uid == uid);
    Ok(if is_same { Written::Conflict(Some(object)) } else { Written::Gone })
}

fn read(live: &Live, answer: &[u8]) -> Result<Object, Failure> {
    let value: Value =
        serde_json::from_slice(answer).map_err(|error| Failure::broken(live, error))?;
    Object::parse(Kind::Service, &value).map_err(|error| Failure::broken(live, error))
}

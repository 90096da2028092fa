//! Refusals as the API words them: a `Status` object and the HTTP code that goes with it.

use serde_json::{Value, json};

use crate::json;
use crate::resource::Resource;

/// A refusal. The texts are those of the recorded server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    pub code: u16,
    /// Empty: none is sent.
    pub reason: String,
    pub message: String,
    pub details: Option<Value>,
    /// Of an expired continue token: how to go on without consistency.
    pub continue_token: Option<String>,
}

/// One thing that is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    pub reason: &'static str,
    pub field: String,
    pub message: String,
}

impl Cause {
    /// `field: Invalid value: value: why`; a value of text is quoted.
    pub fn invalid(field: impl Into<String>, value: &Value, why: &str) -> Self {
        let message = format!("Invalid value: {value}: {why}");
        Self { reason: "FieldValueInvalid", field: field.into(), message }
    }

    /// `field: Forbidden: why`.
    pub fn forbidden(field: impl Into<String>, why: &str) -> Self {
        let message = format!("Forbidden: {why}");
        Self { reason: "FieldValueForbidden", field: field.into(), message }
    }

    /// `field: Required value: why`.
    pub fn required(field: impl Into<String>, why: &str) -> Self {
        let colon = if why.is_empty() { "" } else { ": " };
        let message = format!("Required value{colon}{why}");
        Self { reason: "FieldValueRequired", field: field.into(), message }
    }

    /// `field: Duplicate value: value`.
    pub fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        let message = format!("Duplicate value: {value}");
        Self { reason: "FieldValueDuplicate", field: field.into(), message }
    }

    /// `field: Unsupported value: value: supported values: ...`.
    pub fn unsupported(field: impl Into<String>, value: &Value, supported: &[&str]) -> Self {
        let supported: Vec<String> = supported.iter().map(|name| format!("\"{name}\"")).collect();
        let message =
            format!("Unsupported value: {value}: supported values: {}", supported.join(", "));
        Self { reason: "FieldValueNotSupported", field: field.into(), message }
    }
}

impl Status {
    fn new(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
            message: message.into(),
            details: None,
            continue_token: None,
        }
    }

    fn about(mut self, resource: &Resource, name: &str) -> Self {
        let mut details = json!({"name": name, "kind": resource.plural});
        if !resource.group.is_empty() {
            json::set(&mut details, &["group"], resource.group.into());
        }
        self.details = Some(details);
        self
    }

    /// 400: the request itself makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 401: credentials that nobody has.
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 403 in the words of RBAC.
    pub fn forbidden(asked: &crate::auth::Asked<'_>, user: &str) -> Self {
        let crate::auth::Asked { verb, resource, subresource, namespace, name } = *asked;
        let quoted = if name.is_empty() { String::new() } else { format!(" \"{name}\"") };
        let slash = if subresource.is_empty() { "" } else { "/" };
        let place = match namespace {
            Some(namespace) => format!("in the namespace \"{namespace}\""),
            None => "at the cluster scope".into(),
        };
        let message = format!(
            "{}{quoted} is forbidden: User \"{user}\" cannot {verb} resource \
             \"{}{slash}{subresource}\" in API group \"{}\" {place}",
            resource.qualified(),
            resource.plural,
            resource.group,
        );
        let mut details = json!({"kind": resource.plural});
        if !name.is_empty() {
            json::set(&mut details, &["name"], name.into());
        }
        if !resource.group.is_empty() {
            json::set(&mut details, &["group"], resource.group.into());
        }
        Self { details: Some(details), ..Self::new(403, "Forbidden", message) }
    }

    /// 403 for a path that is no resource.
    pub fn forbidden_path(user: &str, verb: &str, path: &str) -> Self {
        let message = format!("forbidden: User \"{user}\" cannot {verb} path \"{path}\"");
        Self { details: Some(json!({})), ..Self::new(403, "Forbidden", message) }
    }

    /// 404: no such object.
    pub fn not_found(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", resource.qualified());
        Self::new(404, "NotFound", message).about(resource, name)
    }

    /// 405.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self { details: Some(json!({})), ..Self::new(405, "MethodNotAllowed", message) }
    }

    /// 409: the name is taken.
    pub fn already_exists(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", resource.qualified());
        Self::new(409, "AlreadyExists", message).about(resource, name)
    }

    /// 409: somebody else was faster.
    pub fn conflict(resource: &Resource, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version \
                   and try again";
        Self::conflict_because(resource, name, why)
    }

    /// 409 for another reason.
    pub fn conflict_because(resource: &Resource, name: &str, why: &str) -> Self {
        let what = resource.qualified();
        let message = format!("Operation cannot be fulfilled on {what} \"{name}\": {why}");
        Self::new(409, "Conflict", message).about(resource, name)
    }

    /// 410: what was asked for is forgotten.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 415.
    pub fn unsupported_media_type(accepted: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {accepted}"
        );
        Self { details: Some(json!({})), ..Self::new(415, "UnsupportedMediaType", message) }
    }

    /// 406.
    pub fn not_acceptable() -> Self {
        let message = "only the following media types are accepted: application/json";
        Self { details: Some(json!({})), ..Self::new(406, "NotAcceptable", message) }
    }

    /// 422: the object breaks a rule.
    pub fn invalid(group: &str, kind: &str, name: &str, causes: &[Cause]) -> Self {
        let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let lines: Vec<String> =
            causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
        let lines = match lines.as_slice() {
            [line] => line.clone(),
            lines => format!("[{}]", lines.join(", ")),
        };
        let message = format!("{qualified} \"{name}\" is invalid: {lines}");
        let causes: Vec<Value> = causes
            .iter()
            .map(|cause| {
                json!({"reason": cause.reason, "message": cause.message, "field": cause.field})
            })
            .collect();
        let mut details = json!({"kind": kind, "causes": causes});
        if !name.is_empty() {
            json::set(&mut details, &["name"], name.into());
        }
        if !group.is_empty() {
            json::set(&mut details, &["group"], group.into());
        }
        Self { details: Some(details), ..Self::new(422, "Invalid", message) }
    }

    /// 500 with no reason, as a malformed version is answered.
    pub fn bad_version(text: &str) -> Self {
        let message = format!(
            "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
        );
        Self::new(500, "", message)
    }

    /// 500.
    pub fn internal(message: impl Into<String>) -> Self {
        let message = message.into();
        let details = json!({"causes": [{"message": message}]});
        let full = format!("Internal error occurred: {message}");
        Self { details: Some(details), ..Self::new(500, "InternalError", full) }
    }

    /// 504: a version that is not there yet.
    pub fn future_version(asked: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
        let cause = json!({"reason": "ResourceVersionTooLarge",
            "message": "Too large resource version"});
        let details = json!({"causes": [cause], "retryAfterSeconds": 1});
        Self { details: Some(details), ..Self::new(504, "Timeout", message) }
    }

    /// What an overloaded or broken server says: 429, 500, 503 and so on.
    pub fn fault(code: u16, retry_after_s: Option<u32>) -> Self {
        let (reason, message) = match code {
            429 => (
                "TooManyRequests",
                "the server has received too many requests and has asked us to try again later",
            ),
            503 => ("ServiceUnavailable", "the server is currently unable to handle the request"),
            504 => (
                "Timeout",
                "the server was unable to return a response in the time allotted, but may still be processing the request",
            ),
            _ => (
                "InternalError",
                "an error on the server has prevented the request from succeeding",
            ),
        };
        let details = retry_after_s.map(|s| json!({"retryAfterSeconds": s}));
        Self { details, ..Self::new(code, reason, message) }
    }

    /// Seconds for the header `Retry-After`.
    pub fn retry_after_s(&self) -> Option<u64> {
        self.details.as_ref()?.get("retryAfterSeconds")?.as_u64()
    }

    /// The object that is sent.
    pub fn to_value(&self) -> Value {
        let metadata = match &self.continue_token {
            Some(token) => json!({"continue": token}),
            None => json!({}),
        };
        let mut value = json!({"kind": "Status", "apiVersion": "v1", "metadata": metadata,
            "status": "Failure", "message": self.message, "code": self.code});
        if !self.reason.is_empty() {
            json::set(&mut value, &["reason"], self.reason.as_str().into());
        }
        if let Some(details) = &self.details {
            json::set(&mut value, &["details"], details.clone());
        }
        value
    }
}

//! The forms in which objects are sent: whole, metadata alone, or rows of a table.

use serde_json::{Value, json};

use crate::object::{Object, metadata_only, with_type};
use crate::resource::{Kind, Resource};
use crate::store::Page;
use crate::table;
use crate::time::Timestamp;
use crate::{event, json};

/// What the Accept header asks for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Form {
    Full,
    Metadata,
    Table,
}

const META: &str = "meta.k8s.io/v1";

impl Form {
    /// The first media type of `accept` that this server can give; `None`: there is none.
    pub fn of(accept: &str) -> Option<Self> {
        if accept.trim().is_empty() {
            return Some(Self::Full);
        }
        accept.split(',').find_map(|media| {
            let mut parts = media.split(';').map(str::trim);
            let is_json =
                matches!(parts.next(), Some("application/json" | "application/*" | "*/*"));
            let parameters: Vec<&str> = parts.collect();
            let is_v1 = !parameters.contains(&"v=v1beta1");
            let kind = parameters.iter().find_map(|parameter| parameter.strip_prefix("as="));
            match kind {
                _ if !is_json => None,
                None => Some(Self::Full),
                Some("Table") if is_v1 => Some(Self::Table),
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") if is_v1 => {
                    Some(Self::Metadata)
                }
                Some(_) => None,
            }
        })
    }

    /// One object by itself.
    pub fn object(self, resource: &Resource, object: &Object, now: Timestamp) -> String {
        match self {
            Self::Full if is_new_event(resource) => {
                let value = event::from_core(object.value.clone());
                with_type(resource.kind_name, &resource.api_version(), &value.to_string())
            }
            Self::Full => object.full(resource),
            Self::Metadata => partial("PartialObjectMetadata", &metadata_only(&object.value)),
            Self::Table => {
                let metadata = json!({"resourceVersion": object.version.to_string()});
                table::render(resource, [object], &metadata, now).to_string()
            }
        }
    }

    /// The object of a bookmark.
    pub fn bookmark(self, resource: &Resource, version: u64, ends_initial: bool) -> String {
        let mut metadata = json!({"resourceVersion": version.to_string()});
        if ends_initial {
            let annotations = json!({"k8s.io/initial-events-end": "true"});
            json::set(&mut metadata, &["annotations"], annotations);
        }
        match self {
            Self::Full => {
                let mut zero = resource.zero();
                zero.insert("metadata".into(), metadata);
                let text = Value::Object(zero).to_string();
                with_type(resource.kind_name, &resource.api_version(), &text)
            }
            Self::Metadata => partial("PartialObjectMetadata", &json!({"metadata": metadata})),
            Self::Table => {
                table::render(resource, [], &metadata, Timestamp::from_secs(0)).to_string()
            }
        }
    }

    /// A list.
    pub fn list(self, resource: &Resource, page: &Page, now: Timestamp) -> String {
        let mut metadata = json!({"resourceVersion": page.version.to_string()});
        if let Some(token) = &page.continue_token {
            json::set(&mut metadata, &["continue"], token.as_str().into());
        }
        if let Some(remaining) = page.remaining {
            json::set(&mut metadata, &["remainingItemCount"], remaining.into());
        }
        let head = |kind: &str, api_version: &str, items: &[String]| {
            let rest = format!("{{\"metadata\":{metadata},\"items\":[{}]}}", items.join(","));
            with_type(kind, api_version, &rest)
        };
        match self {
            Self::Full => {
                let kind = format!("{}List", resource.kind_name);
                let items: Vec<String> = page.items.iter().map(|o| item(resource, o)).collect();
                head(&kind, &resource.api_version(), &items)
            }
            Self::Metadata => {
                let items: Vec<String> =
                    page.items.iter().map(|o| metadata_only(&o.value).to_string()).collect();
                head("PartialObjectMetadataList", META, &items)
            }
            Self::Table => {
                let objects = page.items.iter().map(AsRef::as_ref);
                table::render(resource, objects, &metadata, now).to_string()
            }
        }
    }
}

fn item(resource: &Resource, object: &Object) -> String {
    if is_new_event(resource) {
        event::from_core(object.value.clone()).to_string()
    } else {
        object.item().to_owned()
    }
}

fn is_new_event(resource: &Resource) -> bool {
    resource.kind == Kind::Event && !resource.group.is_empty()
}

fn partial(kind: &str, value: &Value) -> String {
    with_type(kind, META, &value.to_string())
}

//! One request against the store: pure, and complete but for who may ask and how bytes travel.

use std::time::Duration;

use serde_json::{Value, json};

use crate::form::Form;
use crate::object::Key;
use crate::patch::Format;
use crate::request::{Place, Query, Verb};
use crate::status::Status;
use crate::store::{Part, Preconditions, Store};
use crate::time::Timestamp;
use crate::watch::Watch;

/// A request for an object or objects.
#[derive(Debug)]
pub struct Call {
    pub place: Place,
    pub verb: Verb,
    pub query: Query,
    pub form: Form,
    pub content_type: String,
    /// Null: there was none.
    pub body: Value,
}

/// What is to be sent.
#[derive(Debug)]
pub enum Answer {
    Object {
        code: u16,
        text: String,
    },
    /// A stream that ends after `timeout`.
    Watch {
        watch: Watch,
        form: Form,
        timeout: Duration,
    },
}

/// How long a watch lasts whose client does not say: `--min-request-timeout`'s default.
const WATCH_S: u64 = 1800;

impl Call {
    /// Carries it out.
    pub fn answer(&self, store: &mut Store, now: Timestamp) -> Result<Answer, Status> {
        let Place { resource, namespace, name, subresource } = &self.place;
        let key = Key::new(namespace.as_deref(), name);
        let part = if subresource.is_empty() { Part::Main } else { Part::Status };
        let is_write = !matches!(self.verb, Verb::Get | Verb::List | Verb::Watch);
        if is_write && !self.query.text("dryRun").is_empty() {
            return Err(Status::bad_request("this server for tests does not offer dryRun"));
        }
        let one = |code: u16, object: &crate::object::Object| Answer::Object {
            code,
            text: self.form.object(resource, object, now),
        };
        match self.verb {
            Verb::Get => Ok(one(200, store.get(resource, &key)?.as_ref())),
            Verb::List => {
                let page = store.list(resource, &self.query.list(&self.place)?)?;
                Ok(Answer::Object { code: 200, text: self.form.list(resource, &page, now) })
            }
            Verb::Watch => {
                let seconds = self.query.number("timeoutSeconds")?.filter(|s| *s > 0);
                let timeout = Duration::from_secs(seconds.unwrap_or(WATCH_S));
                let watch = Watch::new(resource, self.query.watch(&self.place)?);
                Ok(Answer::Watch { watch, form: self.form, timeout })
            }
            Verb::Create => {
                let created =
                    store.create(resource, namespace.as_deref(), self.body.clone(), now)?;
                Ok(one(201, &created))
            }
            Verb::Update => {
                let is_new = resource.put_creates() && store.get(resource, &key).is_err();
                if is_new && part == Part::Main {
                    return self.create_named(store, now);
                }
                Ok(one(200, store.replace(resource, part, &key, self.body.clone())?.as_ref()))
            }
            Verb::Patch => self.patch(store, &key, part, now),
            Verb::Delete => {
                let (object, is_gone) =
                    store.delete(resource, &key, &preconditions(&self.body), now)?;
                if is_gone && !resource.delete_returns_object() {
                    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {},
                        "status": "Success", "details": {"name": name, "group": resource.group,
                        "kind": resource.plural, "uid": object.uid()}});
                    return Ok(Answer::Object { code: 200, text: status.to_string() });
                }
                Ok(one(200, &object))
            }
            Verb::DeleteCollection => {
                let page = store.list(resource, &self.query.list(&self.place)?)?;
                for object in &page.items {
                    store.delete(resource, &object.key(), &Preconditions::default(), now)?;
                }
                Ok(Answer::Object { code: 200, text: self.form.list(resource, &page, now) })
            }
        }
    }

    fn create_named(&self, store: &mut Store, now: Timestamp) -> Result<Answer, Status> {
        let Place { resource, namespace, name, .. } = &self.place;
        let mut object = self.body.clone();
        crate::json::default(&mut object, &["metadata", "name"], name.as_str());
        crate::json::remove(&mut object, &["metadata", "resourceVersion"]);
        let created = store.create(resource, namespace.as_deref(), object, now)?;
        Ok(Answer::Object { code: 201, text: self.form.object(resource, &created, now) })
    }

    fn patch(
        &self,
        store: &mut Store,
        key: &Key,
        part: Part,
        now: Timestamp,
    ) -> Result<Answer, Status> {
        let resource = self.place.resource;
        let format = Format::of(&self.content_type).ok_or_else(|| {
            Status::unsupported_media_type(
                "application/json-patch+json, application/merge-patch+json, \
                 application/strategic-merge-patch+json, application/apply-patch+yaml",
            )
        })?;
        if format == Format::Apply {
            if self.query.text("fieldManager").is_empty() {
                return Err(Status::bad_request(
                    "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is \
                     required for apply patch",
                ));
            }
            if part == Part::Main && store.get(resource, key).is_err() {
                return self.create_named(store, now);
            }
        }
        let object = store.patch(resource, part, key, (format, &self.body))?;
        Ok(Answer::Object { code: 200, text: self.form.object(resource, &object, now) })
    }
}

fn preconditions(options: &Value) -> Preconditions {
    let text = |field| crate::json::text(options, &["preconditions", field]).map(ToOwned::to_owned);
    Preconditions { uid: text("uid"), version: text("resourceVersion") }
}

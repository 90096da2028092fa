//! Create, replace, patch and delete, with the rules that all kinds share.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Store, admit};
use crate::json;
use crate::object::{Key, Object};
use crate::patch::{self, Format};
use crate::resource::{Kind, Resource};
use crate::status::{Cause, Status};
use crate::time::Timestamp;

/// What of an object a write is about.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything but the status.
    Main,
    /// The status, and the metadata too: as in the real server.
    Status,
}

/// What must be true of an object for a DELETE to happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    pub uid: Option<String>,
    pub version: Option<String>,
}

impl Store {
    /// Creates an object; `namespace` is the one of the path.
    pub fn create(
        &mut self,
        resource: &Resource,
        namespace: Option<&str>,
        mut object: Value,
        now: Timestamp,
    ) -> Result<Arc<Object>, Status> {
        admit::take_off_type(resource, &mut object)?;
        self.name(resource, namespace, &mut object)?;
        if let Some(namespace) = namespace {
            let spaces = Resource::of_kind(Kind::Namespace);
            let is_there = self.objects(Kind::Namespace).contains_key(&Key::new(None, namespace));
            if let Some(spaces) = spaces.filter(|_| !is_there) {
                return Err(Status::not_found(spaces, namespace));
            }
        }
        let name = json::text(&object, &["metadata", "name"]).unwrap_or_default().to_owned();
        if self.objects(resource.kind).contains_key(&Key::new(namespace, &name)) {
            return Err(Status::already_exists(resource, &name));
        }
        if json::text(&object, &["metadata", "resourceVersion"]).is_some_and(|v| !v.is_empty()) {
            let message = "resourceVersion should not be set on objects to be created";
            return Err(Status {
                code: 500,
                reason: String::new(),
                ..Status::bad_request(message)
            });
        }
        for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "generation"] {
            json::remove(&mut object, &["metadata", field]);
        }
        json::set(&mut object, &["metadata", "uid"], self.uid().into());
        json::set(&mut object, &["metadata", "creationTimestamp"], now.rfc3339().into());
        if resource.has_generation() {
            json::set(&mut object, &["metadata", "generation"], 1.into());
        }
        admit::create(resource, &mut object, &mut self.allocator)?;
        self.commit(resource.kind, None, Some(object))
            .ok_or_else(|| Status::internal("nothing was stored"))
    }

    /// Creates an object of whatever kind it says it is, with its status, as a fixture needs it.
    pub fn load(&mut self, object: &Value, now: Timestamp) -> Result<Arc<Object>, Status> {
        let resource = Resource::of_object(object).ok_or_else(|| {
            let text = |field| json::text(object, &[field]).unwrap_or("nothing");
            Status::bad_request(format!(
                "no matches for kind {} in version {}: this server does not have it",
                text("kind"),
                text("apiVersion")
            ))
        })?;
        let mut object = object.clone();
        json::remove(&mut object, &["metadata", "resourceVersion"]);
        if resource.is_namespaced {
            json::default(&mut object, &["metadata", "namespace"], "default");
        }
        let namespace = json::text(&object, &["metadata", "namespace"]).map(ToOwned::to_owned);
        let status = json::at(&object, &["status"]).cloned();
        let created = self.create(resource, namespace.as_deref(), object, now)?;
        let Some(status) = status.filter(|_| resource.has_status) else { return Ok(created) };
        let patch = json!({"status": status});
        self.patch(resource, Part::Status, &created.key(), (Format::Merge, &patch))
    }

    /// PUT: the object becomes this.
    pub fn replace(
        &mut self,
        resource: &Resource,
        part: Part,
        key: &Key,
        new: Value,
    ) -> Result<Arc<Object>, Status> {
        let old = self.get(resource, key)?;
        let has_version = json::text(&new, &["metadata", "resourceVersion"])
            .is_some_and(|version| !version.is_empty());
        if resource.put_needs_version() && !has_version {
            let why = "must be specified for an update";
            let cause = Cause::invalid("metadata.resourceVersion", &json!(0), why);
            let (group, kind) = (resource.group, resource.kind_name);
            return Err(Status::invalid(group, kind, old.name(), &[cause]));
        }
        self.change(resource, part, &old, new)
    }

    /// PATCH. A patch with a `resourceVersion` applies to that version only.
    pub fn patch(
        &mut self,
        resource: &Resource,
        part: Part,
        key: &Key,
        (format, patch): (Format, &Value),
    ) -> Result<Arc<Object>, Status> {
        let old = self.get(resource, key)?;
        let is_new_event = resource.kind == Kind::Event && !resource.group.is_empty();
        let patched = if is_new_event {
            patch::apply(format, &crate::event::from_core(old.value.clone()), patch)?
        } else {
            patch::apply(format, &old.value, patch)?
        };
        self.change(resource, part, &old, patched)
    }

    /// Stores `new` in place of `old`, as far as the part allows.
    fn change(
        &mut self,
        resource: &Resource,
        part: Part,
        old: &Arc<Object>,
        mut new: Value,
    ) -> Result<Arc<Object>, Status> {
        admit::take_off_type(resource, &mut new)?;
        admit::check_identity(resource, old, &new)?;
        admit::keep_metadata(old, &mut new);
        match part {
            Part::Main if resource.has_status => json::copy(&old.value, &mut new, &["status"]),
            Part::Main => {}
            Part::Status => {
                let (metadata, status) = (new.get("metadata").cloned(), new.get("status").cloned());
                new = old.value.clone();
                for (name, member) in [("metadata", metadata), ("status", status)] {
                    json::set(&mut new, &[name], member.unwrap_or_else(|| json!({})));
                }
            }
        }
        admit::check_finalizers(resource, old, &new)?;
        admit::change(resource, part, &old.value, &mut new, &mut self.allocator)?;
        json::copy(&old.value, &mut new, &["metadata", "resourceVersion"]);
        if new == old.value {
            return Ok(Arc::clone(old));
        }
        if resource.has_generation() {
            admit::count_generation(&old.value, &mut new);
        }
        let is_gone =
            old.is_terminating() && json::list(&new, &["metadata", "finalizers"]).is_empty();
        if is_gone {
            self.remove(resource, old);
            return Ok(Arc::new(Object::new(new, self.version)));
        }
        self.commit(resource.kind, Some(old), Some(new))
            .ok_or_else(|| Status::internal("nothing was stored"))
    }

    /// DELETE. With finalizers the object stays, marked; without it goes. The object as it was
    /// left, and whether it is gone.
    pub fn delete(
        &mut self,
        resource: &Resource,
        key: &Key,
        preconditions: &Preconditions,
        now: Timestamp,
    ) -> Result<(Arc<Object>, bool), Status> {
        let old = self.get(resource, key)?;
        if let Some(uid) = preconditions.uid.as_deref().filter(|uid| *uid != old.uid()) {
            let why = format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                old.uid()
            );
            return Err(Status::conflict_because(resource, old.name(), &why));
        }
        if let Some(version) = &preconditions.version
            && *version != old.version.to_string()
        {
            let why = format!(
                "Precondition failed: ResourceVersion in precondition: {version}, ResourceVersion \
                 in object meta: {}",
                old.version
            );
            return Err(Status::conflict_because(resource, old.name(), &why));
        }
        if old.has_finalizers() {
            if old.is_terminating() {
                return Ok((old, false));
            }
            let mut marked = old.value.clone();
            json::set(&mut marked, &["metadata", "deletionTimestamp"], now.rfc3339().into());
            json::set(&mut marked, &["metadata", "deletionGracePeriodSeconds"], 0.into());
            let marked = self.commit(resource.kind, Some(&old), Some(marked));
            return Ok((marked.unwrap_or(old), false));
        }
        if resource.kind == Kind::Namespace {
            self.empty_namespace(old.name());
        }
        self.remove(resource, &old);
        Ok((old, true))
    }

    fn remove(&mut self, resource: &Resource, old: &Arc<Object>) {
        if resource.kind == Kind::Service {
            self.allocator.release(&old.value);
        }
        self.commit(resource.kind, Some(old), None);
    }

    /// What the namespace controller does, at once and without asking finalizers.
    fn empty_namespace(&mut self, namespace: &str) {
        for resource in crate::resource::RESOURCES.iter().filter(|r| r.is_namespaced) {
            let inside: Vec<Arc<Object>> = self
                .objects(resource.kind)
                .values()
                .filter(|object| object.namespace() == Some(namespace))
                .cloned()
                .collect();
            for object in inside {
                self.remove(resource, &object);
            }
        }
    }

    /// Settles name and namespace of a new object.
    fn name(
        &mut self,
        resource: &Resource,
        namespace: Option<&str>,
        object: &mut Value,
    ) -> Result<(), Status> {
        let own = json::text(object, &["metadata", "namespace"]).unwrap_or_default();
        match namespace {
            Some(namespace) if !own.is_empty() && own != namespace => {
                return Err(Status::bad_request(
                    "the namespace of the provided object does not match the namespace sent on \
                     the request",
                ));
            }
            Some(namespace) => json::set(object, &["metadata", "namespace"], namespace.into()),
            None => {
                json::remove(object, &["metadata", "namespace"]);
            }
        }
        let has_name = json::text(object, &["metadata", "name"]).is_some_and(|n| !n.is_empty());
        if let Some(prefix) = json::text(object, &["metadata", "generateName"])
            && !has_name
        {
            let prefix = prefix.to_owned();
            let name = format!("{prefix}{}", self.suffix());
            json::set(object, &["metadata", "name"], name.into());
        }
        admit::check_name(resource, object)
    }
}

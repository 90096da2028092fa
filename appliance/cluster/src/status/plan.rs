//! From what a Service's status says to what it is to say.

use serde_json::{Value, json};
use spillway_lb::ids::Generation;

use super::condition::{Verdict, stated, withdrawn};
use super::ingress::{foreign, same, written};
use super::{FINALIZER, Ingress, Intent, IntentState, MARK, PendingReason, mark};
use crate::addresses::AddressBook;
use crate::change::ObjectKey;
use crate::events::{Draft, Reason};
use crate::object::{Condition, Service};

/// The type of Service that has a load balancer.
const LOAD_BALANCER: &str = "LoadBalancer";

/// What a plan depends on besides the intent and the object.
#[derive(Copy, Clone, Debug)]
pub struct Circumstances<'a> {
    /// RFC 3339 in UTC.
    pub now: &'a str,
    /// The newest Generation that every worker has acknowledged.
    pub served: Generation,
    /// [`crate::Policy::class`].
    pub class: &'a str,
    pub book: &'a AddressBook,
}

/// One thing to tell the API server.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// `PATCH` with `application/merge-patch+json`. 409: read the object again and plan anew; 404: done.
    PatchService {
        key: ObjectKey,
        uid: String,
        /// To the subresource `status`, else to the object itself.
        is_status: bool,
        body: Value,
    },
    /// To be told once the patch beside it has succeeded, through an [`crate::events::Recorder`].
    Event(Draft),
}

/// The next write that brings the object to the intent, with the events that tell of it; nothing when the object
/// already says so, when it must wait for the workers, or when it is somebody else's. At most one
/// [`Write::PatchService`], which comes first: plan again with the object of its answer.
pub fn plan(intent: &Intent, observed: &Service, circumstances: &Circumstances<'_>) -> Vec<Write> {
    let view = View { intent, observed, circumstances };
    // Without a version a patch would overwrite what it never saw.
    let is_current = observed.meta.uid == intent.uid && !observed.meta.resource_version.is_empty();
    if !is_current || view.is_of_foreign_class() {
        return Vec::new();
    }
    let may_state = view.is_load_balancer() && !observed.meta.is_terminating();
    match &intent.state {
        IntentState::Serve { ingress, generation } if may_state => view.serve(ingress, *generation),
        IntentState::Pending { reason, message } if may_state => view.pend(*reason, message),
        // A cluster that has moved on: the next intent will say so too.
        IntentState::Serve { .. } | IntentState::Pending { .. } => Vec::new(),
        IntentState::CleanUp { is_deleted, generation } => {
            if circumstances.served < *generation {
                return Vec::new();
            }
            view.clean_up(*is_deleted)
        }
    }
}

struct View<'a> {
    intent: &'a Intent,
    observed: &'a Service,
    circumstances: &'a Circumstances<'a>,
}

impl View<'_> {
    fn is_load_balancer(&self) -> bool {
        self.observed.spec.type_ == LOAD_BALANCER
    }

    /// The class cannot change while the type is LoadBalancer, so another one was never ours.
    fn is_of_foreign_class(&self) -> bool {
        let class = self.observed.spec.load_balancer_class.as_deref();
        self.is_load_balancer() && class.is_some_and(|class| class != self.circumstances.class)
    }

    fn has_finalizer(&self) -> bool {
        self.observed.meta.finalizers.iter().any(|finalizer| finalizer == FINALIZER)
    }

    fn is_marked(&self) -> bool {
        let ours = mark(self.circumstances.class, &self.observed.meta.uid);
        self.observed.meta.annotations.get(MARK) == Some(&ours)
    }

    fn serve(&self, ingress: &[Ingress], generation: Generation) -> Vec<Write> {
        if !self.has_finalizer() || !self.is_marked() {
            return vec![self.guard(), self.event(Reason::EnsuringLoadBalancer, None)];
        }
        if self.circumstances.served < generation {
            return Vec::new();
        }
        let before = &self.observed.status.load_balancer.ingress;
        let after: Vec<_> = ingress.iter().map(written).collect();
        let is_moved = !same(before, &after);
        let verdict = serving(ingress);
        let (conditions, differs) =
            stated(&self.observed.status.conditions, &verdict, self.circumstances.now);
        if !is_moved && !differs {
            return Vec::new();
        }
        let mut writes = vec![self.state(is_moved.then_some(&after), &conditions)];
        let was_serving = self.observed.status.conditions.iter().any(is_true);
        if !was_serving {
            writes.push(self.event(Reason::EnsuredLoadBalancer, None));
        } else if is_moved {
            writes.push(self.event(Reason::UpdatedLoadBalancer, Some(verdict.message)));
        }
        writes
    }

    fn pend(&self, reason: PendingReason, message: &str) -> Vec<Write> {
        let before = &self.observed.status.load_balancer.ingress;
        let after = foreign(before, self.is_marked(), self.circumstances);
        let (is_serving, message) = (false, message.to_owned());
        let verdict = Verdict { is_serving, reason: reason.as_str(), message };
        let (conditions, differs) =
            stated(&self.observed.status.conditions, &verdict, self.circumstances.now);
        let is_moved = after.len() != before.len();
        let mut writes = Vec::new();
        if is_moved || differs {
            writes.push(self.state(is_moved.then_some(&after), &conditions));
        }
        if differs {
            writes.push(self.event(reason.event(), Some(verdict.message)));
        }
        writes
    }

    fn clean_up(&self, is_deleted: bool) -> Vec<Write> {
        let is_proven = self.is_marked() || is_deleted;
        let status = &self.observed.status;
        let before = &status.load_balancer.ingress;
        // Whatever else wrote here since is not ours, mark or not.
        let after = foreign(before, false, self.circumstances);
        let is_moved = after.len() != before.len();
        // Of another type nobody is the load balancer, and the condition is a left-over.
        let conditions = if is_proven || is_moved || !self.is_load_balancer() {
            withdrawn(&status.conditions)
        } else {
            status.conditions.clone()
        };
        if is_moved || conditions.len() != status.conditions.len() {
            let state = self.state(is_moved.then_some(&after), &conditions);
            return vec![state, self.event(Reason::DeletingLoadBalancer, None)];
        }
        let has_mark = self.is_marked();
        if !is_proven || !(has_mark || self.has_finalizer()) {
            return Vec::new();
        }
        vec![self.unguard(), self.event(Reason::DeletedLoadBalancer, None)]
    }

    /// Adds the finalizer and the mark, both in one.
    fn guard(&self) -> Write {
        let mut finalizers = self.observed.meta.finalizers.clone();
        if !self.has_finalizer() {
            finalizers.push(FINALIZER.to_owned());
        }
        let mark = mark(self.circumstances.class, &self.observed.meta.uid);
        let metadata = json!({ "finalizers": finalizers, "annotations": { MARK: mark } });
        self.patch(false, &metadata, None)
    }

    /// Removes the finalizer and the mark, and leaves those of others.
    fn unguard(&self) -> Write {
        let all = &self.observed.meta.finalizers;
        let finalizers: Vec<_> = all.iter().filter(|finalizer| *finalizer != FINALIZER).collect();
        let metadata = if self.observed.meta.annotations.contains_key(MARK) {
            json!({ "finalizers": finalizers, "annotations": { MARK: null } })
        } else {
            json!({ "finalizers": finalizers })
        };
        self.patch(false, &metadata, None)
    }

    /// Ingress only when it changes: of a type that may not have any even an empty one could be refused.
    fn state(
        &self,
        ingress: Option<&Vec<crate::object::Ingress>>,
        conditions: &[Condition],
    ) -> Write {
        // null deletes a member (RFC 7396).
        let or_null = |value: Value, is_empty: bool| if is_empty { Value::Null } else { value };
        let mut status = json!({ "conditions": or_null(json!(conditions), conditions.is_empty()) });
        if let (Some(ingress), Some(status)) = (ingress, status.as_object_mut()) {
            let ingress = or_null(json!(ingress), ingress.is_empty());
            status.insert("loadBalancer".to_owned(), json!({ "ingress": ingress }));
        }
        self.patch(true, &json!({}), Some(status))
    }

    fn patch(&self, is_status: bool, metadata: &Value, status: Option<Value>) -> Write {
        let meta = &self.observed.meta;
        let mut metadata = metadata.clone();
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert("resourceVersion".to_owned(), json!(meta.resource_version));
            metadata.insert("uid".to_owned(), json!(meta.uid));
        }
        let mut body = json!({ "metadata": metadata });
        if let (Some(status), Some(body)) = (status, body.as_object_mut()) {
            body.insert("status".to_owned(), status);
        }
        let (key, uid) = (self.intent.service.clone(), meta.uid.clone());
        Write::PatchService { key, uid, is_status, body }
    }

    fn event(&self, reason: Reason, message: Option<String>) -> Write {
        let message = message.or_else(|| reason.message().map(str::to_owned));
        Write::Event(Draft {
            service: self.intent.service.clone(),
            uid: self.intent.uid.clone(),
            reason,
            message: message.unwrap_or_default(),
        })
    }
}

fn is_true(condition: &Condition) -> bool {
    condition.type_ == super::CONDITION && condition.status == "True"
}

fn serving(ingress: &[Ingress]) -> Verdict {
    let addresses: Vec<_> = ingress.iter().map(|ingress| ingress.ip.to_string()).collect();
    let failing = ingress.first().into_iter().flat_map(|ingress| &ingress.ports);
    let failing: Vec<_> = failing
        .filter_map(|port| Some(format!("port {}: {}", port.port, port.error?.as_str())))
        .collect();
    let (reason, rest) = match failing.as_slice() {
        [] => ("Serving", String::new()),
        _ => ("ServingInPart", format!("; not served: {}", failing.join(", "))),
    };
    let message = format!("served on {}{rest}", addresses.join(", "));
    Verdict { is_serving: true, reason, message }
}

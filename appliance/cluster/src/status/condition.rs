//! The box's own condition among those of others.

use super::CONDITION;
use crate::object::Condition;

/// The API takes 32,768 characters; what is longer than this nobody reads.
const MESSAGE_LEN_MAX: usize = 1024;

/// What the condition is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) is_serving: bool,
    /// CamelCase, as the API demands.
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// All conditions with ours as the verdict says, and whether that differs from what is there. Those of others
/// stay as they are and where they are.
pub(super) fn stated(before: &[Condition], verdict: &Verdict, now: &str) -> (Vec<Condition>, bool) {
    let old = before.iter().find(|condition| condition.type_ == CONDITION);
    let status = if verdict.is_serving { "True" } else { "False" };
    let since =
        old.filter(|old| old.status == status).and_then(|old| old.last_transition_time.clone());
    let ours = Condition {
        type_: CONDITION.to_owned(),
        status: status.to_owned(),
        // Services carry no metadata.generation that it could repeat (seen up to v1.36).
        observed_generation: None,
        last_transition_time: Some(since.unwrap_or_else(|| now.to_owned())),
        reason: verdict.reason.to_owned(),
        message: shortened(&verdict.message),
    };
    let differs = old.is_none_or(|old| {
        old.status != ours.status || old.reason != ours.reason || old.message != ours.message
    });
    let mut after: Vec<Condition> = before.to_vec();
    match after.iter_mut().find(|condition| condition.type_ == CONDITION) {
        Some(slot) => *slot = ours,
        None => after.push(ours),
    }
    (after, differs)
}

/// All conditions but ours.
pub(super) fn withdrawn(before: &[Condition]) -> Vec<Condition> {
    before.iter().filter(|condition| condition.type_ != CONDITION).cloned().collect()
}

pub(crate) fn shortened(message: &str) -> String {
    let end = message.floor_char_boundary(MESSAGE_LEN_MAX);
    message.get(..end).unwrap_or_default().to_owned()
}

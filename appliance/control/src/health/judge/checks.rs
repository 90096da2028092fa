//! The latest turn of each check, and which Services use it.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Check, State, Turn};

/// Place of a check. Lent anew when nobody uses it any more.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct CheckId(usize);

/// What a check has shown last.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) state: State,
    pub(super) weight: Option<u16>,
}

#[derive(Debug)]
struct Known {
    check: Arc<Check>,
    shown: Shown,
    /// Services by their place in the model, each once.
    users: Vec<usize>,
}

/// All checks that the model asks for.
#[derive(Debug, Default)]
pub(super) struct Checks {
    known: Vec<Option<Known>>,
    free: Vec<CheckId>,
    index: HashMap<Arc<Check>, CheckId>,
    /// Since the last [`Checks::set_users`].
    has_new: bool,
}

impl Checks {
    /// The place of a check, which is made when it is new.
    pub(super) fn place(&mut self, check: Check) -> CheckId {
        if let Some(id) = self.index.get(&check) {
            return *id;
        }
        let check = Arc::new(check);
        let shown = Shown { state: State::Unknown, weight: None };
        let known = Known { check: Arc::clone(&check), shown, users: Vec::new() };
        let id = self.free.pop().unwrap_or_else(|| {
            self.known.push(None);
            CheckId(self.known.len() - 1)
        });
        if let Some(place) = self.known.get_mut(id.0) {
            *place = Some(known);
        }
        self.index.insert(check, id);
        self.has_new = true;
        id
    }

    /// Makes the n-th item the checks of the n-th Service, and forgets those that nobody has. True
    /// when there are others than before.
    pub(super) fn set_users<'a>(
        &mut self,
        users: impl Iterator<Item = impl Iterator<Item = &'a CheckId>>,
    ) -> bool {
        self.known.iter_mut().flatten().for_each(|known| known.users.clear());
        for (user, checks) in users.enumerate() {
            for id in checks {
                let Some(known) = self.get_mut(*id) else { continue };
                if known.users.last() != Some(&user) {
                    known.users.push(user);
                }
            }
        }
        let mut changed = std::mem::take(&mut self.has_new);
        for (at, place) in self.known.iter_mut().enumerate() {
            let Some(known) = place.take_if(|known| known.users.is_empty()) else { continue };
            self.index.remove(&known.check);
            self.free.push(CheckId(at));
            changed = true;
        }
        changed
    }

    /// Takes in a turn; answers with what was shown before, and who is concerned.
    pub(super) fn note(&mut self, turn: &Turn) -> Option<(Shown, &[usize])> {
        let id = *self.index.get(&turn.check)?;
        let known = self.get_mut(id)?;
        let shown = Shown { state: turn.state, weight: turn.weight };
        let before = std::mem::replace(&mut known.shown, shown);
        Some((before, &known.users))
    }

    pub(super) fn shown(&self, id: CheckId) -> Option<Shown> {
        Some(self.get(id)?.shown)
    }

    pub(super) fn check(&self, id: CheckId) -> Option<&Arc<Check>> {
        Some(&self.get(id)?.check)
    }

    pub(super) fn users(&self, check: &Check) -> Option<&[usize]> {
        Some(&self.get(*self.index.get(check)?)?.users)
    }

    /// Those with most users first.
    pub(super) fn by_users(&self) -> Vec<Arc<Check>> {
        let mut known: Vec<&Known> = self.known.iter().flatten().collect();
        known.sort_by_key(|known| std::cmp::Reverse(known.users.len()));
        known.into_iter().map(|known| Arc::clone(&known.check)).collect()
    }

    fn get(&self, id: CheckId) -> Option<&Known> {
        self.known.get(id.0)?.as_ref()
    }

    fn get_mut(&mut self, id: CheckId) -> Option<&mut Known> {
        self.known.get_mut(id.0)?.as_mut()
    }
}

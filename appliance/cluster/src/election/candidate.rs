//! One box that would lead.

use std::time::Duration;

use serde_json::Value;

use super::Settings;
use super::lease::Lease;
use crate::change::ObjectKey;

/// Names one request, so that its answer is not taken for another's.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

/// What to do next. A request is answered by [`Candidate::observe`] with its ticket, once or never.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// `GET` the Lease.
    Get(Ticket),
    /// `POST` it.
    Create(Ticket, Value),
    /// `PUT` it.
    Update(Ticket, Value),
    /// Nothing before this time, except that an answer comes. [`Duration::MAX`]: nothing ever again.
    Wait(Duration),
}

/// What the server said.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The Lease, read or written.
    Lease(Value),
    /// 404.
    NotFound,
    /// 409: somebody was faster.
    Conflict,
    /// Anything else, or nothing at all.
    Failed,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Question {
    Read,
    /// Create or update as holder.
    Hold,
    Release,
}

#[derive(Copy, Clone, Debug)]
struct Asked {
    ticket: Ticket,
    question: Question,
    at: Duration,
}

/// The newest Lease that the candidate knows.
#[derive(Debug)]
struct Seen {
    lease: Lease,
    /// When its content was first seen.
    since: Duration,
}

/// What is known of the Lease.
#[derive(Debug)]
enum Knowledge {
    /// Must be read before anything is decided.
    Stale,
    Fresh,
    /// There is none.
    Absent,
}

/// A box that would lead. All times are those of one monotonic clock, in any unit of origin.
#[derive(Debug)]
pub struct Candidate {
    lease: ObjectKey,
    identity: String,
    settings: Settings,
    seen: Option<Seen>,
    knowledge: Knowledge,
    asked: Option<Asked>,
    tickets: u64,
    /// When the last successful write was sent.
    renewed: Option<Duration>,
    /// Nothing is sent before.
    next: Duration,
    lost_races: u32,
    is_leaving: bool,
}

impl Candidate {
    /// `identity` must be unique among all candidates, and among the runs of one: who finds the Lease held by his
    /// own identity takes it for his own.
    pub fn new(lease: ObjectKey, identity: String, settings: Settings) -> Self {
        Self {
            lease,
            identity,
            settings,
            seen: None,
            knowledge: Knowledge::Stale,
            asked: None,
            tickets: 0,
            renewed: None,
            next: Duration::ZERO,
            lost_races: 0,
            is_leaving: false,
        }
    }

    /// Whether the candidate may write now. Ask before every write: it ends by time alone.
    pub fn is_leader(&self, now: Duration) -> bool {
        let renewed = self.renewed.filter(|_| !self.is_leaving);
        renewed.is_some_and(|sent| now < sent.saturating_add(self.settings.renew_deadline()))
    }

    /// Who holds the Lease, as far as is known; empty: nobody.
    pub fn holder(&self) -> &str {
        self.seen.as_ref().map_or("", |seen| seen.lease.holder())
    }

    /// Leads no more, and gives the Lease back, so that nobody has to wait for it to expire. Go on with
    /// [`Candidate::step`] until it waits for ever.
    pub fn release(&mut self) {
        self.is_leaving = true;
        self.next = Duration::ZERO;
    }

    /// What to do at `now`. `utc` is the same moment in RFC 3339 with six digits of fraction and `Z`: the API's
    /// MicroTime takes no other.
    pub fn step(&mut self, now: Duration, utc: &str) -> Action {
        if let Some(asked) = self.asked {
            let until = asked.at.saturating_add(self.settings.request_timeout());
            if now < until {
                return Action::Wait(until);
            }
            self.asked = None;
            self.knowledge = Knowledge::Stale;
            self.next = now;
        }
        if self.is_leaving {
            return self.leave(now, utc);
        }
        if now < self.next {
            return Action::Wait(self.next);
        }
        match (&self.knowledge, &self.seen) {
            (Knowledge::Absent, _) => {
                let lease = Lease::new(&self.lease, &self.identity, &self.settings, utc);
                Action::Create(self.ask(Question::Hold, now), lease.body())
            }
            (Knowledge::Fresh, Some(seen)) => {
                let Some(until) = self.reserved_until(seen).filter(|until| now < *until) else {
                    let lease = seen.lease.taken(&self.identity, &self.settings, utc);
                    return Action::Update(self.ask(Question::Hold, now), lease.body());
                };
                self.knowledge = Knowledge::Stale;
                self.next = until.min(now.saturating_add(self.settings.retry_period()));
                Action::Wait(self.next)
            }
            (Knowledge::Stale | Knowledge::Fresh, _) => Action::Get(self.ask(Question::Read, now)),
        }
    }

    /// Takes in the answer to the request with this ticket. One that comes after its time is ignored.
    pub fn observe(&mut self, ticket: Ticket, answer: Answer, now: Duration) {
        let Some(asked) = self.asked.take_if(|asked| asked.ticket == ticket) else { return };
        let retry = now.saturating_add(self.settings.retry_period());
        match (asked.question, answer) {
            (Question::Read, Answer::Lease(object)) => {
                self.see(Lease::read(object), now);
                self.knowledge = Knowledge::Fresh;
                self.next = now;
            }
            (Question::Read, Answer::NotFound) => {
                self.seen = None;
                self.renewed = None;
                self.knowledge = Knowledge::Absent;
                self.next = now;
            }
            (Question::Hold, Answer::Lease(object)) => {
                self.hold(asked.at, Lease::read(object), now);
            }
            (Question::Release, Answer::Lease(object)) => self.see(Lease::read(object), now),
            (Question::Hold | Question::Release, Answer::Conflict | Answer::NotFound) => {
                self.knowledge = Knowledge::Stale;
                // Once at once, then with the patience that somebody faster deserves.
                self.next = if self.lost_races == 0 { now } else { retry };
                self.lost_races = self.lost_races.saturating_add(1);
            }
            (_, Answer::Failed) | (Question::Read, Answer::Conflict) => {
                // The write may have been taken all the same; a leader tries again with what it knows, and
                // hears 409 if so.
                if !self.is_leader(now) {
                    self.knowledge = Knowledge::Stale;
                }
                self.next = retry;
            }
        }
    }

    fn hold(&mut self, sent: Duration, lease: Lease, now: Duration) {
        let before = self.seen.as_ref().map(|seen| seen.lease.version().to_owned());
        let is_changed = before.as_deref() != Some(lease.version());
        let is_ours = lease.holder() == self.identity;
        self.see(lease, now);
        self.next = sent.saturating_add(self.settings.retry_period());
        if is_changed && is_ours {
            self.renewed = Some(sent);
            self.lost_races = 0;
            self.knowledge = Knowledge::Fresh;
        } else {
            self.knowledge = Knowledge::Stale;
        }
    }

    fn see(&mut self, lease: Lease, now: Duration) {
        if lease.holder() != self.identity {
            self.renewed = None;
        }
        match &mut self.seen {
            Some(seen) if seen.lease.says_same(&lease) => seen.lease = lease,
            Some(_) | None => self.seen = Some(Seen { lease, since: now }),
        }
    }

    /// Until when the Lease is another's. The longer of his duration and ours: a record with none must not be
    /// taken from somebody who leads.
    fn reserved_until(&self, seen: &Seen) -> Option<Duration> {
        let holder = seen.lease.holder();
        let duration = seen.lease.duration().max(self.settings.lease_duration());
        let is_other = !holder.is_empty() && holder != self.identity;
        is_other.then(|| seen.since.saturating_add(duration))
    }

    fn leave(&mut self, now: Duration, utc: &str) -> Action {
        let never_held = self.renewed.is_none();
        let ours = self.seen.as_ref().filter(|seen| seen.lease.holder() == self.identity);
        let Some(seen) = ours.filter(|_| !never_held) else {
            return Action::Wait(Duration::MAX);
        };
        // What has expired is anybody's: no need to fight for giving it back.
        if seen.since.saturating_add(self.settings.lease_duration()) <= now {
            return Action::Wait(Duration::MAX);
        }
        if now < self.next {
            return Action::Wait(self.next);
        }
        match self.knowledge {
            Knowledge::Fresh => {
                let lease = seen.lease.released(utc);
                Action::Update(self.ask(Question::Release, now), lease.body())
            }
            Knowledge::Stale => Action::Get(self.ask(Question::Read, now)),
            Knowledge::Absent => Action::Wait(Duration::MAX),
        }
    }

    fn ask(&mut self, question: Question, at: Duration) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.asked = Some(Asked { ticket, question, at });
        ticket
    }
}

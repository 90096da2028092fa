//! The backends of one Service: what their checks come to, and who may leave.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use spillway_lb::model::{Backend, Ejection, Service};
use spillway_lb::snapshot::Standing;

use super::{CheckId, Checks, JudgeView, Judgement, Moment, ProbeError, State};

/// What the checks of one backend come to.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Condition {
    /// One of them is not decided.
    Unknown,
    Well,
    Failing(ProbeError),
    Empty,
    NotForwarded,
}

/// One backend in one Service.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    backend: Backend,
    checks: Vec<CheckId>,
    condition: Condition,
    /// As the node reports it; `None`: the backend's own holds.
    weight: Option<u16>,
    /// `None` before the first.
    judgement: Option<Judgement>,
    /// When it began or ceased to serve.
    since: Moment,
    failing_since: Option<Moment>,
    /// When it last left for failing.
    left: Option<Moment>,
}

impl Seat {
    fn new(backend: Backend, checks: Vec<CheckId>) -> Self {
        Self {
            backend,
            checks,
            condition: Condition::Unknown,
            weight: None,
            judgement: None,
            since: Moment::ZERO,
            failing_since: None,
            left: None,
        }
    }

    pub(super) fn judgement(&self) -> Judgement {
        self.judgement.unwrap_or(Judgement::Active)
    }

    pub(super) fn standing(&self) -> Standing {
        Standing { serving: self.judgement().is_serving(), weight: self.weight }
    }

    pub(super) fn view(&self, checks: &Checks) -> JudgeView {
        let checks = self.checks.iter().filter_map(|id| checks.check(*id)).cloned().collect();
        JudgeView { judgement: self.judgement(), since: self.since, checks }
    }

    /// Reads the checks anew.
    fn look(&mut self, checks: &Checks, now: Moment) {
        let mut condition = Condition::Well;
        let mut weight = None;
        for shown in self.checks.iter().filter_map(|id| checks.shown(*id)) {
            weight = weight.or(shown.weight);
            condition = match (shown.state, condition) {
                // The node's word explains why its other checks fail: without an endpoint,
                // kube-proxy does not answer on the Service's port.
                (State::Down(ProbeError::NoEndpoints), _) => Condition::Empty,
                (State::Down(error), Condition::Well | Condition::Unknown) => {
                    Condition::Failing(error)
                }
                (State::Unknown, Condition::Well) => Condition::Unknown,
                (State::Unknown | State::Up | State::Down(_), condition) => condition,
            };
        }
        // What is drained stays so, whatever its node says.
        self.weight = weight.filter(|_| self.backend.weight != 0);
        self.condition = match self.backend.address {
            IpAddr::V4(_) => condition,
            IpAddr::V6(_) => Condition::NotForwarded,
        };
        self.failing_since = match self.condition {
            Condition::Failing(_) => self.failing_since.or(Some(now)),
            Condition::Unknown | Condition::Well | Condition::Empty | Condition::NotForwarded => {
                None
            }
        };
    }

    /// Whether it counts: as capacity while it is well, as lost capacity while it is not.
    fn could_serve(&self) -> bool {
        let counts = match self.condition {
            Condition::Unknown | Condition::Well | Condition::Failing(_) => true,
            Condition::Empty | Condition::NotForwarded => false,
        };
        counts && self.weight.unwrap_or(self.backend.weight) != 0
    }

    const fn is_failing(&self) -> bool {
        matches!(self.condition, Condition::Failing(_))
    }

    fn has_left_within(&self, window: Duration, now: Moment) -> bool {
        self.left.is_some_and(|left| now.since(left) < window)
    }

    fn set(&mut self, judgement: Judgement, now: Moment) {
        let served = self.judgement.is_none_or(Judgement::is_serving);
        if served != judgement.is_serving() {
            self.since = now;
        }
        self.judgement = Some(judgement);
    }
}

/// All backends of one Service, in its order.
#[derive(Debug)]
pub(super) struct Seats {
    all: Vec<Seat>,
    /// When somebody who is held may leave.
    due: Option<Moment>,
    all_active: bool,
}

impl Seats {
    /// The seats of a Service; a backend that was there `before` keeps its past.
    pub(super) fn of(service: &Service, before: Option<Self>, checks: &mut Checks) -> Self {
        let mut before: HashMap<SocketAddr, Seat> = (before.into_iter())
            .flat_map(|seats| seats.all)
            .map(|seat| (address(&seat.backend), seat))
            .collect();
        let seats = service.backends.iter().map(|backend| {
            let wanted = match backend.address {
                IpAddr::V4(ip) => {
                    let at = SocketAddrV4::new(ip, backend.port);
                    let of = |health| checks.place(super::Check::of(health, at));
                    service.checks.iter().map(of).collect()
                }
                IpAddr::V6(_) => Vec::new(),
            };
            match before.remove(&address(backend)) {
                Some(seat) => Seat { backend: *backend, checks: wanted, ..seat },
                None => Seat::new(*backend, wanted),
            }
        });
        Self { all: seats.collect(), due: None, all_active: false }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Seat> {
        self.all.iter()
    }

    pub(super) fn checks(&self) -> impl Iterator<Item = &CheckId> {
        self.all.iter().flat_map(|seat| &seat.checks)
    }

    pub(super) const fn due(&self) -> Option<Moment> {
        self.due
    }

    pub(super) const fn are_all_active(&self) -> bool {
        self.all_active
    }

    /// Decides about every backend; see the rules on [`super`]'s page.
    pub(super) fn judge(&mut self, ejection: &Ejection, checks: &Checks, now: Moment) {
        for seat in &mut self.all {
            seat.look(checks, now);
        }
        let mut counted = self.all.iter().filter(|seat| seat.could_serve()).peekable();
        let opens = ejection.fail_open && counted.peek().is_some() && counted.all(Seat::is_failing);
        let mut leaving = Vec::new();
        for (at, seat) in self.all.iter_mut().enumerate() {
            let served = seat.judgement.is_some_and(Judgement::is_serving);
            let judgement = match (seat.condition, seat.judgement) {
                // Nothing has spoken for it yet: what was known before holds.
                (
                    Condition::Unknown,
                    Some(known @ (Judgement::Down(_) | Judgement::NoEndpoints)),
                ) => known,
                (Condition::Well | Condition::Unknown, _) => Judgement::Active,
                (Condition::Empty, _) => Judgement::NoEndpoints,
                (Condition::NotForwarded, _) => Judgement::NotForwarded,
                (Condition::Failing(error), _) if opens && seat.could_serve() => {
                    Judgement::FailOpen(error)
                }
                (Condition::Failing(error), _) if !served || !seat.could_serve() => {
                    Judgement::Down(error)
                }
                (Condition::Failing(error), _) => {
                    leaving.push((seat.failing_since, at, error));
                    continue;
                }
            };
            seat.set(judgement, now);
        }
        self.leave(leaving, ejection, now);
        self.all_active = self.all.iter().all(|seat| seat.judgement() == Judgement::Active);
    }

    /// Lets those go that may, longest failing first, and holds the others.
    fn leave(
        &mut self,
        mut leaving: Vec<(Option<Moment>, usize, ProbeError)>,
        ejection: &Ejection,
        now: Moment,
    ) {
        self.due = None;
        let window = ejection.window;
        let counted = self.all.iter().filter(|seat| seat.could_serve()).count();
        let limit = (counted * usize::from(ejection.percent_max)).div_ceil(100).max(1);
        let is_limited = ejection.percent_max < 100;
        let left =
            |seats: &[Seat]| seats.iter().filter(|it| it.has_left_within(window, now)).count();
        let mut gone = left(&self.all);
        leaving.sort_by_key(|(since, at, _)| (*since, *at));
        let mut holds = false;
        for (_, at, error) in leaving {
            let Some(seat) = self.all.get_mut(at) else { continue };
            // One that left, came back and fails again takes nobody else's leave.
            let counts_already = seat.has_left_within(window, now);
            if is_limited && !counts_already && gone >= limit {
                holds = true;
                seat.set(Judgement::Held(error), now);
                continue;
            }
            gone += usize::from(!counts_already);
            seat.left = Some(now);
            seat.set(Judgement::Down(error), now);
        }
        if holds {
            let within = self.all.iter().filter(|seat| seat.has_left_within(window, now));
            self.due = within.filter_map(|seat| Some(seat.left?.plus(window))).min();
        }
    }
}

const fn address(backend: &Backend) -> SocketAddr {
    SocketAddr::new(backend.address, backend.port)
}

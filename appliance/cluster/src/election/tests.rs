//! The states one by one, then several candidates over a network that loses and delays.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::change::ObjectKey;

mod simulation;

const T0: &str = "2026-11-21T03:17:00.000000Z";
const T1: &str = "2026-11-21T03:17:01.750000Z";

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn candidate(identity: &str) -> Candidate {
    let lease = ObjectKey { namespace: "kube-system".to_owned(), name: "spillway".to_owned() };
    Candidate::new(lease, identity.to_owned(), Settings::default())
}

fn lease(version: &str, holder: &str, renewed: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {
            "namespace": "kube-system", "name": "spillway", "resourceVersion": version,
            "labels": { "keep": "me" }, "managedFields": [{ "manager": "x" }]
        },
        "spec": {
            "holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 3,
            "acquireTime": T0, "renewTime": renewed
        }
    })
}

fn get(candidate: &mut Candidate, now: Duration) -> Ticket {
    let action = candidate.step(now, T1);
    let Action::Get(ticket) = action else { panic!("{action:?}") };
    ticket
}

fn update(candidate: &mut Candidate, now: Duration) -> (Ticket, Value) {
    let action = candidate.step(now, T1);
    let Action::Update(ticket, body) = action else { panic!("{action:?}") };
    (ticket, body)
}

/// Leads from 0 s on, with version 1.
fn leader() -> Candidate {
    let mut candidate = candidate("box-1");
    let ticket = get(&mut candidate, at(0));
    candidate.observe(ticket, Answer::NotFound, at(0));
    let Action::Create(ticket, _) = candidate.step(at(0), T0) else { panic!() };
    candidate.observe(ticket, Answer::Lease(lease("1", "box-1", T0)), at(1));
    candidate
}

#[test]
fn a_lease_that_is_not_there_is_created_as_client_go_does() {
    let mut candidate = candidate("me");
    let ticket = get(&mut candidate, at(0));
    candidate.observe(ticket, Answer::NotFound, at(0));
    let Action::Create(ticket, body) = candidate.step(at(0), T1) else { panic!() };
    let expected = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "namespace": "kube-system", "name": "spillway" },
        "spec": {
            "holderIdentity": "me", "leaseDurationSeconds": 15, "leaseTransitions": 0,
            "acquireTime": T1, "renewTime": T1
        }
    });
    assert_eq!(body, expected);
    assert!(!candidate.is_leader(at(0)));
    candidate.observe(ticket, Answer::Conflict, at(0));
    assert!(!candidate.is_leader(at(0)));
    get(&mut candidate, at(0));
}

#[test]
fn a_leader_renews_every_two_seconds_without_reading_first() {
    let mut candidate = leader();
    assert!(candidate.is_leader(at(1)));
    assert_eq!(candidate.step(at(1), T1), Action::Wait(at(2)));
    let (ticket, body) = update(&mut candidate, at(2));
    assert_eq!(body["metadata"]["resourceVersion"], "1");
    assert_eq!(body["metadata"]["labels"]["keep"], "me");
    assert!(body["metadata"].get("managedFields").is_none());
    let spec = json!({
        "holderIdentity": "box-1", "leaseDurationSeconds": 15, "leaseTransitions": 3,
        "acquireTime": T0, "renewTime": T1
    });
    assert_eq!(body["spec"], spec);
    candidate.observe(ticket, Answer::Lease(lease("2", "box-1", T1)), at(4));
    // Ten seconds from when it was sent, not from when the answer came.
    assert!(candidate.is_leader(at(2) + Duration::from_millis(9_999)));
    assert!(!candidate.is_leader(at(12)));
}

#[test]
fn a_leader_that_cannot_renew_stops_before_the_lease_is_anybodys() {
    let mut candidate = leader();
    for second in [2, 4, 6, 8] {
        let (ticket, _) = update(&mut candidate, at(second));
        candidate.observe(ticket, Answer::Failed, at(second));
        assert!(candidate.is_leader(at(second)));
    }
    assert!(!candidate.is_leader(at(10)));
    // It may try again: with the version it knows, so that it fails if another was faster.
    let (_, body) = update(&mut candidate, at(10));
    assert_eq!(body["metadata"]["resourceVersion"], "1");
}

#[test]
fn a_renewal_that_changed_nothing_on_the_server_does_not_count() {
    let mut candidate = leader();
    let (ticket, _) = update(&mut candidate, at(2));
    candidate.observe(ticket, Answer::Lease(lease("1", "box-1", T0)), at(2));
    assert!(!candidate.is_leader(at(10)), "others saw no renewal either");
}

#[test]
fn anothers_lease_is_waited_for_by_the_own_clock_from_when_it_last_changed() {
    let mut candidate = candidate("box-2");
    let ticket = get(&mut candidate, at(100));
    candidate.observe(
        ticket,
        Answer::Lease(lease("1", "box-1", "1999-01-01T00:00:00.000000Z")),
        at(100),
    );
    assert_eq!(candidate.holder(), "box-1");
    assert_eq!(candidate.step(at(100), T1), Action::Wait(at(102)));
    let ticket = get(&mut candidate, at(102));
    candidate.observe(ticket, Answer::Lease(lease("2", "box-1", T0)), at(103));
    assert_eq!(candidate.step(at(103), T1), Action::Wait(at(105)));
    // Labels change the version and not the record.
    let ticket = get(&mut candidate, at(110));
    candidate.observe(ticket, Answer::Lease(lease("3", "box-1", T0)), at(110));
    assert_eq!(candidate.step(at(110), T1), Action::Wait(at(112)));
    let ticket = get(&mut candidate, at(117));
    candidate.observe(ticket, Answer::Lease(lease("3", "box-1", T0)), at(117));
    assert_eq!(candidate.step(at(117), T1), Action::Wait(at(118)));
    let ticket = get(&mut candidate, at(118));
    candidate.observe(ticket, Answer::Lease(lease("3", "box-1", T0)), at(118));
    let (ticket, body) = update(&mut candidate, at(118));
    assert_eq!(body["metadata"]["resourceVersion"], "3");
    assert_eq!(body["spec"]["leaseTransitions"], 4);
    assert_eq!(body["spec"]["acquireTime"], T1);
    candidate.observe(ticket, Answer::Lease(lease("4", "box-2", T1)), at(119));
    assert!(candidate.is_leader(at(119)));
}

#[test]
fn a_conflict_is_answered_by_reading_at_once_and_then_with_patience() {
    let mut candidate = leader();
    let (ticket, _) = update(&mut candidate, at(2));
    candidate.observe(ticket, Answer::Conflict, at(2));
    let ticket = get(&mut candidate, at(2));
    candidate.observe(ticket, Answer::Lease(lease("9", "box-1", T0)), at(2));
    let (ticket, _) = update(&mut candidate, at(2));
    candidate.observe(ticket, Answer::Conflict, at(2));
    assert_eq!(candidate.step(at(2), T1), Action::Wait(at(4)));
    let ticket = get(&mut candidate, at(4));
    candidate.observe(ticket, Answer::Lease(lease("10", "box-2", T1)), at(4));
    assert!(!candidate.is_leader(at(4)), "another holds it");
}

#[test]
fn who_leaves_leads_no_more_and_gives_the_lease_back() {
    let mut candidate = leader();
    candidate.release();
    assert!(!candidate.is_leader(at(1)));
    let (ticket, body) = update(&mut candidate, at(1));
    assert_eq!(body["spec"]["holderIdentity"], "");
    assert_eq!(body["spec"]["leaseTransitions"], 3);
    candidate.observe(ticket, Answer::Lease(lease("2", "", T1)), at(1));
    assert_eq!(candidate.step(at(1), T1), Action::Wait(Duration::MAX));

    let mut next = super::tests::candidate("box-2");
    let ticket = get(&mut next, at(1));
    next.observe(ticket, Answer::Lease(lease("2", "", T1)), at(1));
    update(&mut next, at(1));
}

#[test]
fn who_never_led_has_nothing_to_give_back() {
    let mut candidate = candidate("box-2");
    let ticket = get(&mut candidate, at(0));
    candidate.observe(ticket, Answer::Lease(lease("1", "box-1", T0)), at(0));
    candidate.release();
    assert_eq!(candidate.step(at(0), T1), Action::Wait(Duration::MAX));
}

#[test]
fn an_answer_that_comes_too_late_is_ignored() {
    let mut candidate = leader();
    let (late, _) = update(&mut candidate, at(2));
    assert_eq!(candidate.step(at(3), T1), Action::Wait(at(7)));
    get(&mut candidate, at(7));
    candidate.observe(late, Answer::Lease(lease("2", "box-1", T1)), at(8));
    assert!(!candidate.is_leader(at(10)));
}

#[test]
fn a_lease_without_a_specification_is_nobodys() {
    let mut candidate = candidate("box-1");
    let ticket = get(&mut candidate, at(0));
    let bare = json!({ "metadata": { "resourceVersion": "1" }, "spec": null });
    candidate.observe(ticket, Answer::Lease(bare), at(0));
    let (_, body) = update(&mut candidate, at(0));
    assert_eq!(body["spec"]["holderIdentity"], "box-1");
    assert_eq!(body["spec"]["leaseTransitions"], 1);
}

#[test]
fn settings_that_could_make_two_leaders_are_refused() {
    let of = |lease, deadline, retry| Settings::new(at(lease), at(deadline), at(retry));
    assert!(of(15, 10, 2).is_ok());
    assert!(of(0, 0, 0).is_err());
    assert!(of(7200, 10, 2).is_err());
    assert!(Settings::new(Duration::from_millis(1500), at(1), Duration::from_millis(300)).is_err());
    let error = of(10, 10, 2).unwrap_err().to_string();
    assert_eq!(error, "renew deadline 10s: must be shorter than the lease duration 10s");
    assert!(of(15, 10, 6).is_err());
    assert!(of(15, 10, 0).is_err());
}

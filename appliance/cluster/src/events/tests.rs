//! Words, counting and limits.

use std::time::Duration;

use super::*;
use crate::change::ObjectKey;

const NOW: &str = "2026-11-21T10:00:00.000000Z";

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn recorder() -> Recorder {
    let source = Source { component: "spillway".to_owned(), host: "box-1".to_owned() };
    Recorder::new(source, 0xabc0, at(0))
}

fn draft(name: &str, reason: Reason) -> Draft {
    let service = ObjectKey { namespace: "shop".to_owned(), name: name.to_owned() };
    let message = reason.message().unwrap_or("why").to_owned();
    Draft { service, uid: "u1".to_owned(), reason, message }
}

#[test]
fn an_event_is_what_kubectl_describe_shows() {
    let write = recorder().record(draft("web", Reason::EnsuringLoadBalancer), at(1), NOW);
    let Some(EventWrite::Create { namespace, body }) = write else { panic!("{write:?}") };
    assert_eq!(namespace, "shop");
    let expected = serde_json::json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": { "name": "web.abc1", "namespace": "shop" },
        "involvedObject": {
            "apiVersion": "v1", "kind": "Service", "namespace": "shop", "name": "web", "uid": "u1"
        },
        "reason": "EnsuringLoadBalancer", "message": "Ensuring load balancer", "type": "Normal",
        "source": { "component": "spillway", "host": "box-1" },
        "reportingComponent": "spillway", "reportingInstance": "box-1",
        "firstTimestamp": NOW, "lastTimestamp": NOW, "count": 1
    });
    assert_eq!(body, expected);
}

#[test]
fn the_same_again_counts_up_and_another_uid_or_message_does_not() {
    let mut recorder = recorder();
    let first = draft("web", Reason::AddressConflict);
    recorder.record(first.clone(), at(1), NOW);
    let later = "2026-11-21T10:01:00.000000Z";
    let Some(EventWrite::Count { name, body, .. }) = recorder.record(first.clone(), at(60), later)
    else {
        panic!("it is told anew")
    };
    assert_eq!((name.as_str(), &body["count"]), ("web.abc1", &serde_json::json!(2)));
    assert_eq!(body["lastTimestamp"], later);
    for other in [
        Draft { uid: "u2".to_owned(), ..first.clone() },
        Draft { message: "other".to_owned(), ..first.clone() },
    ] {
        let write = recorder.record(other, at(61), NOW);
        assert!(matches!(write, Some(EventWrite::Create { .. })), "{write:?}");
    }
}

#[test]
fn after_ten_quiet_minutes_or_when_the_server_forgot_it_is_told_anew() {
    let mut recorder = recorder();
    let same = draft("web", Reason::ServiceRefused);
    recorder.record(same.clone(), at(0), NOW);
    let write = recorder.record(same.clone(), at(599), NOW);
    assert!(matches!(write, Some(EventWrite::Count { .. })));
    let write = recorder.record(same.clone(), at(599 + 600), NOW);
    assert!(matches!(write, Some(EventWrite::Create { .. })));
    recorder.forget("web.abc2");
    let write = recorder.record(same, at(1200), NOW);
    assert!(matches!(write, Some(EventWrite::Create { .. })));
}

#[test]
fn ten_at_once_then_one_a_second_and_the_rest_is_counted() {
    let mut recorder = recorder();
    let mut told = |second: u64, count: usize| {
        let events = (0..count).map(|i| draft(&format!("s{second}-{i}"), Reason::AddressConflict));
        events.filter_map(|event| recorder.record(event, at(second), NOW)).count()
    };
    assert_eq!(told(0, 25), 10);
    assert_eq!(told(1, 5), 1);
    assert_eq!(told(4, 5), 3);
    assert_eq!(told(1000, 25), 10, "tokens do not pile up");
    assert_eq!(recorder.dropped(), 15 + 4 + 2 + 15);
}

#[test]
fn a_count_that_found_no_token_is_in_the_next_one() {
    let mut recorder = recorder();
    let same = draft("web", Reason::AddressConflict);
    for _ in 0..30 {
        recorder.record(same.clone(), at(0), NOW);
    }
    let Some(EventWrite::Count { body, .. }) = recorder.record(same, at(5), NOW) else { panic!() };
    assert_eq!(body["count"], 31);
}

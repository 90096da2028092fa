//! Answers, against the bytes of a real kube-proxy, and ports, by connecting to them.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of tests that fails is a test that fails"
)]

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use spillway_cluster::node::{HealthPort, NodeView};
use spillway_node::health::answer::{Good, Question, answer};
use spillway_node::health::{Health, State};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What kube-proxy v1.36.2 said of a Service with one endpoint here.
const RECORDED: &str = "HTTP/1.1 200 OK\r
Content-Type: application/json\r
X-Content-Type-Options: nosniff\r
X-Load-Balancing-Endpoint-Weight: 1\r
Date: Sat, 21 Nov 2026 03:15:41 GMT\r
Content-Length: 113\r
\r
{
\t\"service\": {
\t\t\"namespace\": \"default\",
\t\t\"name\": \"lb\"
\t},
\t\"localEndpoints\": 1,
\t\"serviceProxyHealthy\": true
}";

fn view(ports: &[(u16, usize)]) -> NodeView {
    let port = |(port, local_endpoints): &(u16, usize)| HealthPort {
        namespace: "default".to_owned(),
        name: "lb".to_owned(),
        port: *port,
        local_endpoints: *local_endpoints,
    };
    let health_ports = ports.iter().map(port).collect();
    NodeView { health_ports, is_eligible: true, ..NodeView::default() }
}

/// The start of all clocks.
fn zero() -> (Instant, SystemTime) {
    (Instant::now(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_230_941))
}

fn later((instant, wall): (Instant, SystemTime), seconds: u64) -> (Instant, SystemTime) {
    (instant + Duration::from_secs(seconds), wall + Duration::from_secs(seconds))
}

#[test]
fn healthz_tells_what_kube_proxy_tells() {
    let (mut state, now) = (State::default(), zero());
    let said = |state: &State, path, now| {
        let it = answer(state, Question::Node, path, now);
        (it.is_good, it.body)
    };
    let never = "{\"lastUpdated\": \"0001-01-01 00:00:00 +0000 UTC\",\"currentTime\": \"2026-11-21 03:15:41 +0000 UTC\", \"nodeEligible\": false}";
    assert_eq!(said(&state, "/healthz", now), (Good::No, never.to_owned()));
    state.set(&view(&[]), true, now);
    let good = "{\"lastUpdated\": \"2026-11-21 03:15:51 +0000 UTC\",\"currentTime\": \"2026-11-21 03:15:51 +0000 UTC\", \"nodeEligible\": true}";
    assert_eq!(said(&state, "/healthz", later(now, 10)), (Good::Yes, good.to_owned()));
    let live = "{\"lastUpdated\": \"2026-11-21 03:15:51 +0000 UTC\",\"currentTime\": \"2026-11-21 03:15:51 +0000 UTC\"}";
    assert_eq!(said(&state, "/livez", later(now, 10)), (Good::Yes, live.to_owned()));
    let other = (Good::NoQuestion, "404 page not found\n".to_owned());
    assert_eq!(said(&state, "/", now), other);
}

#[test]
fn times_are_those_of_go() {
    for (seconds, nanos, expected) in [
        (0, 0, "1970-01-01 00:00:00"),
        (951_782_400, 1, "2000-02-29 00:00:00.000000001"),
        (1_795_230_941, 500_000_000, "2026-11-21 03:15:41.5"),
        (4_102_444_799, 0, "2099-12-31 23:59:59"),
    ] {
        let at = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
        let said = answer(&State::default(), Question::Node, "/livez", (Instant::now(), at));
        assert_eq!(
            said.body,
            format!(
                "{{\"lastUpdated\": \"0001-01-01 00:00:00 +0000 UTC\",\"currentTime\": \"{expected} +0000 UTC\"}}"
            )
        );
    }
}

#[test]
fn a_node_that_goes_is_not_healthy_and_still_alive() {
    let (mut state, now) = (State::default(), zero());
    state.set(&NodeView { is_eligible: false, ..view(&[]) }, true, now);
    let healthz = answer(&state, Question::Node, "/healthz", later(now, 1));
    assert_eq!(healthz.is_good, Good::No);
    assert_eq!(
        healthz.body,
        "{\"lastUpdated\": \"2026-11-21 03:15:41 +0000 UTC\",\"currentTime\": \"2026-11-21 03:15:42 +0000 UTC\", \"nodeEligible\": false}"
    );
    assert_eq!(answer(&state, Question::Node, "/livez", now).is_good, Good::Yes);
}

#[test]
fn maps_that_do_not_follow_for_a_minute_make_the_node_sick_until_they_do() {
    let (mut state, now) = (State::default(), zero());
    state.set(&view(&[(31_000, 1)]), true, now);
    assert!(state.is_healthy(later(now, 3_600).0), "nothing was wanted in the meantime");
    state.set(&view(&[(31_000, 2)]), false, later(now, 3_600));
    state.set(&view(&[(31_000, 3)]), false, later(now, 3_650));
    assert!(state.is_healthy(later(now, 3_659).0));
    assert!(!state.is_healthy(later(now, 3_660).0), "the first that was not written counts");
    let service = answer(&state, Question::Service(31_000), "/", later(now, 3_660));
    assert_eq!((service.is_good, service.weight), (Good::No, Some(3)));
    assert!(service.body.ends_with("\"serviceProxyHealthy\": false\n}"), "{}", service.body);
    state.set(&view(&[(31_000, 3)]), true, later(now, 3_661));
    assert!(state.is_healthy(later(now, 3_662).0));
}

#[test]
fn a_service_without_an_endpoint_here_is_unavailable() {
    let (mut state, now) = (State::default(), zero());
    state.set(&view(&[(31_000, 0)]), true, now);
    let said = answer(&state, Question::Service(31_000), "/whatever", now);
    assert_eq!((said.is_good, said.weight), (Good::No, Some(0)));
}

/// A port that was free a moment ago.
async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// All that is said to a request; `None`: nobody is there.
async fn ask(port: u16, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let mut said = String::new();
    stream.write_all(request.as_bytes()).await.ok()?;
    stream.read_to_string(&mut said).await.ok()?;
    Some(said)
}

/// Until it is so; a machine may be slow.
async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..500 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never");
}

/// Headers but the date, sorted: Go and hyper put it and the length in another order. And the body.
fn parts(said: &str) -> (Vec<String>, String) {
    let (head, body) = said.split_once("\r\n\r\n").unwrap();
    let lines = head.lines().filter(|line| !line.starts_with("Date: "));
    let mut lines: Vec<String> = lines.map(str::to_owned).collect();
    lines.sort();
    (lines, body.to_owned())
}

const CLOSE: &str = "GET / HTTP/1.0\r\nHost: node\r\n\r\n";

#[tokio::test]
async fn a_health_port_says_the_bytes_of_kube_proxy_and_closes_with_its_service() {
    let (node, service) = (free_port().await, free_port().await);
    let mut health = Health::start(Some(SocketAddr::from(([127, 0, 0, 1], node))));
    health.set(&view(&[(service, 1)]), true);
    let request = "GET /any HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n";
    let said = until(async || ask(service, request).await).await;
    let (mut lines, body) = parts(&said);
    // Go leaves the connection open, and so do we where the client does not ask for its end.
    lines.retain(|line| line != "Connection: close");
    assert_eq!((lines, body), parts(RECORDED));
    assert!(said.contains("\r\nDate: "), "{said}");
    let healthz = ask(node, &request.replace("/any", "/healthz")).await.unwrap();
    assert!(healthz.starts_with("HTTP/1.1 200 OK\r\n"), "{healthz}");
    health.set(&view(&[]), true);
    until(async || ask(service, CLOSE).await.is_none().then_some(())).await;
    assert!(ask(node, CLOSE).await.is_some(), "the node's own port stays");
    drop(health);
    until(async || ask(node, CLOSE).await.is_none().then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn a_port_that_somebody_has_is_a_complaint_and_opens_when_it_is_free() {
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = other.local_addr().unwrap().port();
    let mut health = Health::start(Some(SocketAddr::from(([127, 0, 0, 1], port))));
    health.set(&view(&[]), true);
    let complaints = until(async || Some(health.complaints()).filter(|all| !all.is_empty())).await;
    let [complaint] = complaints.as_slice() else { panic!("{complaints:?}") };
    assert!(complaint.contains("/healthz and /livez cannot be opened"), "{complaint}");
    assert!(complaint.ends_with("does kube-proxy run beside?"), "{complaint}");
    drop(other);
    until(async || health.complaints().is_empty().then_some(())).await;
    assert!(ask(port, CLOSE).await.is_some());
}

#[tokio::test]
async fn complaints_go_with_their_service_and_nothing_listens_where_nothing_is_to() {
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = other.local_addr().unwrap().port();
    let node = free_port().await;
    let mut health = Health::start(Some(SocketAddr::from(([127, 0, 0, 1], node))));
    health.set(&view(&[(taken, 1)]), true);
    let complaints = until(async || Some(health.complaints()).filter(|all| !all.is_empty())).await;
    assert!(complaints[0].contains("healthCheckNodePort of Service default/lb"), "{complaints:?}");
    health.set(&view(&[]), true);
    assert_eq!(health.complaints(), Vec::<String>::new());

    let silent = free_port().await;
    let mut nothing = Health::start(None);
    nothing.set(&view(&[(silent, 1)]), true);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(ask(silent, CLOSE).await, None);
}

//! The watch against the test API server, on a clock that jumps.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that cannot go on fails its test"
)]

mod common;

use std::time::Duration;

use common::{Folder, Heard, Watched, client, delete, put, settings, truth};
use spillway_apiserver::ApiServer;
use spillway_apiserver::faults::{Fault, Rule};
use spillway_cluster::Kind;
use spillway_kube::{Clockwork, Session, SessionSettings};
use tokio::time::{Instant, sleep};

const PATIENCE: Duration = Duration::from_mins(2);

fn clockwork() -> Clockwork {
    Clockwork { seed: Some(1), ..Clockwork::default() }
}

/// A session over in-process clients of servers, the first of which tells the truth.
fn watch(servers: &[&ApiServer], settings: SessionSettings) -> Watched {
    let name = |at: usize| format!("https://in-process-{at}");
    let clients = servers.iter().enumerate().map(|(at, server)| (name(at), client(server).1));
    let started = Session::with_clients(clients.collect(), settings);
    Watched::new(servers[0], started, PATIENCE)
}

/// A session in step with a server of eight services, slices and nodes.
async fn synced(clockwork: Clockwork) -> Watched {
    let server = ApiServer::default();
    for number in 0..8 {
        for kind in Kind::ALL {
            put(&server, kind, &format!("o{number}"), 0);
        }
    }
    let mut watched = watch(&[&server], settings(clockwork));
    watched.in_step().await;
    watched
}

/// Makes the next read of everything happen now, with the faults that have been set.
fn relist(server: &ApiServer) {
    for resource in ["services", "endpointslices", "nodes"] {
        server.add_fault(Rule::once(Fault::Expired).on(resource));
    }
    server.cut_streams();
}

/// Has every list empty from now on, and waits until all of them are held.
async fn lose_everything(watched: &mut Watched) {
    watched.server.add_fault(Rule::once(Fault::EmptyList).always());
    relist(&watched.server);
    watched.until(|heard| heard.feeds.values().all(|feed| feed.held.is_some())).await;
}

#[tokio::test(start_paused = true)]
async fn changes_arrive_one_by_one_without_reading_everything_again() {
    let mut watched = synced(clockwork()).await;
    let replaced = watched.heard.replaced.clone();
    put(&watched.server, Kind::Service, "o1", 7);
    put(&watched.server, Kind::EndpointSlice, "new", 1);
    delete(&watched.server, Kind::Node, "o2");
    let took = watched.in_step().await;
    assert!(took <= Duration::from_secs(1), "{took:?}");
    assert_eq!(watched.heard.replaced, replaced);
}

#[tokio::test(start_paused = true)]
async fn pages_are_put_together_when_lists_are_not_streamed() {
    let paged = Clockwork { streaming_lists: false, page_size: 3, ..clockwork() };
    let watched = synced(paged).await;
    assert_eq!(watched.heard.names(Kind::Node).len(), 8);
    assert_eq!(watched.heard.replaced[&Kind::Node], 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_stream_lists_is_read_in_pages() {
    let server = ApiServer::default();
    put(&server, Kind::Service, "a", 1);
    let refusal = Fault::Answer { code: 422, retry_after_s: None };
    server.add_fault(Rule::once(refusal).when("watch").times(3));
    let took = watch(&[&server], settings(clockwork())).in_step().await;
    assert!(took < Duration::from_millis(100), "not even a retry: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_breaks_off_half_way_is_never_applied() {
    let mut watched = synced(Clockwork { streaming_lists: false, ..clockwork() }).await;
    let before = watched.heard.world.clone();
    watched
        .server
        .add_fault(Rule::once(Fault::CutAfterBytes { bytes: 2000 }).when("list").always());
    relist(&watched.server);
    watched.listen_for(Duration::from_mins(5)).await;
    assert_eq!(watched.heard.world, before);
    assert!(!watched.heard.error(Kind::Service).is_empty());
    watched.server.clear_faults();
    let took = watched.in_step().await;
    assert!(took <= Duration::from_mins(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_streamed_list_that_breaks_off_half_way_is_never_applied() {
    let mut watched = synced(clockwork()).await;
    let before = watched.heard.world.clone();
    watched.server.add_fault(Rule::once(Fault::Cut { after: 3 }).when("watch").always());
    let refusal = Fault::Answer { code: 503, retry_after_s: None };
    watched.server.add_fault(Rule::once(refusal).when("list").always());
    relist(&watched.server);
    watched.listen_for(Duration::from_mins(5)).await;
    assert_eq!(watched.heard.world, before);
    watched.server.clear_faults();
    let took = watched.in_step().await;
    assert!(took <= Duration::from_mins(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_watch_is_noticed_within_the_idle_timeout_and_resumed() {
    let mut watched = synced(clockwork()).await;
    watched.server.add_fault(Rule::once(Fault::Stall { after: 0 }).when("watch").times(3));
    watched.server.cut_streams();
    sleep(Duration::from_secs(1)).await;
    put(&watched.server, Kind::Service, "o1", 9);
    let took = watched.in_step().await;
    assert!(took <= Duration::from_secs(31), "{took:?}");
    assert!(took > Duration::from_secs(5), "the stall was none: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_cluster_is_known_to_be_alive() {
    let mut watched = synced(clockwork()).await;
    for _ in 0..10 {
        watched.listen_for(Duration::from_mins(1)).await;
        for (kind, feed) in &watched.heard.feeds {
            let age = Instant::now().into_std() - feed.last_contact.unwrap();
            assert!(age <= Duration::from_secs(31), "{kind}: {age:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_answer_is_held_until_a_second_one_half_a_minute_later_agrees() {
    let mut watched = synced(Clockwork { streaming_lists: false, ..clockwork() }).await;
    let before = watched.heard.world.clone();
    watched.server.add_fault(Rule::once(Fault::EmptyList).always());
    relist(&watched.server);
    watched.listen_for(Duration::from_secs(29)).await;
    assert_eq!(watched.heard.world, before);
    for kind in Kind::ALL {
        let held = watched.heard.feeds[&kind].held.clone().unwrap();
        assert_eq!(held.lost, held.kept, "{kind}");
    }
    watched.listen_for(Duration::from_secs(10)).await;
    assert!(watched.heard.world.is_empty());
    watched.server.clear_faults();
    let took = watched.in_step().await;
    assert!(took < Duration::from_secs(75), "a surprise is looked at again: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_empty_answer_that_was_a_mistake_is_never_served() {
    let mut watched = synced(Clockwork { streaming_lists: false, ..clockwork() }).await;
    let before = watched.heard.world.clone();
    watched.server.add_fault(Rule::once(Fault::EmptyList).on("services").times(2));
    relist(&watched.server);
    for _ in 0..60 {
        watched.listen_for(Duration::from_secs(1)).await;
        assert_eq!(watched.heard.world, before);
    }
    assert_eq!(watched.heard.feeds[&Kind::Service].held, None);
}

#[tokio::test(start_paused = true)]
async fn the_operator_can_have_an_empty_answer_applied_at_once() {
    let mut watched = synced(Clockwork { streaming_lists: false, ..clockwork() }).await;
    lose_everything(&mut watched).await;
    for kind in Kind::ALL {
        watched.session.accept(kind);
    }
    let is_empty = |heard: &Heard| heard.world.is_empty();
    let took = watched.until(is_empty).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn accepting_one_kind_releases_no_other() {
    let mut watched = synced(Clockwork { streaming_lists: false, ..clockwork() }).await;
    lose_everything(&mut watched).await;
    watched.session.accept(Kind::Node);
    watched.listen_for(Duration::from_secs(20)).await;
    let is_empty = Kind::ALL.map(|kind| (kind, watched.heard.names(kind).is_empty()));
    assert_eq!(
        is_empty,
        [(Kind::Service, false), (Kind::EndpointSlice, false), (Kind::Node, true)]
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_accepted_before_a_hold_does_not_release_it() {
    let mut watched = synced(Clockwork { streaming_lists: false, ..clockwork() }).await;
    let before = watched.heard.world.clone();
    // Nothing is held: nothing is meant.
    for kind in Kind::ALL {
        watched.session.accept(kind);
    }
    lose_everything(&mut watched).await;
    watched.listen_for(Duration::from_secs(20)).await;
    assert_eq!(watched.heard.world, before);
}

#[tokio::test(start_paused = true)]
async fn what_is_accepted_while_a_held_list_is_read_again_is_released_by_that_word() {
    let mut watched = synced(Clockwork { streaming_lists: false, ..clockwork() }).await;
    lose_everything(&mut watched).await;
    watched.server.add_fault(Rule::once(Fault::Delay { ms: 4_000 }).when("list").times(3));
    // Held lists are read again every 5 s.
    watched.listen_for(Duration::from_secs(7)).await;
    watched.session.accept(Kind::Service);
    watched.listen_for(Duration::from_secs(5)).await;
    assert_eq!(watched.heard.names(Kind::Service).len(), 0);
    assert_eq!(watched.heard.names(Kind::Node).len(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_position_is_answered_by_reading_everything_again() {
    let mut watched = synced(clockwork()).await;
    let before = watched.heard.replaced[&Kind::Service];
    put(&watched.server, Kind::Service, "o1", 5);
    watched.server.add_fault(Rule::once(Fault::Expired).on("services"));
    watched.server.cut_streams();
    let took = watched.in_step().await;
    assert!(took <= Duration::from_secs(10), "{took:?}");
    watched.listen_for(Duration::from_secs(3)).await;
    assert_eq!(watched.heard.replaced[&Kind::Service], before + 1);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_refused_with_410_before_it_begins_is_no_dead_end() {
    let mut watched = synced(Clockwork { streaming_lists: false, ..clockwork() }).await;
    let gone = Fault::Answer { code: 410, retry_after_s: None };
    watched.server.add_fault(Rule::once(gone).when("watch").always());
    watched.server.cut_streams();
    sleep(Duration::from_secs(1)).await;
    put(&watched.server, Kind::Service, "o1", 5);
    let truth = truth(&watched.server);
    let is_there = |heard: &Heard| heard.world == truth;
    let took = watched.until(is_there).await;
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_lags_behind_is_not_believed() {
    let (fresh, stale) = (ApiServer::default(), ApiServer::default());
    for server in [&fresh, &stale] {
        put(server, Kind::Service, "a", 1);
    }
    put(&fresh, Kind::Service, "b", 1);
    let mut watched = watch(&[&fresh, &stale], settings(clockwork()));
    watched.in_step().await;
    fresh.set_down(true);
    for _ in 0..25 {
        watched.listen_for(Duration::from_secs(1)).await;
        assert_eq!(watched.heard.world, truth(&fresh));
    }
    assert!(!watched.heard.error(Kind::Service).is_empty());
    fresh.set_down(false);
    stale.set_down(true);
    put(&fresh, Kind::Service, "c", 1);
    watched.in_step().await;
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_was_restored_from_a_backup_is_believed_when_it_stands_by_it() {
    let (before, restored) = (ApiServer::default(), ApiServer::default());
    for server in [&before, &restored] {
        put(server, Kind::Service, "a", 1);
    }
    put(&before, Kind::Service, "b", 1);
    let mut watched = watch(&[&before, &restored], settings(clockwork()));
    watched.in_step().await;
    before.set_down(true);
    watched.server = restored;
    let took = watched.in_step().await;
    assert!(took >= Duration::from_secs(30), "{took:?}");
}

fn saved(folder: &Folder) -> SessionSettings {
    let cache = Some(folder.0.join("objects"));
    SessionSettings { cache, ..settings(clockwork()) }
}

#[tokio::test]
async fn what_was_served_is_served_again_after_a_restart_while_the_api_server_is_away() {
    let folder = Folder::new("restart");
    let server = ApiServer::default();
    put(&server, Kind::Service, "a", 1);
    let mut first = watch(&[&server], saved(&folder));
    first.in_step().await;
    first.session.shutdown().await;
    server.set_down(true);
    put(&server, Kind::Service, "b", 1);
    let mut second = watch(&[&server], saved(&folder));
    second.until(|heard| heard.feeds.len() == 3 && heard.replaced.len() == 3).await;
    assert_eq!(second.heard.world, first.heard.world);
    for feed in second.heard.feeds.values() {
        assert!(feed.cached_at.is_some() && !feed.synced, "{feed:?}");
    }
    server.set_down(false);
    second.in_step().await;
    assert!(second.heard.feeds.values().all(|feed| feed.cached_at.is_none()));
}

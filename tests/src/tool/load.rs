//! Requests in parallel: a fixed number of them, or until told to stop.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use spillway_tests::report::Requests;
use tokio::task::LocalSet;

use crate::request;
use crate::steps::Steps;

/// `requests` requests, `parallel` of them at a time.
pub(crate) async fn fixed(to: SocketAddr, requests: u32, parallel: u32) -> Requests {
    let left = Rc::new(Cell::new(requests));
    let more = move || {
        let now = left.get();
        left.set(now.saturating_sub(1));
        now > 0
    };
    LocalSet::new().run_until(many(to, parallel, more)).await
}

/// `parallel` requests at a time until stdin closes.
pub(crate) async fn endless(to: SocketAddr, parallel: u32) -> Requests {
    let go_on = Rc::new(Cell::new(true));
    let tasks = LocalSet::new();
    let stop = Rc::clone(&go_on);
    tasks.spawn_local(async move {
        Steps::from_stdin().end().await;
        stop.set(false);
    });
    tasks.run_until(many(to, parallel, move || go_on.get())).await
}

async fn many(to: SocketAddr, parallel: u32, more: impl Fn() -> bool + 'static) -> Requests {
    let begin = Instant::now();
    let report = Rc::new(RefCell::new(Requests::default()));
    let more = Rc::new(more);
    let mut clients = Vec::new();
    for _ in 0..parallel {
        let (more, report) = (Rc::clone(&more), Rc::clone(&report));
        clients.push(tokio::task::spawn_local(async move {
            while more() {
                let outcome = request::once(to).await;
                request::count(&mut report.borrow_mut(), outcome);
            }
        }));
    }
    for client in clients {
        // A client that panicked has counted nothing; the sum will show it.
        let _ = client.await;
    }
    let mut report = report.take();
    report.elapsed_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
    report
}

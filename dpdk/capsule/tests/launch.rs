//! Three workers on two cores or fewer: they run, fail, and run again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use capsule::{
    Burst, Eal, LaunchError, LcoreId, Mempool, Multi, Receiver, Ring, RingSettings, Sender, Single,
};
use support::{pool, settings, wait_until};

const PACKETS_PER_WORKER: u64 = 20_000;

#[test]
fn three_oversubscribed_workers_pass_mbufs_and_report_their_panics() {
    let mut settings = settings(&[]);
    let cores = thread::available_parallelism().unwrap().get();
    settings.worker_cores = vec![0, cores - 1, cores - 1];
    let eal = Eal::init(&settings).unwrap();
    assert_eq!(eal.workers().len(), 3);
    assert_eq!(LcoreId::current().unwrap().get(), 0, "init makes this thread the main lcore");
    assert_eq!(thread::spawn(LcoreId::current).join().unwrap(), None);

    lcore_numbers(&eal);
    busy_and_unknown_workers(&eal);
    panics(&eal);
    let pool = pool(&eal, "pool", 4096);
    hand_over(&eal, &pool);
    assert_eq!(pool.in_use(), 0);
}

fn lcore_numbers(eal: &Eal) {
    let seen: Arc<[AtomicU64; 3]> = Arc::default();
    let handles: Vec<_> = (0..3)
        .map(|index| {
            let seen = Arc::clone(&seen);
            let job = move || {
                let lcore = LcoreId::current().unwrap().get();
                seen[index].store(u64::from(lcore), Ordering::Relaxed);
            };
            eal.launch(index, job).unwrap()
        })
        .collect();
    for handle in handles {
        let worker = handle.worker();
        handle.join().unwrap();
        let lcore = seen[worker.index].load(Ordering::Relaxed);
        assert_eq!(lcore, u64::from(worker.lcore.get()));
    }
}

fn busy_and_unknown_workers(eal: &Eal) {
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stop);
    let wait = move || {
        while !seen.load(Ordering::Relaxed) {
            thread::yield_now();
        }
    };
    let handle = eal.launch(0, wait).unwrap();
    assert_eq!(eal.launch(0, || ()).unwrap_err(), LaunchError::Busy { index: 0 });
    assert!(!handle.is_finished());
    stop.store(true, Ordering::Relaxed);
    handle.join().unwrap();
    let unknown = LaunchError::NoWorker { index: 3, workers: 3 };
    assert_eq!(eal.launch(3, || ()).unwrap_err(), unknown);
}

fn panics(eal: &Eal) {
    let handle = eal.launch(1, || panic!("on purpose: {}", 42)).unwrap();
    let error = handle.join().unwrap_err();
    assert_eq!(error.to_string(), "worker 1 panicked: on purpose: 42");
    eal.launch(1, || ()).unwrap().join().expect("the worker can be used again");
}

/// Two workers produce into a ring, the third consumes and frees.
fn hand_over(eal: &Eal, pool: &Mempool) {
    let settings = RingSettings { name: "hand-over".to_owned(), size: 512, numa: None };
    let (sender, receiver) = Ring::<Multi, Single>::create(eal, &settings).unwrap().split();
    let sum = Arc::new(AtomicU64::new(0));
    let consumer = {
        let sum = Arc::clone(&sum);
        eal.launch(2, move || consume(receiver, &sum)).unwrap()
    };
    let producers: Vec<_> = (0..2)
        .map(|index| {
            let (sender, pool) = (sender.clone(), pool.clone());
            eal.launch(index, move || produce(sender, &pool)).unwrap()
        })
        .collect();
    drop(sender);
    for handle in producers {
        handle.join().unwrap();
    }
    consumer.join().unwrap();
    assert_eq!(sum.load(Ordering::Relaxed), 2 * (0..PACKETS_PER_WORKER).sum::<u64>());
    wait_until("all mbufs are back", || pool.in_use() == 0);
}

fn produce(mut sender: Sender<Multi>, pool: &Mempool) {
    let mut next = 0;
    let mut burst = Burst::new();
    while next < PACKETS_PER_WORKER {
        let left = usize::try_from(PACKETS_PER_WORKER - next).unwrap();
        pool.alloc_burst(&mut burst, left.min(32));
        for mbuf in &mut burst {
            mbuf.set_tag(next);
            next += 1;
        }
        while !burst.is_empty() {
            if sender.enqueue(&mut burst) == 0 {
                thread::yield_now();
            }
        }
    }
}

fn consume(mut receiver: Receiver<Single>, sum: &AtomicU64) {
    let mut burst = Burst::new();
    let mut received = 0;
    while received < 2 * PACKETS_PER_WORKER {
        if receiver.dequeue(&mut burst) == 0 {
            thread::yield_now();
        }
        for mbuf in burst.drain() {
            received += 1;
            sum.fetch_add(mbuf.tag(), Ordering::Relaxed);
        }
    }
}

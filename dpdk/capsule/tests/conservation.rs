//! Mbufs are neither lost nor freed twice, whatever is done with them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod support;

use capsule::{
    Burst, Eal, HEADROOM, Mempool, MempoolError, MempoolSettings, Ring, RingSettings, Single,
};
use support::{pool, settings};

#[test]
fn every_mbuf_returns_to_its_pool() {
    let eal = Eal::init(&settings(&[])).unwrap();
    let pool = pool(&eal, "pool", 1000);
    assert_eq!((pool.available(), pool.in_use()), (1000, 0));
    single_mbufs(&pool);
    bursts(&pool);
    bounds(&pool);
    exhaustion(&pool);
    rings(&eal, &pool);
    let elsewhere = pool.clone();
    std::thread::spawn(move || {
        let mut burst = Burst::new();
        assert_eq!(elsewhere.alloc_burst(&mut burst, 64), 64, "a thread that is not EAL's");
    })
    .join()
    .unwrap();
    assert_eq!(pool.in_use(), 0);
    names(&eal, pool);
}

fn single_mbufs(pool: &Mempool) {
    let mbuf = pool.alloc().unwrap();
    assert_eq!(pool.in_use(), 1);
    let elsewhere = std::thread::spawn(move || drop(mbuf));
    elsewhere.join().unwrap();
    assert_eq!(pool.in_use(), 0);
}

/// The tags of a burst, in order.
fn tags(burst: &Burst) -> Vec<u64> {
    burst.iter().map(capsule::Mbuf::tag).collect()
}

fn bursts(pool: &Mempool) {
    let mut burst = Burst::new();
    assert_eq!(pool.alloc_burst(&mut burst, 1000), 64);
    assert!(burst.is_full());
    assert!(burst.push(pool.alloc().unwrap()).is_err(), "a full burst hands the mbuf back");
    for (tag, mbuf) in (0..).zip(&mut burst) {
        mbuf.set_tag(tag << 33 | tag);
    }
    assert!(burst.take(64).is_none() && burst.swap_take(64).is_none());
    assert_eq!(burst.take(1).unwrap().tag(), 1 << 33 | 1);
    assert_eq!(burst.swap_take(0).unwrap().tag(), 0);
    assert_eq!(burst.pop().unwrap().tag(), (62 << 33) + 62);
    assert_eq!(burst.len(), 61);
    let expected: Vec<u64> = [63].into_iter().chain(2..62).map(|t| t << 33 | t).collect();
    assert_eq!(tags(&burst), expected);
    assert_eq!(pool.in_use(), 61);

    let mut drain = burst.drain();
    assert_eq!(drain.next().unwrap().tag(), expected[0]);
    assert_eq!(drain.len(), 60);
    drop(drain);
    assert_eq!((burst.len(), pool.in_use()), (0, 0), "a drain frees what it was not asked for");

    pool.alloc_burst(&mut burst, 10);
    burst.clear();
    assert_eq!(pool.in_use(), 0);
    pool.alloc_burst(&mut burst, 10);
    assert_eq!(pool.in_use(), 10);
    drop(burst);
    assert_eq!(pool.in_use(), 0);
}

fn bounds(pool: &Mempool) {
    let mut mbuf = pool.alloc().unwrap();
    let headroom = usize::from(HEADROOM);
    assert!(mbuf.is_empty() && mbuf.is_contiguous());
    assert_eq!((mbuf.headroom(), mbuf.tailroom(), mbuf.port()), (headroom, 2048, u16::MAX));
    assert!(!mbuf.copy_from(&[1; 2049]) && mbuf.is_empty());
    assert!(mbuf.copy_from(&[7; 2048]));
    assert!(mbuf.resize(100) && mbuf.resize(200));
    assert_eq!(mbuf.data()[..100], [7; 100]);
    assert_eq!(mbuf.data()[100..], [0; 100], "old bytes do not come back");
    assert!(!mbuf.push_front(headroom + 1) && mbuf.push_front(headroom));
    assert_eq!((mbuf.len(), mbuf.headroom()), (200 + headroom, 0));
    assert_eq!(mbuf.data()[..=headroom], [&[0_u8; 128][..], &[7]].concat());
    assert!(mbuf.pull_front(headroom + 50) && mbuf.len() == 150);
    assert!(!mbuf.pull_front(151) && mbuf.pull_front(150) && mbuf.is_empty());
    assert!(!mbuf.resize(usize::MAX) && !mbuf.pull_front(usize::MAX - 1000));
    mbuf.set_port(9);
    mbuf.set_tag(u64::MAX - 5);
    assert_eq!((mbuf.port(), mbuf.tag(), mbuf.rss_hash()), (9, u64::MAX - 5, None));
}

fn exhaustion(pool: &Mempool) {
    let mut all = Vec::new();
    loop {
        let mut burst = Burst::new();
        if pool.alloc_burst(&mut burst, 64) == 0 {
            break;
        }
        all.push(burst);
    }
    assert_eq!(all.iter().map(Burst::len).sum::<usize>(), 1000);
    assert!(pool.alloc().is_none());
    drop(all);
    assert_eq!(pool.in_use(), 0);
}

fn rings(eal: &Eal, pool: &Mempool) {
    let settings = RingSettings { name: "ring".to_owned(), size: 100, numa: None };
    let mut ring = Ring::<Single, Single>::create(eal, &settings).unwrap();
    assert_eq!((ring.capacity(), ring.len()), (100, 0));
    let mut burst = Burst::new();
    for first in [0, 64] {
        pool.alloc_burst(&mut burst, 64);
        for (tag, mbuf) in (first..).zip(&mut burst) {
            mbuf.set_tag(tag);
        }
        ring.enqueue(&mut burst);
    }
    assert_eq!((ring.len(), burst.len()), (100, 28), "what does not fit stays");
    assert_eq!(tags(&burst), (100..128).collect::<Vec<_>>(), "in order");
    burst.clear();
    assert_eq!(ring.dequeue(&mut burst), 64);
    assert_eq!(tags(&burst), (0..64).collect::<Vec<_>>());
    burst.clear();
    assert_eq!(pool.in_use(), 36);
    drop(ring);
    assert_eq!(pool.in_use(), 0, "a ring frees what is left in it");
    assert!(Ring::<Single, Single>::create(eal, &settings).is_ok(), "the name is free again");
}

fn names(eal: &Eal, pool: Mempool) {
    let settings = MempoolSettings::new("pool", 100);
    assert!(matches!(Mempool::create(eal, &settings), Err(MempoolError::Create { .. })));
    drop(pool);
    let pool = Mempool::create(eal, &settings).expect("a dropped pool's name is free again");
    let escaped = pool.alloc().unwrap();
    drop(pool);
    let kept = Mempool::create(eal, &settings);
    assert!(matches!(kept, Err(MempoolError::Create { .. })), "its memory must stay");
    assert!(escaped.is_empty());
    drop(escaped);
    for bad in ["", "a,b", "a-name-of-more-than-25-bytes"] {
        let settings = MempoolSettings::new(bad, 100);
        assert!(matches!(Mempool::create(eal, &settings), Err(MempoolError::Name(_))), "{bad}");
    }
    let huge = MempoolSettings::new("huge", 1 << 24);
    assert!(matches!(Mempool::create(eal, &huge), Err(MempoolError::Create { .. })));
}

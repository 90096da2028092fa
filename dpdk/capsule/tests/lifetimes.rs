//! An mbuf stays valid after everything that it came from has been dropped.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod support;

use capsule::{Burst, Eal};
use support::{pool, settings};

#[test]
fn an_mbuf_outlives_its_pool_and_the_environment() {
    let eal = Eal::init(&settings(&[])).unwrap();
    let pool = pool(&eal, "pool", 100);
    let mut burst = Burst::new();
    pool.alloc_burst(&mut burst, 3);
    let mut mbuf = burst.pop().unwrap();
    assert!(mbuf.copy_from(b"still here"));
    drop(pool);
    drop(eal);
    mbuf.data_mut()[0] = b'S';
    assert_eq!(mbuf.data(), b"Still here");
    drop(burst);
    drop(mbuf);
}

//! DPDK starts once per process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod support;

use capsule::{Eal, EalError, Memory};
use support::{pool, settings};

#[test]
fn settings_that_are_refused_do_not_use_up_the_one_start_but_a_start_does() {
    let mut impossible = settings(&[]);
    impossible.worker_cores = vec![4711];
    assert!(matches!(Eal::init(&impossible), Err(EalError::Core { core: 4711, .. })));
    let mut greedy = settings(&[]);
    greedy.memory = Memory::Hugepages { mib: 512 << 10 };
    assert!(matches!(Eal::init(&greedy), Err(EalError::Hugepages { .. })));

    let eal = Eal::init(&settings(&[])).unwrap();
    assert_eq!(Eal::init(&settings(&[])).unwrap_err(), EalError::AlreadyStarted);
    assert_eq!(pool(&eal, "pool", 256).available(), 256, "the first one is unharmed");
    drop(eal);
    assert_eq!(Eal::init(&settings(&[])).unwrap_err(), EalError::AlreadyStarted);
    let leftover = format!("/var/run/dpdk/{}", settings(&[]).name);
    assert!(!std::path::Path::new(&leftover).exists(), "{leftover}");
}

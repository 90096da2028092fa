//! A device that cannot be had is named in the error, and the process can then start no other.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod support;

use capsule::{Device, Eal, EalError};
use support::settings;

#[test]
fn a_missing_interface_is_named_and_a_second_start_is_refused() {
    let device = Device::AfPacket { interface: "sw-nowhere".to_owned(), queues: 1 };
    let error = Eal::init(&settings(&[("uplink", device)])).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, EalError::NoInterface { .. }), "{text}");
    assert!(text.contains("uplink") && text.contains("sw-nowhere"), "{text}");
    assert_eq!(Eal::init(&settings(&[])).unwrap_err(), EalError::AlreadyStarted);
}

//! A driver's refusal names the device, the driver and what it was asked for.
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
fn a_file_that_does_not_exist_is_an_error_with_its_name() {
    let rx = Some("/nonexistent/sw.pcap".into());
    let device = Device::Pcap { rx, tx: None, infinite_rx: false };
    let error = Eal::init(&settings(&[("file", device)])).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, EalError::Driver { .. }), "{text}");
    assert!(text.contains("device file") && text.contains("/nonexistent/sw.pcap"), "{text}");
}

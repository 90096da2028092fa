//! A PCI function that nothing drives is an error that says what to do.
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
fn a_pci_function_that_does_not_exist_is_an_error_that_says_what_to_do() {
    let device = Device::Pci { address: "ff:1f.7".to_owned() };
    let error = Eal::init(&settings(&[("uplink", device)])).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, EalError::PciNotTaken { .. }), "{text}");
    assert!(text.contains("0000:ff:1f.7") && text.contains("dpdk-devbind.py"), "{text}");
}

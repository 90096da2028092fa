//! smoltcp's device: packets that came, packets to go. Touches nothing outside.

use std::collections::VecDeque;

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

/// Largest IPv4 packet of a check, in bytes.
const MTU: usize = 1500;
/// Packets that a check may have unsent; more are made when these are taken.
const SENT_MAX: usize = 16;

/// The two ends of one check's wire.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    pub(crate) received: VecDeque<Box<[u8]>>,
    pub(crate) sent: Vec<Box<[u8]>>,
}

#[derive(Debug)]
pub(crate) struct Received(Box<[u8]>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

#[derive(Debug)]
pub(crate) struct Sending<'a>(&'a mut Vec<Box<[u8]>>);

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len].into_boxed_slice();
        let result = f(&mut packet);
        self.0.push(packet);
        result
    }
}

impl Device for Wire {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Sending<'_>)> {
        let packet = self.received.pop_front()?;
        Some((Received(packet), Sending(&mut self.sent)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        (self.sent.len() < SENT_MAX).then_some(Sending(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}

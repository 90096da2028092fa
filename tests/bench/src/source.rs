//! The flow source: makes received frames packets of random flows.

use capsule::Burst;
use spillway_lb::conntrack::Direction;
use spillway_packet::MacAddr;
use spillway_packet::tcp::TcpFlags;

use crate::flows::Flows;
use crate::template::Template;

/// Makes the packets of one direction.
#[derive(Debug)]
pub(crate) struct Source {
    template: Template,
    direction: Direction,
    random: u64,
}

impl Source {
    /// `macs`: source and destination of the frames.
    pub(crate) fn new(
        flows: &Flows,
        direction: Direction,
        flags: TcpFlags,
        macs: (MacAddr, MacAddr),
    ) -> anyhow::Result<Self> {
        let template = Template::new(flows.protocol, flags, macs)?;
        Ok(Self { template, direction, random: 0x9e37_79b9_7f4a_7c15 })
    }

    /// A random flow, uniform over all of them.
    #[inline]
    fn pick(&mut self, flows: &Flows) -> u32 {
        // Knuth's linear congruential generator (MMIX); the high half is random enough.
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let product = (self.random >> 32) * u64::from(flows.count);
        u32::try_from(product >> 32).unwrap_or(0)
    }

    /// Makes each frame a packet of a random flow.
    #[inline]
    pub(crate) fn fill(&mut self, flows: &Flows, burst: &mut Burst) {
        for mbuf in burst.iter_mut() {
            let id = self.pick(flows);
            self.template.stamp(mbuf.data_mut(), flows.arriving(id, self.direction));
        }
    }

    /// Makes the frames packets of these flows; frames beyond the last are freed.
    pub(crate) fn fill_with(
        &self,
        flows: &Flows,
        burst: &mut Burst,
        ids: impl ExactSizeIterator<Item = u32>,
    ) {
        while burst.len() > ids.len() {
            drop(burst.pop());
        }
        for (mbuf, id) in burst.iter_mut().zip(ids) {
            self.template.stamp(mbuf.data_mut(), flows.arriving(id, self.direction));
        }
    }

    /// Random flows for a burst.
    pub(crate) fn picks(&mut self, flows: &Flows, count: usize) -> Vec<u32> {
        (0..count).map(|_| self.pick(flows)).collect()
    }
}

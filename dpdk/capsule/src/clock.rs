//! The time-stamp counter: one instruction, no system call.

use crate::eal::Eal;

/// The processor's time-stamp counter and its rate.
///
/// The rate is calibrated by EAL at start (from CPUID or the kernel's clock). The counter is
/// assumed invariant and synchronous between cores, as on every x86-64 server of the last decade.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Tsc {
    hz: u64,
}

const NANOS_PER_SECOND: u128 = 1_000_000_000;

impl Tsc {
    /// Needs the environment because the rate is known only after its start.
    pub fn new(_started: &Eal) -> Self {
        // SAFETY: reads an integer that EAL has set during init.
        Self { hz: unsafe { dpdk_sys::rte_get_tsc_hz() } }
    }

    /// Ticks since the processor's reset.
    #[inline]
    pub fn now(self) -> u64 {
        // SAFETY: RDTSC exists on every x86-64 processor and has no memory effect.
        unsafe { core::arch::x86_64::_rdtsc() }
    }

    /// Ticks per second.
    pub fn hz(self) -> u64 {
        self.hz
    }

    /// Length of a number of ticks in nanoseconds; saturates after some 584 years.
    pub fn nanos(self, ticks: u64) -> u64 {
        let nanos = u128::from(ticks) * NANOS_PER_SECOND / u128::from(self.hz.max(1));
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }

    /// Ticks in a number of nanoseconds.
    pub fn ticks(self, nanos: u64) -> u64 {
        let ticks = u128::from(nanos) * u128::from(self.hz) / NANOS_PER_SECOND;
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_and_nanoseconds_convert_both_ways() {
        let tsc = Tsc { hz: 2_500_000_000 };
        assert_eq!(tsc.nanos(2_500_000_000), 1_000_000_000);
        assert_eq!(tsc.ticks(4), 10);
        assert_eq!(tsc.nanos(u64::MAX), 7_378_697_629_483_820_646);
    }

    #[test]
    fn the_counter_advances() {
        let tsc = Tsc { hz: 1 };
        let before = tsc.now();
        std::thread::sleep(std::time::Duration::from_millis(1));
        assert!(tsc.now() > before);
    }
}

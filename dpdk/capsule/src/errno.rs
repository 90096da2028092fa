//! Error numbers of DPDK, made a type at the boundary.

use std::fmt;
use std::io;

/// A positive error number: the kernel's, or one of DPDK's own from 1001.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Errno(i32);

/// `rte_errno.h`: not possible in a secondary process.
const E_RTE_SECONDARY: i32 = 1001;
/// `rte_errno.h`: the shared configuration is missing.
const E_RTE_NO_CONFIG: i32 = 1002;

impl Errno {
    pub(crate) const ENOTSUP: Self = Self(95);

    /// From a return value that is a negated error number.
    pub(crate) fn from_return(value: i32) -> Self {
        Self(value.saturating_abs())
    }

    /// DPDK's `rte_errno` of the calling thread.
    pub(crate) fn last() -> Self {
        // SAFETY: reads a thread-local integer of libdpdk.
        Self(unsafe { dpdk_sys::dpdk_errno() }.saturating_abs())
    }

    pub fn code(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("no error number was given"),
            // A driver that fails without saying why returns -1, which reads as EPERM.
            1 => {
                f.write_str("the driver refused without a reason, or: operation not permitted (1)")
            }
            E_RTE_SECONDARY => f.write_str("not possible in a secondary process (1001)"),
            E_RTE_NO_CONFIG => f.write_str("DPDK's shared configuration is missing (1002)"),
            code => write!(f, "{}", io::Error::from_raw_os_error(code)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negated_return_value_reads_as_the_kernel_says_it() {
        assert_eq!(Errno::from_return(-19).to_string(), "No such device (os error 19)");
        assert_eq!(Errno::from_return(-95), Errno::ENOTSUP);
    }

    #[test]
    fn dpdk_own_numbers_have_words() {
        assert!(Errno::from_return(-1002).to_string().contains("configuration"));
    }
}

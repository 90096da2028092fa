//! What this kernel has beyond 5.10, and what is done without.
//!
//! Helpers are asked for by aya's probe (a program of two instructions that calls the helper: the verifier says whether
//! it knows it), TCX by asking what is attached to a device. Distributions carry features back, so that the version says
//! little; it is only looked at to refuse what is surely too old.

use aya::programs::tc::TcAttachType;
use aya::programs::{ProgramType, SchedClassifier};
use aya::sys::{BpfHelper, is_helper_supported};
use aya::util::KernelVersion;

use spillway_control::settings::node::TcAttach;

use super::error::DatapathError;

/// The oldest kernel whose programs can be ours: `bpf_redirect_peer` and `bpf_redirect_neigh` came with it.
const KERNEL_MIN: KernelVersion = KernelVersion::new(5, 10, 0);

/// What this kernel has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    /// `major.minor.patch`.
    pub kernel: String,
    /// `bpf_set_retval` for programs of sockets (5.18): the caller of connect() gets an errno that says why.
    pub has_set_retval: bool,
    /// TCX (6.6).
    pub has_tcx: bool,
    /// TCX is what is used here.
    pub uses_tcx: bool,
}

impl Features {
    /// Asks the kernel.
    pub(super) fn probe(tc_attach: TcAttach) -> Result<Self, DatapathError> {
        let kernel = KernelVersion::current()
            .map_err(|error| DatapathError::KernelUnknown(error.to_string()))?;
        if kernel < KERNEL_MIN {
            return Err(DatapathError::KernelTooOld { kernel: kernel.to_string() });
        }
        let has_tcx = has_tcx();
        let uses_tcx = match tc_attach {
            TcAttach::Auto => has_tcx,
            TcAttach::Tcx if !has_tcx => {
                return Err(DatapathError::NoTcx { kernel: kernel.to_string() });
            }
            TcAttach::Tcx => true,
            TcAttach::Clsact => false,
        };
        let has_set_retval =
            is_helper_supported(ProgramType::CgroupSockAddr, BpfHelper::BPF_FUNC_set_retval)
                .map_err(|error| DatapathError::Probe { helper: "bpf_set_retval", error })?;
        Ok(Self { kernel: kernel.to_string(), has_set_retval, has_tcx, uses_tcx })
    }

    /// What the log says at start: how things are attached, and what is done without.
    pub fn sentences(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        sentences.push(if self.uses_tcx {
            format!("kernel {}: tc programs are attached by TCX links", self.kernel)
        } else if self.has_tcx {
            format!(
                "kernel {}: tc programs are attached by clsact filters, as the configuration says",
                self.kernel
            )
        } else {
            format!(
                "kernel {} has no TCX (6.6): tc programs are attached by clsact filters",
                self.kernel
            )
        });
        if !self.has_set_retval {
            sentences.push(format!(
                "kernel {} has no bpf_set_retval (5.18): connect() to a service without backends fails with EPERM \
                 instead of ECONNREFUSED",
                self.kernel
            ));
        }
        sentences
    }
}

/// `lo` is there in every network namespace; a kernel without TCX does not know the question.
fn has_tcx() -> bool {
    SchedClassifier::query_tcx("lo", TcAttachType::Ingress).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(has_set_retval: bool, has_tcx: bool, uses_tcx: bool) -> Vec<String> {
        Features { kernel: "5.10.0".to_owned(), has_set_retval, has_tcx, uses_tcx }.sentences()
    }

    #[test]
    fn what_falls_back_is_said_and_nothing_else() {
        assert_eq!(kernel(true, true, true).len(), 1);
        let old = kernel(false, false, false);
        assert!(old[0].contains("has no TCX"), "{old:?}");
        assert!(old[1].contains("EPERM"), "{old:?}");
        let told = kernel(true, true, false);
        assert!(told[0].contains("as the configuration says"), "{told:?}");
    }
}

//! Events on Services, in the words that users of cloud load balancers know.
//!
//! Reasons and messages are those of Kubernetes' cloud-provider service controller, so that dashboards and
//! habits keep working, and a few of our own for what no cloud has.

mod draft;
mod recorder;
#[cfg(test)]
mod tests;

pub use draft::{Draft, Reason, Severity};
pub use recorder::{EventWrite, Recorder, Source};

//! The tc programs, one packet at a time (BPF_PROG_TEST_RUN): a frame, the maps, the verdict, the frame that comes out.
//!
//! Runs as root: programs are loaded, and each test has its own network and mount namespaces.
#![expect(unsafe_code, reason = "a thread leaves its namespaces by unshare(2)")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail loudly"
)]

mod east_west;
mod elsewhere;
mod frame;
mod frontend;
mod here;
mod lifetime;
mod odd;
mod world;

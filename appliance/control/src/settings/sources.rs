//! Where a configuration comes from.

use std::path::PathBuf;

/// Everything that [`super::load`] looks at besides the files themselves. Later layers win: file,
/// `conf.d/*.toml` beside it in the order of their names, environment, overrides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    pub file: PathBuf,
    /// Flags: dotted key and value, as in `--set dataplane.poll=busy`. A port or a service is
    /// addressed by its name: `port.front.interface`.
    pub overrides: Vec<(String, String)>,
    /// The process's environment; only `SPILLWAY__SECTION__KEY` counts.
    pub env: Vec<(String, String)>,
    /// Cores that a worker can run on: `0..cpus_online`.
    pub cpus_online: usize,
}

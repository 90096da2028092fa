//! The configuration: layers of TOML in, typed [`Settings`] out, or every mistake at once.
//!
//! ```text
//! file ─┬→ Layer (values + places) ─┐
//! conf.d/*.toml                     │
//! SPILLWAY__SECTION__KEY            ├→ merge (crate config) → Node tree → drafts → cross checks → Settings
//! --set section.key=value          ─┘                             └── Report ◄────────┘ → Mistakes
//! ```
//!
//! Later layers win, tables key by key, everything else as a whole. `[[port]]`, `[[service]]` and
//! `[[pool]]` are merged by `name`, so that a file in `conf.d` adds one or changes one, and a variable or a flag
//! addresses one as `port.front.interface`.
//!
//! Invariants: nothing is read but the files named in [`Sources`] and the existence of capture
//! files and of the kubeconfig; a reader never stops at the first mistake; every mistake names its place.

mod assignments;
mod check;
mod dataplane;
mod device;
mod draft;
mod driver;
mod form;
mod health;
mod import;
mod kubernetes;
mod layer;
mod merge;
mod mistake;
pub mod node;
mod pool;
mod port;
mod report;
mod route;
mod section;
mod service;
mod sources;
mod suggest;
mod types;

use std::io;
use std::path::{Path, PathBuf};

pub use device::{DeviceSettings, MemifRole, PciAddress};
pub use mistake::{Mistake, Mistakes, Origin, Place};
pub use sources::Sources;
pub use types::{
    DataplaneSettings, KubernetesSettings, LogLevel, MemorySettings, Poll, PortSettings, Settings,
    Steering,
};

use assignments::Names;
use layer::Layer;
use report::{Report, Span};

/// Reads, merges and checks a configuration.
///
/// # Errors
/// Every mistake in it. When a layer cannot be parsed, only what keeps layers from being parsed: of
/// what is missing, nothing could be said.
pub fn load(sources: &Sources) -> Result<Settings, Mistakes> {
    let read = |root: &merge::Node, report: &Report| {
        let draft = draft::read(root, sources.cpus_online, report)?;
        check::check(&draft, report);
        draft.into_settings()
    };
    let (settings, notes) = load_with(sources, read)?;
    Ok(Settings { notes, ..settings })
}

/// What `read` makes of the merged layers, and notes; every mistake that was reported on the way.
fn load_with<T>(
    sources: &Sources,
    read: impl FnOnce(&merge::Node, &Report) -> Option<T>,
) -> Result<(T, Vec<String>), Mistakes> {
    let report = Report::default();
    let mut layers = Vec::new();
    read_files(&sources.file, &mut layers, &report);
    let names = Names::of(&layers);
    if !layers.iter().any(|layer| layer.is_broken) {
        assignments::of_environment(&sources.env, &names, &mut layers, &report);
        assignments::of_overrides(&sources.overrides, &names, &mut layers, &report);
    }
    let mut settings = None;
    if !layers.iter().any(|layer| layer.is_broken) {
        match merge::merge(&layers) {
            Ok(root) => settings = read(&root, &report),
            Err(error) => report.error(Span::whole(0), error.to_string()),
        }
    }
    if settings.is_none() && report.count() == 0 {
        report.error(Span::whole(0), "this configuration cannot be read, for no known reason");
    }
    let notes = report.notes(&layers);
    let mistakes = report.into_mistakes(&layers);
    match settings {
        Some(settings) if mistakes.is_empty() => Ok((settings, notes)),
        Some(_) | None => Err(mistakes),
    }
}

/// The file itself is always layer 0, even when it cannot be read.
fn read_files(file: &Path, layers: &mut Vec<Layer>, report: &Report) {
    read_file(file, layers, report);
    let directory = file.parent().unwrap_or(Path::new("")).join("conf.d");
    match list(&directory) {
        Ok(files) => {
            for file in files {
                read_file(&file, layers, report);
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            report.error(Span::whole(layers.len()), format!("cannot be listed: {error}"));
            layers.push(Layer::broken(Origin::File(directory), String::new()));
        }
    }
}

fn read_file(file: &Path, layers: &mut Vec<Layer>, report: &Report) {
    let origin = Origin::File(file.to_owned());
    let index = layers.len();
    layers.push(match std::fs::read_to_string(file) {
        Ok(text) => Layer::from_toml(index, origin, text, report),
        Err(error) => {
            report.error(Span::whole(index), format!("cannot be read: {error}"));
            Layer::broken(origin, String::new())
        }
    });
}

fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

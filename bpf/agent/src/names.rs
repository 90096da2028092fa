//! The file of the Services' names: the maps know numbers only.
//!
//! The agent writes it, the lists show from it what they find; without it they show numbers.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use spillway_cluster::addresses::Family;

/// Where the agent writes it unless the configuration says otherwise.
pub const PATH: &str = "/run/spillway-node/names.json";

/// The file cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: the names of the Services cannot be written; lists show their numbers only")]
pub struct NamesError {
    path: PathBuf,
    source: io::Error,
}

/// Names by the number of the service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    services: BTreeMap<u32, String>,
}

impl<'n> FromIterator<(u32, &'n str, Family)> for Names {
    fn from_iter<I: IntoIterator<Item = (u32, &'n str, Family)>>(names: I) -> Self {
        let services = names.into_iter().map(|(id, name, _)| (id, name.to_owned())).collect();
        Self { services }
    }
}

impl Names {
    pub fn get(&self, service: u32) -> Option<&str> {
        self.services.get(&service).map(String::as_str)
    }

    /// What the file says; nothing, if there is none or it makes no sense.
    pub fn read(path: &Path) -> Self {
        let text = fs::read(path).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Replaces the file at once: readers find the old or the new.
    pub fn write(&self, path: &Path) -> Result<(), NamesError> {
        let failed = |source| NamesError { path: path.to_owned(), source };
        let fresh = path.with_extension("new");
        let write = || {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let mut file = io::BufWriter::new(fs::File::create(&fresh)?);
            serde_json::to_writer(&mut file, self)?;
            file.write_all(b"\n")?;
            // No fsync: a file below /run does not outlive the kernel's maps.
            file.into_inner().map_err(io::IntoInnerError::into_error)?;
            fs::rename(&fresh, path)
        };
        write().map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_is_no_file_is_nothing() {
        let folder = std::env::temp_dir().join(format!("sw-names-{}", std::process::id()));
        let path = folder.join("names.json");
        let names: Names =
            [(7, "default/web:http", Family::V4), (8, "a\n\"b", Family::V6)].into_iter().collect();
        names.write(&path).unwrap();
        assert_eq!(Names::read(&path), names);
        assert_eq!(Names::read(&path).get(8), Some("a\n\"b"));
        Names::default().write(&path).unwrap();
        assert_eq!(Names::read(&path), Names::default());
        fs::write(&path, "{\"services\":").unwrap();
        assert_eq!(Names::read(&path), Names::default());
        assert_eq!(Names::read(&folder.join("none")), Names::default());
        fs::remove_dir_all(&folder).unwrap();
    }
}

//! The last good objects on disk, so that a restart while the API server is away still serves.
//!
//! One file: a line `spillway-cache VERSION CHECKSUM` and a JSON body. It is replaced whole (temporary file, fsync,
//! rename), so a crash leaves the old one. A file that is not as it should be is ignored with a warning, and a
//! file that was never ours is not written to either.

use std::fs::{File, OpenOptions};
use std::hash::Hasher;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use siphasher::sip128::{Hasher128, SipHasher13};
use spillway_cluster::{Access, Kind, Object};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::watch::shelf::Shelf;

const MAGIC: &str = "spillway-cache";
/// Changes when an older program could misread the body.
const VERSION: u32 = 1;
/// Ten thousand Services with ten endpoints each are a tenth of this.
const LEN_MAX: u64 = 256 << 20;

/// Objects of one kind, as they were.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Saved {
    pub(crate) kind: Kind,
    pub(crate) at: SystemTime,
    pub(crate) objects: Vec<Object>,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("is not a cache of spillwayd; it is left alone, name another file")]
    Foreign,
    #[error("is damaged: {0}")]
    Damaged(&'static str),
    #[error("was written by another version of spillwayd")]
    Version,
    #[error("is of another cluster")]
    OtherCluster,
    #[error("would be longer than {LEN_MAX} bytes")]
    TooLong,
}

#[derive(Serialize, Deserialize)]
struct Body {
    cluster: String,
    kinds: Vec<Section>,
}

#[derive(Serialize, Deserialize)]
struct Section {
    kind: Kind,
    saved_at_s: u64,
    objects: Vec<Value>,
}

/// What tells clusters apart: a file that was made under another access is of no use.
pub(crate) fn cluster_of(access: &Access) -> String {
    match access {
        Access::InCluster => "in-cluster".to_owned(),
        Access::Kubeconfig { path, context, endpoints: _ } => {
            format!("{} {}", path.display(), context.as_deref().unwrap_or_default())
        }
    }
}

/// Reads a cache; nothing at all when there is no file yet.
pub(crate) fn load(path: &Path, cluster: &str) -> Result<Vec<Saved>, CacheError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    file.take(LEN_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let body = checked(&bytes)?;
    let body: Body = serde_json::from_slice(body).map_err(|_| CacheError::Damaged("no JSON"))?;
    if body.cluster != cluster {
        return Err(CacheError::OtherCluster);
    }
    Ok(body.kinds.into_iter().map(Section::open).collect())
}

/// The body of a file whose first line is right.
fn checked(bytes: &[u8]) -> Result<&[u8], CacheError> {
    if !bytes.starts_with(MAGIC.as_bytes()) {
        return Err(CacheError::Foreign);
    }
    if bytes.len() as u64 > LEN_MAX {
        return Err(CacheError::TooLong);
    }
    let newline = bytes.iter().position(|byte| *byte == b'\n');
    let (head, body) = newline
        .and_then(|at| bytes.split_at_checked(at + 1))
        .ok_or(CacheError::Damaged("no first line"))?;
    let head = std::str::from_utf8(head).map_err(|_| CacheError::Damaged("no first line"))?;
    let mut words = head.split_whitespace().skip(1);
    if words.next() != Some(VERSION.to_string().as_str()) {
        return Err(CacheError::Version);
    }
    if words.next() != Some(checksum(body).as_str()) {
        return Err(CacheError::Damaged("the checksum does not match"));
    }
    Ok(body)
}

fn checksum(body: &[u8]) -> String {
    let mut hasher = SipHasher13::new();
    hasher.write(body);
    format!("{:032x}", hasher.finish128().as_u128())
}

impl Section {
    fn open(self) -> Saved {
        let objects = self.objects.iter().filter_map(|json| Object::parse(self.kind, json).ok());
        Saved {
            kind: self.kind,
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(self.saved_at_s),
            objects: objects.collect(),
        }
    }
}

/// Writes a cache, in place of an earlier one.
pub(crate) fn save(path: &Path, cluster: &str, kinds: &[Saved]) -> Result<(), CacheError> {
    if is_foreign(path)? {
        return Err(CacheError::Foreign);
    }
    let section = |saved: &Saved| Section {
        kind: saved.kind,
        saved_at_s: saved.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs(),
        objects: saved.objects.iter().map(Object::to_json).collect(),
    };
    let body = Body { cluster: cluster.to_owned(), kinds: kinds.iter().map(section).collect() };
    let body = serde_json::to_vec(&body).map_err(io::Error::from)?;
    if body.len() as u64 + 100 > LEN_MAX {
        return Err(CacheError::TooLong);
    }
    let directory = path.parent().filter(|it| !it.as_os_str().is_empty());
    if let Some(directory) = directory {
        std::fs::create_dir_all(directory)?;
    }
    let temporary = temporary(path);
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    writeln!(file, "{MAGIC} {VERSION} {}", checksum(&body))?;
    file.write_all(&body)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    // The rename itself is safe only when the directory is on disk too.
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(())
}

fn is_foreign(path: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(MAGIC.len() as u64).read_to_end(&mut head)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    Ok(!head.is_empty() && head != MAGIC.as_bytes())
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    path.with_file_name(name)
}

/// Keeps the file in step with the shelf.
#[derive(Clone)]
pub(crate) struct Keeper {
    pub(crate) path: PathBuf,
    pub(crate) cluster: String,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) every: Duration,
}

impl Keeper {
    /// Puts what was saved on the shelf.
    pub(crate) fn load(&self) {
        match load(&self.path, &self.cluster) {
            Ok(kinds) => kinds.into_iter().for_each(|saved| self.shelf.seed(saved)),
            Err(error) => tracing::warn!("cache {} is not used: it {error}", self.path.display()),
        }
    }

    /// Writes after each change, but not too often. Runs for ever.
    pub(crate) async fn run(self) {
        let mut changes = self.shelf.changes();
        while changes.changed().await.is_ok() {
            self.flush_or_warn().await;
            sleep(self.every).await;
        }
    }

    pub(crate) async fn flush_or_warn(&self) {
        if let Err(error) = self.flush().await {
            tracing::warn!("cache {} is not written: it {error}", self.path.display());
        }
    }

    /// Writes what is known now.
    async fn flush(&self) -> Result<(), CacheError> {
        let kinds = self.shelf.saved(SystemTime::now());
        let (path, cluster) = (self.path.clone(), self.cluster.clone());
        match spawn_blocking(move || save(&path, &cluster, &kinds)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(CacheError::Damaged("its writer has failed")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("sw-cache-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self) -> PathBuf {
            self.0.join("objects")
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _gone = std::fs::remove_dir_all(&self.0);
        }
    }

    fn saved() -> Vec<Saved> {
        let json = serde_json::json!({"metadata": {"name": "a", "namespace": "n", "uid": "u"},
            "spec": {"type": "LoadBalancer", "ports": [{"port": 80, "nodePort": 30080}]}});
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        vec![
            Saved {
                kind: Kind::Service,
                at,
                objects: vec![Object::parse(Kind::Service, &json).unwrap()],
            },
            Saved { kind: Kind::Node, at, objects: Vec::new() },
        ]
    }

    #[test]
    fn what_was_saved_is_loaded_with_its_age_and_nothing_else_is_left_behind() {
        let dir = Dir::new("roundtrip");
        assert_eq!(load(&dir.file(), "c").unwrap(), []);
        save(&dir.file(), "c", &saved()).unwrap();
        save(&dir.file(), "c", &saved()).unwrap();
        assert_eq!(load(&dir.file(), "c").unwrap(), saved());
        assert_eq!(std::fs::read_dir(&dir.0).unwrap().count(), 1);
    }

    #[test]
    fn a_file_with_any_byte_changed_or_cut_anywhere_is_not_used() {
        let dir = Dir::new("damage");
        save(&dir.file(), "c", &saved()).unwrap();
        let good = std::fs::read(dir.file()).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x04;
            assert!(checked(&bad).is_err(), "byte {at}");
            assert!(at == 0 || checked(&good[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_damaged_file_is_replaced_by_the_next_good_one() {
        let dir = Dir::new("heal");
        std::fs::write(dir.file(), format!("{MAGIC} 1 00\n{{")).unwrap();
        assert!(matches!(load(&dir.file(), "c"), Err(CacheError::Damaged(_))));
        save(&dir.file(), "c", &saved()).unwrap();
        assert_eq!(load(&dir.file(), "c").unwrap(), saved());
    }

    #[test]
    fn a_file_of_somebody_else_is_neither_read_nor_overwritten() {
        let dir = Dir::new("foreign");
        std::fs::write(dir.file(), "root:x:0:0").unwrap();
        assert!(matches!(load(&dir.file(), "c"), Err(CacheError::Foreign)));
        assert!(matches!(save(&dir.file(), "c", &saved()), Err(CacheError::Foreign)));
        assert_eq!(std::fs::read_to_string(dir.file()).unwrap(), "root:x:0:0");
    }

    #[test]
    fn the_objects_of_another_cluster_or_another_format_are_not_used() {
        let dir = Dir::new("other");
        save(&dir.file(), "c", &saved()).unwrap();
        assert!(matches!(load(&dir.file(), "d"), Err(CacheError::OtherCluster)));
        let text = std::fs::read_to_string(dir.file()).unwrap();
        std::fs::write(dir.file(), text.replacen("cache 1 ", "cache 2 ", 1)).unwrap();
        assert!(matches!(load(&dir.file(), "c"), Err(CacheError::Version)));
    }
}

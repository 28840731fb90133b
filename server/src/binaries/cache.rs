//! The local cache of binaries: files that engines can open, made from any [`BinaryDao`].
//!
//! The predecessor's `spark.jobserver.daorootdir`. Files are named by their content, so that a name
//! means one content for ever; several processes may share the folder.

use super::temporary::{self, Temporary, at, blocking};
use doyen_runtime::store::{BinaryDao, BinaryError};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

/// The default bound of all files together.
pub const CACHE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// The folder of temporaries inside of the cache.
const TEMPORARIES: &str = "tmp";

/// A folder of cached binaries, bounded; the least recently used files go first.
#[derive(Debug)]
pub struct BinaryCache {
    folder: PathBuf,
    bytes_max: u64,
    /// One lock for each file that is being fetched, so that it is downloaded once.
    fetching: Mutex<BTreeMap<PathBuf, Weak<tokio::sync::Mutex<()>>>>,
}

impl BinaryCache {
    /// Opens a cache in `folder`, makes it if needed, and removes old temporary files.
    ///
    /// # Errors
    /// When the folder cannot be made or read; the path is named.
    pub fn open(folder: &Path, bytes_max: u64) -> Result<Self, BinaryError> {
        let folder = std::path::absolute(folder).map_err(at(folder))?;
        let temporaries = folder.join(TEMPORARIES);
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&temporaries);
        made.map_err(at(&temporaries))?;
        temporary::remove_leftovers(&temporaries).map_err(at(&temporaries))?;
        Ok(Self {
            folder,
            bytes_max,
            fetching: Mutex::default(),
        })
    }

    /// The path of a file with the content of this hash, downloaded if it is not here yet.
    ///
    /// `hash` is the SHA-256 in lower-case hex, also in the predecessor's form without leading
    /// zeros; it is the object's name in `dao`. `extension` is `jar`, `egg`, `whl`, …
    ///
    /// # Errors
    /// What `dao` says; [`BinaryError::Content`] when the object is of another content or larger
    /// than the cache, or hash or extension are none. Nothing is left behind then.
    pub async fn fetch(
        &self,
        dao: &dyn BinaryDao,
        hash: &str,
        extension: &str,
    ) -> Result<PathBuf, BinaryError> {
        let path = self.folder.join(file_name(hash, extension)?);
        let lock = self.lock_of(&path);
        let _alone = lock.lock().await;
        if self.touch(&path).await? {
            return Ok(path);
        }
        let created = Temporary::create(&self.folder.join(TEMPORARIES)).await;
        let (temporary, mut file) = created.map_err(at(&self.folder))?;
        let content = dao.get(hash).await?;
        let (mut digest, mut length) = (Sha256::new(), 0);
        let length = temporary::write(&mut file, content, |piece| {
            length += u64::try_from(piece.len()).unwrap_or(u64::MAX);
            digest.update(piece);
            match length > self.bytes_max {
                true => Err(BinaryError::Content(format!(
                    "binary `{hash}` is larger than the whole cache `{}` of {} bytes",
                    self.folder.display(),
                    self.bytes_max
                ))),
                false => Ok(()),
            }
        })
        .await?;
        let found = hex(&digest.finalize());
        if found.trim_start_matches('0') != hash.trim_start_matches('0') {
            return Err(BinaryError::Content(format!(
                "the object `{hash}` of the binary store is damaged: its SHA-256 is {found}"
            )));
        }
        self.make_room(length).await?;
        // Another process may have been quicker, with the same content.
        temporary.publish(path.clone()).await.map_err(at(&path))?;
        Ok(path)
    }

    fn lock_of(&self, path: &Path) -> Arc<tokio::sync::Mutex<()>> {
        let locks = self.fetching.lock();
        let mut locks = locks.unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = locks.get(path).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::default();
        locks.insert(path.to_owned(), Arc::downgrade(&lock));
        lock
    }

    /// Whether the file is here; marks it as used now.
    async fn touch(&self, path: &Path) -> Result<bool, BinaryError> {
        let name = path.to_owned();
        let touched = blocking(move || match File::options().append(true).open(&name) {
            Ok(file) => file.set_modified(SystemTime::now()).map(|()| true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        });
        touched.await.map_err(at(path))
    }

    /// Removes the least recently used files until so many bytes more fit.
    async fn make_room(&self, bytes: u64) -> Result<(), BinaryError> {
        let (folder, keep) = (self.folder.clone(), self.bytes_max.saturating_sub(bytes));
        let made = blocking(move || {
            let mut files = cached(&folder)?;
            files.sort();
            let mut total: u64 = files.iter().map(|(_, length, _)| length).sum();
            for (_, length, path) in files {
                if total <= keep {
                    break;
                }
                match fs::remove_file(&path) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                    Ok(()) | Err(_) => total -= length,
                }
            }
            Ok(())
        });
        made.await.map_err(at(&self.folder))
    }
}

/// Last use, length and path of every cached file. Files of other names are not ours.
fn cached(folder: &Path) -> io::Result<Vec<(SystemTime, u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let ours = name
            .and_then(|name| name.split_once('.'))
            .is_some_and(|(hash, extension)| file_name(hash, extension).is_ok());
        // One that another process just removed is no error.
        if let (true, Ok(metadata)) = (ours, fs::metadata(&path)) {
            files.push((metadata.modified()?, metadata.len(), path));
        }
    }
    Ok(files)
}

fn file_name(hash: &str, extension: &str) -> Result<String, BinaryError> {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    // The predecessor's form has 32 digits at least.
    if !(32..=64).contains(&hash.len()) || !hash.bytes().all(is_hex) {
        return Err(BinaryError::Content(format!(
            "`{hash}` is no SHA-256 in lower-case hex"
        )));
    }
    let fits = (1..=8).contains(&extension.len());
    if !fits || !extension.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(BinaryError::Content(format!(
            "`{extension}` is no extension of a file name: one to eight letters or digits"
        )));
    }
    Ok(format!("{hash}.{extension}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;

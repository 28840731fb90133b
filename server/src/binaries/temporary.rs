//! Files that become visible whole or not at all: written under a temporary name, then renamed.

use doyen_runtime::store::{BinaryError, Content};
use futures_util::StreamExt;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::io::AsyncWriteExt;

/// Age from which a temporary file belongs to nobody: no upload lasts so long.
const LEFTOVER_AFTER: Duration = Duration::from_secs(3600);

/// A file under a temporary name; removed when dropped before [`Temporary::publish`].
pub(super) struct Temporary {
    path: PathBuf,
    published: bool,
}

impl Temporary {
    /// Makes an empty file in `folder`.
    pub(super) async fn create(folder: &Path) -> io::Result<(Self, tokio::fs::File)> {
        let path = folder.join(uuid::Uuid::new_v4().to_string());
        let file = tokio::fs::OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .await?;
        let temporary = Self {
            path,
            published: false,
        };
        Ok((temporary, file))
    }

    /// Gives the file its name, unless something has it: `false` then. The file was synced.
    pub(super) async fn publish(mut self, name: PathBuf) -> io::Result<bool> {
        let from = self.path.clone();
        let renamed = blocking(move || {
            let renamed = match renameat_with(CWD, &from, CWD, &name, RenameFlags::NOREPLACE) {
                Ok(()) => true,
                Err(rustix::io::Errno::EXIST) => return Ok(false),
                // Not every file system can; a link fails when the name is taken, too.
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                    match fs::hard_link(&from, &name) {
                        Ok(()) => false,
                        Err(e) if e.kind() == ErrorKind::AlreadyExists => return Ok(false),
                        Err(e) => return Err(e),
                    }
                }
                Err(e) => return Err(e.into()),
            };
            if !renamed {
                fs::remove_file(&from)?;
            }
            sync_folder(name.parent().unwrap_or(&name))?;
            Ok(true)
        });
        let renamed = renamed.await?;
        self.published = renamed;
        Ok(renamed)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.published {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Writes content into a file piece by piece, showing each to `look`, and syncs it.
pub(super) async fn write(
    file: &mut tokio::fs::File,
    mut content: Content,
    mut look: impl FnMut(&[u8]) -> Result<(), BinaryError> + Send,
) -> Result<u64, BinaryError> {
    let mut length = 0;
    while let Some(piece) = content.next().await {
        let piece = piece?;
        look(&piece)?;
        file.write_all(&piece).await?;
        length += u64::try_from(piece.len()).unwrap_or(0);
    }
    file.flush().await?;
    file.sync_all().await?;
    Ok(length)
}

/// Removes what crashed processes left behind.
pub(super) fn remove_leftovers(folder: &Path) -> io::Result<()> {
    let now = SystemTime::now();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let age = |metadata: fs::Metadata| now.duration_since(metadata.modified().ok()?).ok();
        let age = entry.metadata().ok().and_then(age);
        if age.is_some_and(|age| age > LEFTOVER_AFTER) {
            // Another process may have removed it already.
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Runs file operations on a thread where they may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|e| Err(io::Error::other(e)))
}

/// An error of the backend that names the path and the remedy.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> BinaryError {
    let path = path.to_owned();
    move |e| {
        let text = format!("`{}`: {e}; see `doyen.data-dir`", path.display());
        BinaryError::Backend(io::Error::new(e.kind(), text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_temporaries_are_left_over() {
        let temporary = tempfile::tempdir().unwrap();
        let (old, new) = (temporary.path().join("old"), temporary.path().join("new"));
        fs::write(&old, "x").unwrap();
        fs::write(&new, "x").unwrap();
        let long_ago = SystemTime::now() - LEFTOVER_AFTER - Duration::from_secs(60);
        let file = File::options().write(true).open(&old).unwrap();
        file.set_modified(long_ago).unwrap();
        remove_leftovers(temporary.path()).unwrap();
        assert!(!old.exists() && new.exists());
    }

    #[tokio::test]
    async fn a_name_that_is_taken_is_left_and_the_temporary_goes() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("name");
        for wanted in [true, false] {
            let (temporary, _) = Temporary::create(folder.path()).await.unwrap();
            assert_eq!(temporary.publish(name.clone()).await.unwrap(), wanted);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

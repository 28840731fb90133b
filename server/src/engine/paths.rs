//! Where a driver's files lie under the data directory.

use doyen_core::identity::ContextId;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The folder of one context's driver: `data-dir/drivers/<context>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverFolder(PathBuf);

impl DriverFolder {
    /// The folder of this context's driver. Nothing is made.
    ///
    /// An id that is no plain file name (it comes from a store that others write too) is refused.
    ///
    /// # Errors
    /// `InvalidInput`, naming the id.
    pub fn new(data_dir: &Path, context: &ContextId) -> io::Result<Self> {
        Ok(Self(
            data_dir.join("drivers").join(plain_name(context.as_str())?),
        ))
    }

    /// Makes the folder, readable by its user only: job authors' secrets pass through it.
    ///
    /// # Errors
    /// What the file system said.
    pub fn make(&self) -> io::Result<()> {
        make_private(&self.0)
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The lock that driver, keeper and engine child hold (protocol.md E2, E3).
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// Standard output and error of the driver and its keeper.
    #[must_use]
    pub fn driver_log(&self) -> PathBuf {
        self.0.join("driver.log")
    }

    /// Output of the engine child.
    #[must_use]
    pub fn engine_log(&self) -> PathBuf {
        self.0.join("engine.log")
    }

    /// What jobs get and leave: `<job>.config`, `<job>.result`, `<job>.log`.
    #[must_use]
    pub fn jobs(&self) -> PathBuf {
        self.0.join("jobs")
    }

    /// Private copies of binaries: executables, and packages under a name that Spark takes.
    #[must_use]
    pub fn packages(&self) -> PathBuf {
        self.0.join("packages")
    }

    /// The working directory of engine and jobs.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.0.join("work")
    }

    /// `TMPDIR` of engine and jobs; emptied when the engine ends.
    #[must_use]
    pub fn temporary(&self) -> PathBuf {
        self.0.join("tmp")
    }
}

/// Makes a folder and those on the way to it, the last one for its user only.
///
/// # Errors
/// What the file system said, with the path.
pub fn make_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::create_dir_all(folder)
        .and_then(|()| fs::set_permissions(folder, fs::Permissions::from_mode(0o700)))
        .map_err(|e| named(&e, "cannot make the folder", folder))
}

/// A text that is a plain file name: ids of contexts, jobs and binaries come from records.
///
/// # Errors
/// `InvalidInput`, naming the text.
pub fn plain_name(text: &str) -> io::Result<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let good =
        !text.is_empty() && text.len() <= 128 && !text.starts_with('.') && text.chars().all(plain);
    if good {
        Ok(text)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("`{text}` is no id: expected letters, digits, `-`, `_` and `.`"),
        ))
    }
}

/// An error of a file together with what was done to which path.
#[must_use]
pub fn named(error: &io::Error, what: &str, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{what} {}: {error}", path.display()))
}

/// The last `bytes_max` bytes of a file as text; empty when it cannot be read.
#[must_use]
pub fn tail_of(path: &Path, bytes_max: u64) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let read = || -> io::Result<Vec<u8>> {
        let mut file = fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(bytes_max)))?;
        let mut bytes = Vec::new();
        file.take(bytes_max).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_leaves_the_folder_is_refused() {
        for id in ["", "..", "a/b", ".hidden", "a\0b", "a b"] {
            let refused = DriverFolder::new(Path::new("/d"), &ContextId::new(id));
            assert!(refused.is_err(), "{id:?} was taken");
        }
        let folder = DriverFolder::new(Path::new("/d"), &ContextId::new("018e-7")).unwrap();
        assert_eq!(folder.lock(), Path::new("/d/drivers/018e-7/lock"));
    }

    #[test]
    fn the_tail_is_the_end_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "0123456789").unwrap();
        assert_eq!(tail_of(&path, 4), "6789");
        assert_eq!(tail_of(&path, 40), "0123456789");
        assert_eq!(tail_of(&folder.path().join("absent"), 4), "");
    }
}

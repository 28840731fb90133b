//! The lock file of a driver (protocol.md E2, E3).
//!
//! The lock lies on the open file, so it lives as long as any process that inherited it: driver,
//! keeper, engine child.

use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// A verifier holds the lock for an instant; a driver that comes then tries again for so long.
const TAKE_WITHIN: Duration = Duration::from_secs(1);

/// The lock of a driver, held.
#[derive(Debug)]
pub struct DriverLock(File);

impl DriverLock {
    /// Takes the lock, making its file if needed. Blocks for at most a second.
    ///
    /// # Errors
    /// `WouldBlock` when another process holds it (another attempt of the context lives); else what
    /// the file system said.
    pub fn take(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(|e| super::paths::named(&e, "cannot open the lock", path))?;
        let deadline = Instant::now() + TAKE_WITHIN;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self(file)),
                Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let what = format!(
                        "another process holds {}: a driver of this context, its keeper or its \
                         engine still lives",
                        path.display()
                    );
                    return Err(io::Error::new(io::ErrorKind::WouldBlock, what));
                }
                Err(e) => {
                    return Err(super::paths::named(&e.into(), "cannot lock", path));
                }
            }
        }
    }

    /// Another handle of the same lock, for a process that inherits it.
    ///
    /// # Errors
    /// No file descriptor left.
    pub fn share(&self) -> io::Result<File> {
        self.0.try_clone()
    }
}

/// What a look at a lock file shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockState {
    /// Some process holds it.
    Held,
    /// Nobody holds it.
    Free,
    /// There is no such file, which proves nothing (E3).
    Missing,
    /// It cannot be looked at.
    Unreadable,
}

/// Looks whether anybody holds the lock; holds it (shared) for an instant.
#[must_use]
pub fn probe(path: &Path) -> LockState {
    let file = match OpenOptions::new().read(true).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return LockState::Missing,
        Err(_) => return LockState::Unreadable,
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => LockState::Free,
        Err(rustix::io::Errno::WOULDBLOCK) => LockState::Held,
        Err(_) => LockState::Unreadable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_lives_as_long_as_its_last_handle() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert_eq!(probe(&path), LockState::Missing);
        let lock = DriverLock::take(&path).unwrap();
        assert_eq!(probe(&path), LockState::Held);
        let refused = DriverLock::take(&path).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        let inherited = lock.share().unwrap();
        drop(lock);
        assert_eq!(probe(&path), LockState::Held);
        drop(inherited);
        assert_eq!(probe(&path), LockState::Free);
    }
}

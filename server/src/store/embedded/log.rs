//! The log of the store process: plain lines, bounded, since nobody looks after it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The size at which the log is set aside as `store.log.1`, replacing the one before.
const LOG_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Where the store process says what happens.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    bytes_max: u64,
    file: Mutex<Option<File>>,
}

impl Log {
    pub(super) fn open(path: PathBuf) -> Self {
        Self::with_bound(path, LOG_BYTES_MAX)
    }

    fn with_bound(path: PathBuf, bytes_max: u64) -> Self {
        let file = Mutex::new(append(&path));
        Self {
            path,
            bytes_max,
            file,
        }
    }

    /// Writes one line. A log that cannot be written stops nothing: the store is more important.
    pub(super) fn line(&self, text: &str) {
        let now = OffsetDateTime::now_utc().format(&Rfc3339);
        let line = format!(
            "{} [{}] {text}\n",
            now.unwrap_or_default(),
            std::process::id()
        );
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // Others append to it too (a store that found this one running), so its length is asked.
        let length = file.as_ref().and_then(|file| file.metadata().ok());
        if length.is_none_or(|metadata| metadata.len() >= self.bytes_max) {
            let _ = fs::rename(&self.path, self.path.with_extension("log.1"));
            *file = append(&self.path);
        }
        if let Some(file) = file.as_mut() {
            let _ = file.write_all(line.as_bytes());
        }
    }
}

/// Opens a log for appending.
pub(super) fn append(path: &Path) -> Option<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .ok()
}

/// The last line of a log, to say why a store process ended.
pub(super) fn last_line(path: &Path) -> Option<String> {
    let text = fs::read(path).ok()?;
    let tail = &text[text.len().saturating_sub(4096)..];
    let tail = String::from_utf8_lossy(tail);
    tail.lines().last().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_is_set_aside_and_two_files_are_the_most() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("store.log");
        let log = Log::with_bound(path.clone(), 1_000);
        for number in 0..100 {
            log.line(&format!("line {number}"));
        }
        let mut names: Vec<_> = fs::read_dir(temporary.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            .collect();
        names.sort_by_key(fs::DirEntry::file_name);
        assert_eq!(names.len(), 2);
        for entry in names {
            assert!(entry.metadata().unwrap().len() < 1_100);
        }
        assert!(last_line(&path).unwrap().ends_with("line 99"));
    }
}

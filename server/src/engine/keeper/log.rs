//! The output of a child: its head and its end on disk, the very end in memory.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// How much of a child's first output is kept.
pub(super) const HEAD_BYTES: u64 = 4 * 1024 * 1024;
/// How much each of the two files of a child's last output holds.
pub(super) const TAIL_FILE_BYTES: u64 = 2 * 1024 * 1024;
/// How much of a child's last output goes into errors.
pub(super) const LAST_BYTES: usize = 4 * 1024;

/// The bounded log of one child: `<name>.log`, then in turn `<name>.log.tail-a` and `-b`.
///
/// What cannot be written (a full disk) is dropped: a child must not stop for its log.
pub(super) struct BoundedLog {
    path: PathBuf,
    file: Option<File>,
    part: Part,
    written: u64,
    bounds: Bounds,
    last: VecDeque<u8>,
}

#[derive(Clone, Copy)]
struct Bounds {
    head: u64,
    tail: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Head,
    TailA,
    TailB,
}

impl BoundedLog {
    /// An empty log; what an earlier child left under this name is replaced.
    ///
    /// # Errors
    /// The head cannot be made.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        Self::bounded(
            path,
            Bounds {
                head: HEAD_BYTES,
                tail: TAIL_FILE_BYTES,
            },
        )
    }

    fn bounded(path: &Path, bounds: Bounds) -> io::Result<Self> {
        for part in [Part::TailA, Part::TailB] {
            let _ = std::fs::remove_file(path_of(path, part));
        }
        let file = File::create(path)
            .map_err(|e| crate::engine::paths::named(&e, "cannot write the log", path))?;
        Ok(Self {
            path: path.to_owned(),
            file: Some(file),
            part: Part::Head,
            written: 0,
            bounds,
            last: VecDeque::with_capacity(LAST_BYTES),
        })
    }

    /// Takes output.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.remember(bytes);
        let mut rest = bytes;
        while !rest.is_empty() {
            let bound = match self.part {
                Part::Head => self.bounds.head,
                Part::TailA | Part::TailB => self.bounds.tail,
            };
            let room = usize::try_from(bound.saturating_sub(self.written)).unwrap_or(usize::MAX);
            if room == 0 {
                self.next_part();
                continue;
            }
            let (now, later) = rest.split_at(room.min(rest.len()));
            if let Some(file) = &mut self.file {
                let _ = file.write_all(now);
            }
            self.written = self.written.saturating_add(now.len() as u64);
            rest = later;
        }
    }

    /// The end of the output as text.
    #[must_use]
    pub(super) fn last(&self) -> String {
        let (front, back) = self.last.as_slices();
        let bytes = [front, back].concat();
        // The ring may begin inside a character.
        let start = bytes
            .iter()
            .take(4)
            .position(|byte| byte & 0b1100_0000 != 0b1000_0000)
            .unwrap_or(0);
        String::from_utf8_lossy(bytes.get(start..).unwrap_or_default()).into_owned()
    }

    fn remember(&mut self, bytes: &[u8]) {
        let end = bytes.get(bytes.len().saturating_sub(LAST_BYTES)..);
        let end = end.unwrap_or_default();
        let over = (self.last.len() + end.len()).saturating_sub(LAST_BYTES);
        self.last.drain(..over);
        self.last.extend(end);
    }

    fn next_part(&mut self) {
        if let (Part::Head, Some(file)) = (self.part, &mut self.file) {
            let _ = write!(
                file,
                "\n[doyen: more than {} bytes; the middle is dropped, the end is in {} and {}]\n",
                self.bounds.head,
                path_of(&self.path, Part::TailA).display(),
                path_of(&self.path, Part::TailB).display(),
            );
        }
        self.part = match self.part {
            Part::Head | Part::TailB => Part::TailA,
            Part::TailA => Part::TailB,
        };
        self.file = File::create(path_of(&self.path, self.part)).ok();
        self.written = 0;
    }
}

/// The file of a log that was written last: its head, or one of its tails.
pub(in crate::engine) fn newest_of(path: &Path) -> PathBuf {
    let written = |path: &PathBuf| {
        std::fs::metadata(path)
            .and_then(|data| data.modified())
            .ok()
    };
    [Part::Head, Part::TailA, Part::TailB]
        .map(|part| path_of(path, part))
        .into_iter()
        .max_by_key(written)
        .unwrap_or_else(|| path.to_owned())
}

fn path_of(path: &Path, part: Part) -> PathBuf {
    let end = match part {
        Part::Head => "",
        Part::TailA => ".tail-a",
        Part::TailB => ".tail-b",
    };
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_end_are_kept_and_the_disk_is_not_filled() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.log");
        let bounds = Bounds {
            head: 100,
            tail: 50,
        };
        let mut log = BoundedLog::bounded(&path, bounds).unwrap();
        for line in 0..1000 {
            log.write(format!("line {line}\n").as_bytes());
        }
        let head = std::fs::read_to_string(&path).unwrap();
        assert!(head.starts_with("line 0\n") && head.contains("the middle is dropped"));
        let tail = |part| std::fs::read_to_string(path_of(&path, part)).unwrap();
        let tails = [tail(Part::TailA), tail(Part::TailB)];
        assert!(tails.iter().any(|tail| tail.ends_with("line 999\n")));
        assert!(tails.iter().all(|tail| tail.len() <= 50));
        assert!(log.last().ends_with("line 999\n"));
        let newest = std::fs::read_to_string(newest_of(&path)).unwrap();
        assert!(newest.ends_with("line 999\n"));
    }

    #[test]
    fn the_last_output_never_begins_inside_a_character() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = BoundedLog::create(&folder.path().join("l")).unwrap();
        log.write("é".repeat(LAST_BYTES).as_bytes());
        log.write(b"x");
        assert!(!log.last().contains('\u{fffd}'));
        assert!(log.last().len() <= LAST_BYTES);
    }
}

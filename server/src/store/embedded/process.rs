//! Which process a store is: told from every other one by pid, start time and boot, so that a kill
//! hits this one (as protocol.md E5 for drivers).

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

/// A process of this machine, for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProcessMark {
    /// The process id.
    pub(super) pid: u32,
    /// Its start in clock ticks since boot, as `/proc/<pid>/stat` has it.
    pub(super) start_time: u64,
    /// Which boot of the machine.
    pub(super) boot: String,
}

impl ProcessMark {
    /// The mark of this process.
    pub(super) fn own() -> io::Result<Self> {
        let pid = std::process::id();
        let (_, start_time) = state_and_start(pid)?;
        let boot = boot()?;
        Ok(Self {
            pid,
            start_time,
            boot,
        })
    }

    /// The mark that the lock file names; `None` when it names none.
    pub(super) fn read(lock: &Path) -> Option<Self> {
        serde_json::from_str(&fs::read_to_string(lock).ok()?).ok()
    }

    /// Writes the mark into the lock file, which the caller has locked.
    pub(super) fn write(&self, lock: &mut File) -> io::Result<()> {
        let text = serde_json::to_string(self).map_err(io::Error::other)?;
        lock.set_len(0)?;
        lock.seek(SeekFrom::Start(0))?;
        lock.write_all(text.as_bytes())
    }

    /// Whether this very process still runs (one that is dead but not yet waited for does not).
    pub(super) fn is_alive(&self) -> bool {
        let same_boot = boot().is_ok_and(|boot| boot == self.boot);
        same_boot
            && state_and_start(self.pid).is_ok_and(|(state, start)| {
                start == self.start_time && !matches!(state, 'Z' | 'X' | 'x')
            })
    }

    /// Kills this very process; `false` when it was gone already.
    pub(super) fn kill(&self) -> io::Result<bool> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let Some(pid) = pid else {
            return Ok(false);
        };
        // Opened before the mark is compared: the number cannot pass to another process between.
        let opened = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(opened) => opened,
            Err(rustix::io::Errno::SRCH) => return Ok(false),
            Err(e) => return Err(e.into()),
        };
        if !self.is_alive() {
            return Ok(false);
        }
        pidfd_send_signal(&opened, Signal::KILL)?;
        Ok(true)
    }
}

fn boot() -> io::Result<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(text.trim().to_owned())
}

/// State and start time of a process: fields 3 and 22 of `/proc/<pid>/stat`.
fn state_and_start(pid: u32) -> io::Result<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_stat(&text).ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat is not understood")))
}

/// The name of the program, in brackets, may itself hold brackets and blanks.
fn parse_stat(text: &str) -> Option<(char, u64)> {
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_name_with_brackets_does_not_confuse_the_fields() {
        let text = "77 (a) b (c) S 1 77 77 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 9 9";
        assert_eq!(parse_stat(text), Some(('S', 4242)));
    }

    #[test]
    fn a_process_of_another_start_time_or_boot_is_not_killed() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let (_, start_time) = state_and_start(child.id()).unwrap();
        let mark = ProcessMark {
            pid: child.id(),
            start_time,
            boot: boot().unwrap(),
        };
        let mut later = mark.clone();
        later.start_time += 1;
        let mut other_boot = mark.clone();
        other_boot.boot = "another".to_owned();
        assert!(!later.kill().unwrap() && !other_boot.kill().unwrap());
        assert!(mark.is_alive() && child.try_wait().unwrap().is_none());
        assert!(mark.kill().unwrap());
        child.wait().unwrap();
        assert!(!mark.is_alive() && !mark.kill().unwrap());
    }

    #[test]
    fn the_mark_in_the_lock_file_is_read_back_and_replaces_a_longer_one() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("lock");
        fs::write(&path, "x".repeat(1000)).unwrap();
        assert_eq!(ProcessMark::read(&path), None);
        let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        let own = ProcessMark::own().unwrap();
        own.write(&mut file).unwrap();
        assert_eq!(ProcessMark::read(&path), Some(own));
    }
}

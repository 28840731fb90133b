//! Proof of an attempt's death, and its kill (protocol.md E3, E5).
//!
//! Cgroups are not used yet: that no process carries the attempt's mark stands for the empty cgroup.

use super::environment::ATTEMPT;
use super::keeper::log::newest_of;
use super::lock::{LockState, probe};
use super::paths::{DriverFolder, tail_of};
use super::process_table::{self, boot_id, host_id, in_container};
use doyen_core::identity::ContextId;
use doyen_core::input::{EffectReport, Verdict};
use doyen_core::records::context::{Owner, ProcessId};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// How much of the driver's and of the engine's log goes into a report.
const LAST_OUTPUT_BYTES: u64 = 4 * 1024;
/// How long a driver may take to end after SIGTERM (E5).
const TERMINATE_WITHIN: Duration = Duration::from_secs(2);
/// How long the keeper may take to end what it started, once its driver is gone (E4).
const KEEPER_WITHIN: Duration = Duration::from_secs(5);

/// What was found of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Evidence {
    same_host: bool,
    same_boot: bool,
    in_container: bool,
    was_taken: bool,
    lock: LockState,
    has_marked: bool,
}

impl Evidence {
    fn verdict(self) -> Verdict {
        if !self.same_host {
            return Verdict::Unknown;
        }
        if self.has_marked {
            return Verdict::Alive;
        }
        if !self.same_boot {
            // In a container machine and boot id may be another host's, so it proves nothing.
            return if self.in_container {
                Verdict::Unknown
            } else {
                Verdict::Dead
            };
        }
        match self.lock {
            LockState::Free => Verdict::Dead,
            LockState::Missing if !self.was_taken => Verdict::Dead,
            LockState::Missing | LockState::Unreadable => Verdict::Unknown,
            LockState::Held => Verdict::Alive,
        }
    }
}

/// Whether an attempt's processes are gone. Blocks for some milliseconds.
#[must_use]
pub fn verify(data_dir: &Path, context: &ContextId, owner: Option<&Owner>) -> EffectReport {
    let (verdict, last_output) = match DriverFolder::new(data_dir, context) {
        Ok(folder) => (
            look(&folder, context, owner).verdict(),
            last_output(&folder),
        ),
        Err(e) => (Verdict::Unknown, e.to_string()),
    };
    EffectReport::Verified {
        context: context.clone(),
        driver: owner.map(|owner| owner.driver),
        verdict,
        last_output,
    }
}

/// Kills exactly this attempt's processes, then looks as [`verify`] does. Blocks for up to 10 s.
#[must_use]
pub fn kill(data_dir: &Path, context: &ContextId, owner: &Owner) -> EffectReport {
    if owner.process.host == host_id() && owner.process.boot == boot_id() {
        end_driver(&owner.process);
        let mark = super::environment::mark(context, owner.driver);
        let is_its = |found: &str| found == mark;
        wait_for_keeper(&is_its);
        for pid in process_table::marked(is_its) {
            kill_marked(pid, is_its);
        }
        let deadline = Instant::now() + TERMINATE_WITHIN;
        while !process_table::marked(is_its).is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    verify(data_dir, context, Some(owner))
}

/// SIGKILL to a process that carries a mark, verified after its handle was opened.
pub(super) fn kill_marked(pid: u32, is_wanted: impl Fn(&str) -> bool) {
    let Some(handle) = open(pid) else { return };
    if process_table::variable_of(pid, ATTEMPT).is_some_and(|mark| is_wanted(&mark)) {
        let _ = pidfd_send_signal(&handle, Signal::KILL);
    }
}

fn look(folder: &DriverFolder, context: &ContextId, owner: Option<&Owner>) -> Evidence {
    // Marks before the lock: a driver that starts in between is seen by its lock.
    let prefix = format!("{context}/");
    let has_marked = match owner {
        Some(owner) => {
            let mark = super::environment::mark(context, owner.driver);
            !process_table::marked(|found| found == mark).is_empty()
        }
        None => !process_table::marked(|found| found.starts_with(&prefix)).is_empty(),
    };
    Evidence {
        same_host: owner.is_none_or(|owner| owner.process.host == host_id()),
        same_boot: owner.is_none_or(|owner| owner.process.boot == boot_id()),
        in_container: in_container(),
        was_taken: owner.is_some(),
        lock: probe(&folder.lock()),
        has_marked,
    }
}

fn last_output(folder: &DriverFolder) -> String {
    let engine = tail_of(&newest_of(&folder.engine_log()), LAST_OUTPUT_BYTES);
    let driver = tail_of(&folder.driver_log(), LAST_OUTPUT_BYTES);
    [engine, driver]
        .iter()
        .map(|text| text.trim_end())
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}

fn open(pid: u32) -> Option<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

/// The handle is opened before the process is verified, so that it cannot come to mean another one.
fn end_driver(process: &ProcessId) {
    let Some(handle) = open(process.pid) else {
        return;
    };
    if process_table::start_time_of(process.pid) != Some(process.start_time) {
        return;
    }
    let _ = pidfd_send_signal(&handle, Signal::TERM);
    if !has_ended(&handle, TERMINATE_WITHIN) {
        let _ = pidfd_send_signal(&handle, Signal::KILL);
        has_ended(&handle, TERMINATE_WITHIN);
    }
}

fn has_ended(handle: &OwnedFd, within: Duration) -> bool {
    let deadline = Instant::now() + within;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(left) = Timespec::try_from(left) else {
            return false;
        };
        let mut fds = [PollFd::new(handle, PollFlags::IN)];
        match poll(&mut fds, Some(&left)) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

fn wait_for_keeper(is_its: &impl Fn(&str) -> bool) {
    let deadline = Instant::now() + KEEPER_WITHIN;
    while !process_table::marked(is_its).is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: Evidence = Evidence {
        same_host: true,
        same_boot: true,
        in_container: false,
        was_taken: true,
        lock: LockState::Free,
        has_marked: false,
    };

    #[test]
    fn death_is_proved_by_a_free_lock_and_no_mark_or_by_another_boot() {
        let lock = |lock| Evidence { lock, ..FREE };
        let rebooted = Evidence {
            same_boot: false,
            ..lock(LockState::Missing)
        };
        for (evidence, verdict) in [
            (FREE, Verdict::Dead),
            (lock(LockState::Held), Verdict::Alive),
            (lock(LockState::Missing), Verdict::Unknown),
            (lock(LockState::Unreadable), Verdict::Unknown),
            (
                Evidence {
                    has_marked: true,
                    ..FREE
                },
                Verdict::Alive,
            ),
            (
                Evidence {
                    was_taken: false,
                    ..lock(LockState::Missing)
                },
                Verdict::Dead,
            ),
            (rebooted, Verdict::Dead),
            (
                Evidence {
                    in_container: true,
                    ..rebooted
                },
                Verdict::Unknown,
            ),
            (
                Evidence {
                    same_host: false,
                    ..FREE
                },
                Verdict::Unknown,
            ),
        ] {
            assert_eq!(evidence.verdict(), verdict, "{evidence:?}");
        }
    }
}

//! What `/proc` says of processes and of the machine.

use crate::{Outcome, trouble};
use std::fs;
use std::time::Duration;

/// Clock ticks a second in `/proc`: Linux shows all of them as 100.
const TICKS_PER_SECOND: u64 = 100;

fn number(text: &str, what: &str) -> Outcome<u64> {
    text.parse()
        .map_err(|_| trouble(format!("{what}: `{text}` is no number")))
}

/// The fields of `/proc/<pid>/stat` after the program's name, which may hold blanks itself:
/// field 3 (the state) is the first.
fn stat_fields(pid: u32) -> Outcome<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = stat
        .rsplit_once(')')
        .ok_or_else(|| trouble("stat without a name"))?;
    Ok(rest.split_whitespace().map(str::to_owned).collect())
}

/// Whether the process runs: it exists and is no zombie.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    stat_fields(pid).is_ok_and(|fields| fields.first().is_some_and(|s| s != "Z" && s != "X"))
}

/// The pid of its parent.
///
/// # Errors
/// The process is gone.
pub fn parent(pid: u32) -> Outcome<u32> {
    let fields = stat_fields(pid)?;
    let text = fields.get(1).map_or("", String::as_str);
    text.parse()
        .map_err(|_| trouble(format!("parent of {pid}: `{text}` is no pid")))
}

/// The memory of a process that is resident, in bytes.
///
/// # Errors
/// The process is gone.
pub fn resident_bytes(pid: u32) -> Outcome<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next());
    let kib = kib.ok_or_else(|| trouble(format!("process {pid} has no memory: it ended")))?;
    Ok(number(kib, "VmRSS")?.saturating_mul(1024))
}

/// The processor time that a process has used, user and system.
///
/// # Errors
/// The process is gone.
pub fn processor_time(pid: u32) -> Outcome<Duration> {
    let fields = stat_fields(pid)?;
    let mut ticks = 0;
    for index in [11, 12] {
        ticks += number(fields.get(index).map_or("", String::as_str), "stat")?;
    }
    Ok(Duration::from_millis(
        ticks.saturating_mul(1000 / TICKS_PER_SECOND),
    ))
}

/// The command line, its parts joined by blanks.
#[must_use]
pub fn command_line(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
    text.trim_end().to_owned()
}

/// All pids.
///
/// # Errors
/// `/proc` cannot be read.
pub fn pids() -> Outcome<Vec<u32>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        if let Some(pid) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        {
            pids.push(pid);
        }
    }
    pids.sort_unstable();
    Ok(pids)
}

/// The load average of the last minute.
#[must_use]
pub fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace()
        .next()
        .and_then(|t| t.parse().ok())
        .unwrap_or(0.0)
}

/// Ticks of all processors since boot.
#[derive(Clone, Copy, Debug, Default)]
pub struct MachineTicks {
    /// All of them.
    pub total: u64,
    /// Not idle, nor waiting for disks.
    pub busy: u64,
    /// Taken by the hypervisor for others.
    pub stolen: u64,
}

impl MachineTicks {
    /// The counts now; zeros where `/proc/stat` cannot be read.
    #[must_use]
    pub fn now() -> Self {
        Self::parse(&fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let line = text.lines().next().unwrap_or("");
        let ticks: Vec<u64> = line
            .split_whitespace()
            .skip(1)
            .map_while(|t| t.parse().ok())
            .take(8)
            .collect();
        let at = |index: usize| ticks.get(index).copied().unwrap_or(0);
        let total: u64 = ticks.iter().sum();
        Self {
            total,
            busy: total - at(3) - at(4),
            stolen: at(7),
        }
    }

    /// Per cent of `part` in all ticks since `before`.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a percentage of counts far below 2^52"
    )]
    pub fn percent_since(self, before: Self, part: impl Fn(Self) -> u64) -> f64 {
        let total = self.total.saturating_sub(before.total).max(1);
        part(self).saturating_sub(part(before)) as f64 * 100.0 / total as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_a_command_line() {
        let me = std::process::id();
        assert!(is_alive(me));
        assert!(resident_bytes(me).unwrap() > 100_000);
        assert!(processor_time(me).is_ok());
        assert!(!command_line(me).is_empty());
        assert!(pids().unwrap().contains(&me));
        assert!(pids().unwrap().contains(&parent(me).unwrap()));
    }

    #[test]
    fn no_process_is_not_alive() {
        assert!(!is_alive(u32::MAX));
        assert!(resident_bytes(u32::MAX).is_err());
    }

    #[test]
    fn machine_ticks_are_read_from_the_first_line() {
        let ticks = MachineTicks::parse("cpu  10 0 20 60 5 0 0 5 0 0\ncpu0 1 1 1 1\n");
        assert_eq!((ticks.total, ticks.busy, ticks.stolen), (100, 35, 5));
        let later = MachineTicks {
            total: 200,
            busy: 85,
            stolen: 15,
        };
        assert!((later.percent_since(ticks, |t| t.stolen) - 10.0).abs() < 1e-9);
    }
}

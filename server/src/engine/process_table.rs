//! What the machine's process table says: who a process is, what descends from it, what carries an
//! attempt's mark (protocol.md E3, E5). Read from `/proc`.

use super::environment::ATTEMPT;
use doyen_core::records::context::ProcessId;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::Path;

/// The most bytes of one process's environment that are looked at.
const ENVIRONMENT_BYTES_MAX: u64 = 1024 * 1024;

/// The machine's id: `/etc/machine-id`, else its host name.
#[must_use]
pub fn host_id() -> String {
    let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let machine = machine.trim();
    if machine.is_empty() {
        let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        name.trim().to_owned()
    } else {
        machine.to_owned()
    }
}

/// Which boot of the machine this is; empty when the kernel does not say.
#[must_use]
pub fn boot_id() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    boot.trim().to_owned()
}

/// Whether this process runs in a container, where machine and boot id may be another host's.
#[must_use]
pub fn in_container() -> bool {
    Path::new("/.dockerenv").exists()
        || Path::new("/run/.containerenv").exists()
        || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

/// This process, as the owner record names it.
///
/// # Errors
/// `/proc` is not there.
pub fn process_id_of_self() -> io::Result<ProcessId> {
    let pid = std::process::id();
    let start_time = start_time_of(pid).ok_or_else(|| {
        io::Error::other(format!(
            "/proc/{pid}/stat cannot be read: is /proc mounted?"
        ))
    })?;
    Ok(ProcessId {
        host: host_id(),
        boot: boot_id(),
        pid,
        start_time,
    })
}

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its parent.
    pub parent: u32,
    /// Whether it has ended and only waits to be reaped.
    pub zombie: bool,
    /// When it started, in clock ticks since boot.
    pub start_time: u64,
}

/// The start time of a live process, in clock ticks since boot; `None` when there is none.
#[must_use]
pub fn start_time_of(pid: u32) -> Option<u64> {
    entry_of(pid)
        .filter(|entry| !entry.zombie)
        .map(|entry| entry.start_time)
}

fn entry_of(pid: u32) -> Option<Entry> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name of a program may hold spaces and brackets, so fields count from the last bracket.
fn parse_stat(stat: &str) -> Option<Entry> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    Some(Entry {
        zombie: matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        start_time: fields.get(19)?.parse().ok()?,
    })
}

/// All processes that can be seen.
#[must_use]
pub fn all() -> BTreeMap<u32, Entry> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return BTreeMap::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, entry_of(pid)?)))
        .collect()
}

/// What descends from a process and has not ended, the process itself left out.
#[must_use]
pub fn descendants_of(ancestor: u32) -> BTreeSet<u32> {
    descendants_in(&all(), ancestor)
}

fn descendants_in(table: &BTreeMap<u32, Entry>, ancestor: u32) -> BTreeSet<u32> {
    let mut found = BTreeSet::from([ancestor]);
    loop {
        let next = |(_, entry): &(&u32, &Entry)| found.contains(&entry.parent);
        let more: Vec<u32> = table
            .iter()
            .filter(next)
            .map(|(pid, _)| *pid)
            .filter(|pid| !found.contains(pid))
            .collect();
        if more.is_empty() {
            break;
        }
        found.extend(more);
    }
    found.remove(&ancestor);
    found.retain(|pid| table.get(pid).is_some_and(|entry| !entry.zombie));
    found
}

/// The value of an environment variable with which a process was started.
///
/// `None` also when it may not be read: a process of another user. Engines run as the driver's user
/// until `doyen.engine-user` is built.
#[must_use]
pub fn variable_of(pid: u32, name: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let file = fs::File::open(format!("/proc/{pid}/environ")).ok()?;
    file.take(ENVIRONMENT_BYTES_MAX)
        .read_to_end(&mut bytes)
        .ok()?;
    bytes
        .split(|byte| *byte == 0)
        .filter_map(|pair| std::str::from_utf8(pair).ok())
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        .map(str::to_owned)
}

/// The live processes whose attempt mark `is_wanted` takes.
pub fn marked(is_wanted: impl Fn(&str) -> bool) -> BTreeSet<u32> {
    all()
        .into_iter()
        .filter(|(_, entry)| !entry.zombie)
        .map(|(pid, _)| pid)
        .filter(|pid| variable_of(*pid, ATTEMPT).is_some_and(|mark| is_wanted(&mark)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_brackets_does_not_shift_the_fields() {
        let stat = "42 (a) b (c) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 11 12";
        let entry = Entry {
            parent: 7,
            zombie: false,
            start_time: 98_765,
        };
        assert_eq!(parse_stat(stat), Some(entry));
        assert_eq!(parse_stat("42 (cut"), None);
    }

    #[test]
    fn descendants_are_found_through_every_generation() {
        let entry = |parent, zombie| Entry {
            parent,
            zombie,
            start_time: 1,
        };
        let table = BTreeMap::from([
            (1, entry(0, false)),
            (9, entry(1, false)),
            (5, entry(9, false)),
            (3, entry(5, true)),
            (8, entry(3, false)),
            (4, entry(1, false)),
        ]);
        assert_eq!(descendants_in(&table, 9), BTreeSet::from([5, 8]));
    }

    #[test]
    fn this_process_is_in_the_table() {
        let me = process_id_of_self().unwrap();
        assert_eq!(start_time_of(me.pid), Some(me.start_time));
        assert!(!me.host.is_empty() && !me.boot.is_empty());
    }
}

//! Which processes work with a folder: used to see that nothing is left, and to clean up.

use crate::procfs;
use crate::running::{Fault, send};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// A process that works with the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Its pid.
    pub pid: u32,
    /// Its command line.
    pub command: String,
}

impl std::fmt::Display for Leftover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.pid, self.command)
    }
}

/// Every living process but this one that names the folder in its command line or environment,
/// works in it, or has a file of it open. Detached processes have no other tie with who caused
/// them.
#[must_use]
pub fn of_folder(folder: &Path) -> Vec<Leftover> {
    let needle = folder.as_os_str().as_bytes();
    let me = std::process::id();
    procfs::pids()
        .unwrap_or_default()
        .into_iter()
        .filter(|pid| *pid != me && procfs::is_alive(*pid) && works_with(*pid, needle))
        .map(|pid| Leftover {
            pid,
            command: procfs::command_line(pid),
        })
        .collect()
}

/// The same, of a part of the command line: `store`, `driver`.
#[must_use]
pub fn with_verb(folder: &Path, verb: &str) -> Vec<Leftover> {
    let mut found = of_folder(folder);
    found.retain(|leftover| {
        let mut words = leftover.command.split(' ');
        words
            .next()
            .is_some_and(|program| program.ends_with("doyen"))
            && words.any(|w| w == verb)
    });
    found
}

fn works_with(pid: u32, needle: &[u8]) -> bool {
    let folder = format!("/proc/{pid}");
    let holds = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    let file = |name: &str| fs::read(format!("{folder}/{name}")).is_ok_and(|b| holds(&b));
    let link = |path: &Path| {
        fs::read_link(path).is_ok_and(|target| target.as_os_str().as_bytes().starts_with(needle))
    };
    if file("cmdline") || file("environ") || link(Path::new(&format!("{folder}/cwd"))) {
        return true;
    }
    fs::read_dir(format!("{folder}/fd"))
        .is_ok_and(|files| files.flatten().any(|entry| link(&entry.path())))
}

/// Kills every process that works with the folder, each by its pid, until none is left or `limit`
/// has passed. Returns those that were there at first.
pub fn sweep(folder: &Path, limit: Duration) -> Vec<Leftover> {
    let first = of_folder(folder);
    let start = Instant::now();
    let mut left = first.clone();
    while !left.is_empty() && start.elapsed() < limit {
        for leftover in &left {
            // It may have ended meanwhile: then there is nothing to kill.
            let _ = send(leftover.pid, Fault::Kill);
        }
        std::thread::sleep(Duration::from_millis(10));
        left = of_folder(folder);
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn processes_are_found_by_argument_environment_folder_and_open_file_and_swept_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert!(of_folder(path).is_empty());
        let sleep = || {
            let mut command = Command::new("sleep");
            command.arg("60").stdin(Stdio::null());
            command
        };
        let output = fs::File::create(path.join("out")).unwrap();
        let by_argument = format!("sleep 60 # {}\ntrue", path.display());
        let mut children = [
            Command::new("sh")
                .arg("-c")
                .arg(by_argument)
                .spawn()
                .unwrap(),
            sleep().env("WHERE", path).spawn().unwrap(),
            sleep().current_dir(path).spawn().unwrap(),
            sleep().stdout(output).spawn().unwrap(),
        ];
        let mut other = sleep().spawn().unwrap();
        let found: Vec<u32> = of_folder(path)
            .iter()
            .map(|leftover| leftover.pid)
            .collect();
        for child in &children {
            assert!(found.contains(&child.id()), "{} in {found:?}", child.id());
        }
        assert!(!found.contains(&other.id()));
        // The shell of the first child has a child of its own, which carries no mark: end it first.
        let own = procfs::pids().unwrap();
        let shell = children[0].id();
        for pid in own
            .into_iter()
            .filter(|p| procfs::parent(*p).is_ok_and(|p| p == shell))
        {
            send(pid, Fault::Kill).unwrap();
        }
        assert!(sweep(path, Duration::from_secs(5)).len() >= 3);
        assert!(of_folder(path).is_empty());
        assert!(procfs::is_alive(other.id()));
        other.kill().unwrap();
        for child in children.iter_mut().chain([&mut other]) {
            child.wait().unwrap();
        }
    }
}

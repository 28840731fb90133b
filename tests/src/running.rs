//! One child process: signals, its end, its output.

use crate::{Outcome, trouble};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What can be done to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL.
    Kill,
    /// SIGSTOP: silence.
    Stop,
    /// SIGCONT: the end of it.
    Continue,
    /// SIGTERM: please stop.
    Terminate,
}

/// Sends a signal to a process by its pid.
///
/// # Errors
/// The process is gone or not ours.
pub fn send(pid: u32, fault: Fault) -> Outcome<()> {
    let signal = match fault {
        Fault::Kill => Signal::KILL,
        Fault::Stop => Signal::STOP,
        Fault::Continue => Signal::CONT,
        Fault::Terminate => Signal::TERM,
    };
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| trouble("no such pid"))?;
    kill_process(pid, signal).map_err(Into::into)
}

/// A child that ends with its owner; its output lies in two files.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    /// Starts it; output is appended to `<name>.out` and `<name>.err` in `folder`.
    ///
    /// # Errors
    /// The program cannot be started or the files cannot be made.
    pub fn start(mut command: Command, folder: &Path, name: &str) -> Outcome<Self> {
        let open = |path: &Path| File::options().create(true).append(true).open(path);
        let (stdout, stderr) = (
            folder.join(format!("{name}.out")),
            folder.join(format!("{name}.err")),
        );
        command
            .stdin(Stdio::null())
            .stdout(open(&stdout)?)
            .stderr(open(&stderr)?);
        let child = command.spawn().map_err(|error| {
            trouble(format!(
                "cannot start {}: {error}",
                command.get_program().display()
            ))
        })?;
        Ok(Self {
            child,
            stdout,
            stderr,
        })
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended.
    pub fn send(&mut self, fault: Fault) -> Outcome<()> {
        if let Some(status) = self.ended()? {
            return Err(trouble(format!(
                "process {} has ended with {status}",
                self.pid()
            )));
        }
        send(self.pid(), fault)
    }

    /// How it ended, if it did.
    ///
    /// # Errors
    /// The system does not say.
    pub fn ended(&mut self) -> Outcome<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It still runs after `limit`.
    pub async fn wait(&mut self, limit: Duration) -> Outcome<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if start.elapsed() > limit {
                let pid = self.pid();
                return Err(trouble(format!("process {pid} runs on after {limit:?}")));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// What it wrote to its standard output.
    #[must_use]
    pub fn stdout(&self) -> String {
        fs::read_to_string(&self.stdout).unwrap_or_default()
    }

    /// What it wrote to its standard error.
    #[must_use]
    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// The file of its standard error.
    #[must_use]
    pub fn stderr_path(&self) -> &Path {
        &self.stderr
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Killing fails only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last `lines` lines of a text.
#[must_use]
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::procfs;

    #[tokio::test]
    async fn a_child_is_signalled_waited_for_and_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "trap 'echo bye; exit 7' TERM; echo hello >&2; while :; do sleep 0.01; done",
        ]);
        let mut child = Running::start(command, folder.path(), "child").unwrap();
        while !child.stderr().contains("hello") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(child.wait(Duration::from_millis(20)).await.is_err());
        child.send(Fault::Terminate).unwrap();
        assert_eq!(
            child.wait(Duration::from_secs(5)).await.unwrap().code(),
            Some(7)
        );
        assert_eq!(child.stdout(), "bye\n");
        assert!(child.send(Fault::Kill).is_err());
    }

    #[test]
    fn a_dropped_child_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sleep");
        command.arg("60");
        let child = Running::start(command, folder.path(), "child").unwrap();
        let pid = child.pid();
        drop(child);
        assert!(!procfs::is_alive(pid));
    }

    #[test]
    fn the_tail_is_the_end() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a", 2), "a");
    }
}

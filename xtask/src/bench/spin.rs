//! Processes that do nothing but keep a processor busy, at the nice value of everybody.

use doyen_tests::Outcome;
use std::process::{Child, Command, Stdio};

/// Busy processes; dropping ends them.
pub(super) struct Spinners(Vec<Child>);

impl Spinners {
    /// Starts so many.
    pub(super) fn start(count: usize) -> Outcome<Self> {
        let mut spinners = Self(Vec::new());
        for _ in 0..count {
            let mut shell = Command::new("sh");
            shell
                .args(["-c", "while :; do :; done"])
                .stdin(Stdio::null());
            spinners.0.push(shell.spawn()?);
        }
        Ok(spinners)
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // Killing fails only when it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

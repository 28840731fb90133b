//! The end of a keeper: nothing that it started outlives it (protocol.md E4).

use crate::engine::process_table::descendants_of;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long children may take to end in order.
const GRACE: Duration = Duration::from_millis(1_500);
/// How often the process table is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(25);
/// What SIGKILL does not end in so long sits in the kernel (a dead disk); it is looked at less often.
const STUBBORN_AFTER: Duration = Duration::from_secs(10);

/// SIGTERM, a grace, then SIGKILL until no descendant is left. Returns only then: the lock, which
/// this process holds, must not come free before.
pub(super) async fn end_everything(ended: &mut tokio::signal::unix::Signal) {
    let begun = Instant::now();
    signal_all(Signal::TERM);
    while reap_all() {
        if begun.elapsed() > GRACE {
            // Again and again: a fork that was not yet in the table is met in the next round.
            signal_all(Signal::KILL);
        }
        let pause = if begun.elapsed() > STUBBORN_AFTER {
            LOOK.saturating_mul(20)
        } else {
            LOOK
        };
        tokio::select! {
            biased;
            _ = ended.recv() => {}
            () = sleep(pause) => {}
        }
    }
}

/// Reaps what has ended; whether any descendant is left.
fn reap_all() -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            Ok(None) => return true,
            // Adopted children are children: without any there is no descendant.
            Err(_) => return false,
        }
    }
}

fn signal_all(signal: Signal) {
    for pid in descendants_of(std::process::id()) {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // Only this process reaps its children, so that the number is theirs still; a deeper
            // descendant that ended since the look is reaped by its parent within the same instant
            // and its number is not given out again before all others were.
            let _ = kill_process(pid, signal);
        }
    }
}

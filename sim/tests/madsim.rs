//! The madsim engine: the real runtime in simulated time. `cargo xtask madsim test -p doyen-sim`.
#![cfg(madsim)]
#![allow(clippy::unwrap_used, reason = "a test fails by its panic")]

#[path = "madsim/faults.rs"]
mod faults;
#[path = "madsim/jobs.rs"]
mod jobs;
#[path = "madsim/judged.rs"]
mod judged;
#[path = "madsim/speed.rs"]
mod speed;
#[path = "madsim/watcher.rs"]
mod watcher;

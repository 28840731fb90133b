//! The direct engine: runs are repeatable, every fault hits and is taken back, and what happens at
//! the edges is what happens on real hosts.
#![allow(clippy::unwrap_used, reason = "only tests use it")]

#[path = "direct/accidents.rs"]
mod accidents;
#[path = "direct/faults.rs"]
mod faults;
#[path = "direct/repeat.rs"]
mod repeat;
#[path = "direct/trace.rs"]
mod trace;

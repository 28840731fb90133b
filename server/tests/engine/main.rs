//! Engines, keepers and launchers, with real processes.
#![allow(clippy::unwrap_used, reason = "a test tells what broke by panicking")]

mod attempt;
mod harness;
mod keeper;
mod process;
mod roles;
mod spark;

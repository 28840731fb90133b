//! Engines, keepers and launchers, with real processes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod attempt;
mod harness;
mod keeper;
mod process;
mod roles;
mod spark;

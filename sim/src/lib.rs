//! Deterministic simulation of Doyen clusters.
//!
//! A [`schedule`] says who takes part, what clients ask and what goes wrong; an [`engine`] carries it
//! out over the code that production runs (`doyen-core`) and shows all that happens ([`trace`]);
//! [`oracle`]s judge it.
//!
//! Same schedule, same run: the order of events is total, and every random number comes from a
//! value-stable stream of its own purpose.
#![forbid(unsafe_code)]

pub mod cli;
pub mod engine;
pub mod explain;
pub mod judge;
pub mod oracle;
mod panics;
pub mod report;
pub mod runner;
pub mod schedule;
pub mod shrink;
pub mod sometimes;
pub mod story;
pub mod suite;
pub mod trace;
pub mod trial;
pub mod world;

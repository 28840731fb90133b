//! A run, written down: members, configuration, workload, faults, seeds (design.md 6).
//!
//! A seed is only a generator of a schedule; what is kept, shrunk and replayed is the schedule.

pub mod check;
mod fault;
pub mod format;
#[cfg(test)]
mod format_tests;
pub mod model;
mod path;
pub mod settings;
mod tagged;
mod text;
mod words;

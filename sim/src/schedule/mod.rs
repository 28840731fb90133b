//! A run, written down: members, configuration, workload, faults, seeds (design.md 6).
//!
//! A seed is only a generator of a schedule; what is kept, shrunk and replayed is the schedule.

pub mod check;
mod combos;
mod draw;
pub mod fairness;
mod fault;
pub mod format;
#[cfg(test)]
mod format_tests;
pub mod generate;
#[cfg(test)]
mod generate_tests;
pub mod model;
mod path;
pub mod profile;
pub mod settings;
mod stream;
pub mod swarm;
pub mod sweep;
mod tagged;
mod text;
pub mod topology;
mod vary;
mod words;
mod workload;

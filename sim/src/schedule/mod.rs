//! A run, written down: members, configuration, workload, faults, seeds (design.md 6).
//!
//! A seed is only a generator of a schedule; what is kept, shrunk and replayed is the schedule.

mod fault;
pub mod model;
mod tagged;
mod words;

//! The parts of the `doyen` program.

pub mod cli;
pub mod config;
pub mod run;

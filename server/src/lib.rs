//! The parts of the `doyen` program.

pub mod config;

//! The parts of the `doyen` program: stores, binaries, configuration, REST, engines.

pub mod binaries;
pub mod store;

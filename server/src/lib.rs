//! The parts of the `doyen` program: configuration, command line, stores, engines and the REST layer.

pub mod binaries;
pub mod cli;
pub mod config;
pub mod engine;
pub mod http;
pub mod run;
pub mod store;

//! Whole-program tests on real parts, and what they share with the demo and the benches:
//! clusters of real `doyen` processes on loopback, calls over HTTP, faults, and what is left over.

pub mod api;
pub mod browser;
pub mod cluster;
pub mod events;
pub mod fixtures;
pub mod http;
pub mod leftovers;
pub mod load;
pub mod ports;
pub mod procfs;
pub mod program;
pub mod running;
pub mod services;
pub mod wait;
pub mod wheel;

/// The text that every harness failure is told with.
pub type Outcome<T> = std::io::Result<T>;

/// A failure with this text.
#[must_use]
pub fn trouble(text: impl Into<String>) -> std::io::Error {
    std::io::Error::other(text.into())
}

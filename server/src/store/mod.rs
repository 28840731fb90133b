//! The real stores of metadata.

pub mod embedded;
pub mod zookeeper;

//! The real stores of binaries, and the local cache in front of them.

pub mod cache;
pub mod files;
mod temporary;

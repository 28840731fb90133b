//! Changes of the roster, and which side of a split it keeps (protocol.md R; sbr.md 4): one strategy
//! a file.

pub mod keep_oldest;
pub(crate) mod roster;

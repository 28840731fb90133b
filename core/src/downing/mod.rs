//! Which side of a split the roster keeps (protocol.md R4, sbr.md 4): one strategy each.

pub mod keep_oldest;

//! What the `doyen` program is made of.
#![forbid(unsafe_code)]

pub mod engine;

//! Configuration: HOCON with the predecessor's keys, ours under `doyen { }`.
//!
//! Texts become trees that know where each value was written ([`hocon_guard`]); the table of keys
//! ([`keys`]) says what is understood and reads it; [`settings`] is what the program uses, and
//! [`report`] what people are told.

mod fault;
mod hocon_resolve;
mod hocon_tree;
mod limits;
mod value;

pub mod hocon_guard;

pub use fault::{BodyError, Fault, Origin, Sources};
pub use hocon_guard::parse_untrusted;
pub use limits::{BODY_MAX, DEPTH_MAX};
pub use value::{Located, Tree};

//! Configuration: HOCON with the predecessor's keys, ours under `doyen { }`.
//!
//! Texts become trees that know where each value was written ([`hocon_guard`]); the table of keys
//! ([`keys`]) says what is understood and reads it; [`settings`] is what the program uses, and
//! [`report`] what people are told.

mod checks;
mod fault;
mod hocon_resolve;
mod hocon_tree;
mod key;
mod limits;
#[cfg(test)]
mod mutation_tests;
mod times;
mod units;
mod value;
mod values;

pub mod hocon_guard;
pub mod keys;
pub mod report;
pub mod settings;

pub use fault::{BodyError, Fault, Origin, Sources};
pub use hocon_guard::parse_untrusted;
pub use key::{Effect, KeyDoc, Kind, Typed};
pub use keys::key_table;
pub use limits::{BODY_MAX, DEPTH_MAX};
pub use report::{ConfigErrors, Problem, Report};
pub use settings::{Settings, StoreKind};
pub use units::duration;
pub use value::{Located, Tree};
pub use values::Source;

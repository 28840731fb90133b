//! The decisions of Doyen, without I/O.
//!
//! One process of a cluster is one [`process::Process`]: a value that is told things
//! ([`input::Input`]) and says what it wants done ([`output::Output`]). It knows no sockets, clocks,
//! threads or randomness of its own, so that production, simulation and tests drive the same code,
//! and equal inputs give equal outputs.
//!
//! The contract of whoever drives it: `handle` once, drain `poll_output` to `None`, read
//! `poll_timeout`, repeat.
//!
//! Rules are cited where they are carried out: `protocol.md S5` is rule 5 of section S of the
//! protocol, `sbr.md K4` is row K4 of the table of decisions.
#![forbid(unsafe_code)]

pub mod config;
pub mod downing;
pub mod driver;
mod gateway;
pub mod gossip;
pub mod identity;
pub mod input;
mod join;
pub mod membership;
pub mod outbox;
pub mod output;
pub mod planted;
pub mod process;
pub mod reachability;
pub mod records;
pub mod server;
mod singleton;
mod supervisor;
pub mod time;
pub mod wire;

//! Transports, beats and hosts on real sockets of the loopback.
#![cfg(not(madsim))]
#![allow(clippy::unwrap_used, reason = "a test fails by its panic")]

mod beats;
mod death;
mod host;
mod links;
mod peer;
mod script;
mod strangers;

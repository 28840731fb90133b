//! Transports, beats and hosts on real sockets of the loopback.

mod beats;
mod death;
mod host;
mod links;
mod peer;
mod strangers;

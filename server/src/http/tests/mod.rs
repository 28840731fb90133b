//! The HTTP interface against rest-api.md: each test cites its rows.

mod binaries;
mod contexts;
mod doubles;
mod generic;
mod jobs;
mod sockets;
mod stale;
mod submit;
mod support;

//! A process of a simulated world: madsim's tasks, and a network and timers of our own.
//!
//! Madsim's TCP is unfaithful exactly where it matters here (a dial into a cut is refused at once, a
//! peer's death is seen through a cut: notes/crates.md 1.4), its datagrams wait a millisecond at
//! least, and its timers cannot be taken back. So the machines' kernels are simulated here: one
//! [`Net`] for each madsim runtime holds every host, path, listener, connection and timer, and is
//! driven by one task beside the nodes. A stopped process's kernel therefore goes on: it takes
//! connections and bytes for it, as a real one does.
//!
//! ```text
//! TcpStream, TcpListener, sleep          as the runtime uses them
//!         │
//!    net.rs    hosts, faults, the pump   ◄── the engine of the simulator
//!         │
//!    kernel.rs what the machines know, and what happens to it
//!    tcp.rs    connections: dial, segments, retries, resets, keepalive
//!    paths.rs  what happens to a packet from one host to another
//!    queue.rs  what is going to happen, in a total order
//! ```

mod clocks;
mod kernel;
mod net;
mod paths;
mod queue;
mod random;
mod sockets;
mod tasks;
mod tcp;
#[cfg(test)]
mod tests;
mod timers;
pub(crate) mod watch;

pub use net::{Net, Pump};
pub use paths::{Passage, Path};
pub use tasks::JoinHandle;
pub use timers::{sleep, sleep_until, timeout};

pub(crate) use sockets::{
    OwnedReadHalf, OwnedWriteHalf, TcpListener, TcpStream, listen, lookup_host, tune,
};
pub(crate) use tasks::{Aside, Id, JoinSet, consume_budget, spawn};

/// What the clock of the current task's machine reads.
pub(crate) fn boot_nanos() -> u64 {
    Net::current().clock(madsim::plugin::node())
}

//! What the runtime takes from the machine: tasks, timers, sockets, a clock.
//!
//! Everything above this module is the same in production and in simulation. Production is tokio;
//! with `--cfg madsim` it is one process of a simulated world (design.md 6). Nothing else of this
//! crate names tokio's tasks, timers or sockets; its channels and traits work in both.

#[cfg(not(madsim))]
mod production;
#[cfg(madsim)]
pub mod simulated;

#[cfg(not(madsim))]
pub(crate) use production::{
    Aside, Id, JoinHandle, JoinSet, OwnedReadHalf, OwnedWriteHalf, TcpListener, TcpStream,
    boot_nanos, consume_budget, listen, lookup_host, sleep, spawn, timeout, tune, watch,
};
#[cfg(madsim)]
pub(crate) use simulated::{
    Aside, Id, JoinHandle, JoinSet, OwnedReadHalf, OwnedWriteHalf, TcpListener, TcpStream,
    boot_nanos, consume_budget, listen, lookup_host, sleep, spawn, timeout, tune, watch,
};

use std::time::Duration;

/// How an idle or a stalled connection is found to be dead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    /// Unacknowledged for so long, a connection ends.
    pub(crate) user_timeout: Duration,
    /// Idle for so long, the peer's machine is asked for a sign of life.
    pub(crate) keepalive_idle: Duration,
    /// The time between two questions.
    pub(crate) keepalive_interval: Duration,
    /// Questions without an answer that end the connection; the user time-out overrules it.
    #[cfg_attr(madsim, expect(dead_code, reason = "overruled, as Linux does"))]
    pub(crate) keepalive_probes: u32,
}

//! Production: tokio and the kernel.

use super::Tuning;
use rustix::net::sockopt;
use rustix::time::{ClockId, clock_gettime};
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpSocket;

pub(crate) use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
pub(crate) use tokio::net::{TcpListener, TcpStream, lookup_host};
pub(crate) use tokio::spawn;
pub(crate) use tokio::sync::watch;
pub(crate) use tokio::task::coop::consume_budget;
pub(crate) use tokio::task::{Id, JoinHandle, JoinSet};
pub(crate) use tokio::time::{sleep, timeout};

/// Nanoseconds of `CLOCK_BOOTTIME`, which counts while the machine sleeps.
pub(crate) fn boot_nanos() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// Sets what every connection has: no delay, an end when the peer's machine is gone.
pub(crate) fn tune(stream: &TcpStream, tuning: &Tuning) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, tuning.keepalive_idle)?;
    sockopt::set_tcp_keepintvl(stream, tuning.keepalive_interval)?;
    sockopt::set_tcp_keepcnt(stream, tuning.keepalive_probes)?;
    let user_timeout = u32::try_from(tuning.user_timeout.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(stream, user_timeout)?;
    Ok(())
}

/// Listens on exactly this address.
pub(crate) fn listen(target: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = match target {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A server that was killed leaves connections in TIME_WAIT; its successor must not wait.
    socket.set_reuseaddr(true)?;
    socket.bind(target)?;
    socket.listen(backlog)
}

/// Work on a thread of its own, with an event loop of its own.
pub(crate) struct Aside {
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Aside {
    /// Starts it.
    ///
    /// # Errors
    /// The thread or its event loop cannot be made.
    pub(crate) fn start(
        name: &str,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || runtime.block_on(work))?;
        Ok(Self {
            thread: Some(thread),
        })
    }
}

impl Drop for Aside {
    /// Waits for the work's end: whoever drops this has told it to end.
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

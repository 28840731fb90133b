//! Sockets: how they are set, opened and bound.

use super::BindError;
use crate::platform::{TcpListener, TcpStream, Tuning, listen, lookup_host, timeout, tune};
use doyen_core::identity::Address;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// The bound of one dial, resolution of the name included.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const TUNING: Tuning = Tuning {
    // A cut of the network stalls nobody for longer than this, since a new dial begins without
    // TCP's grown pauses.
    user_timeout: Duration::from_secs(5),
    keepalive_idle: Duration::from_secs(5),
    keepalive_interval: Duration::from_secs(2),
    keepalive_probes: 3,
};
const BACKLOG: u32 = 1_024;

/// Sets what every connection has: no delay, an end when the peer's machine is gone.
pub(crate) fn prepare(stream: &TcpStream) -> io::Result<()> {
    tune(stream, &TUNING)
}

/// Dials an address. `hint` is where it was last reached: tried first, without asking for the name.
///
/// # Errors
/// `ConnectionRefused` only if every address of the name refused; `TimedOut` after a second.
pub(crate) async fn connect(address: &Address, hint: Option<SocketAddr>) -> io::Result<TcpStream> {
    let bounded = timeout(CONNECT_TIMEOUT, connect_any(address, hint));
    let stream = bounded
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    prepare(&stream)?;
    Ok(stream)
}

async fn connect_any(address: &Address, hint: Option<SocketAddr>) -> io::Result<TcpStream> {
    if let Some(hint) = hint {
        // A name may have come to mean another machine, but then its old one does not refuse for
        // it; a refusal by where it was last reached is the proof that is looked for (S4).
        match connect_one(hint).await {
            Err(error) if error.kind() != io::ErrorKind::ConnectionRefused => {}
            done => return done,
        }
    }
    let mut worst: Option<io::Error> = None;
    for target in lookup_host((address.host(), address.port())).await? {
        match connect_one(target).await {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                let keep = worst
                    .as_ref()
                    .is_some_and(|w| w.kind() != io::ErrorKind::ConnectionRefused);
                if !keep {
                    worst = Some(error);
                }
            }
        }
    }
    Err(worst.unwrap_or_else(|| io::Error::other("the name has no address")))
}

async fn connect_one(target: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(target).await?;
    // A dial from and to the same port of one machine meets itself: nobody listens there.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

/// Listens on exactly this address.
pub(crate) async fn bind(address: &Address) -> Result<TcpListener, BindError> {
    let error = |source: io::Error| BindError::new(address, source);
    let mut last = io::Error::other("the host name has no address");
    for target in lookup_host((address.host(), address.port()))
        .await
        .map_err(error)?
    {
        match listen(target, BACKLOG) {
            Ok(listener) => return Ok(listener),
            Err(source) => last = source,
        }
    }
    Err(error(last))
}

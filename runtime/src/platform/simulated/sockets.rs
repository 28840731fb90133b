//! Sockets as tokio's are used: connect, listen, split, read, write, shut down.

use super::net::Net;
use super::tcp::{ConnectionId, End, Side, Stage};
use crate::platform::Tuning;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// One side of a connection, held by a process; closed when it is dropped.
struct Held {
    net: Arc<Net>,
    id: ConnectionId,
    side: Side,
    local: SocketAddr,
    peer: SocketAddr,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.net.with(|state| state.close(self.id, self.side));
    }
}

fn broken(end: &End) -> io::Error {
    end.error.unwrap_or(io::ErrorKind::BrokenPipe).into()
}

impl Held {
    fn poll_connected(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        self.net.with(|state| {
            let Some(connection) = state.connections.get_mut(&self.id) else {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            };
            match connection.dialler.stage {
                Stage::Open | Stage::Orphan => Poll::Ready(Ok(())),
                Stage::Gone => Poll::Ready(Err(broken(&connection.dialler))),
                Stage::Opening => {
                    connection.dialler.writer = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
    }

    fn poll_read(&self, cx: &Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.net.with(|state| {
            let Some(connection) = state.connections.get_mut(&self.id) else {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            };
            let end = connection.end_mut(self.side);
            if !end.input.is_empty() {
                let (first, _) = end.input.as_slices();
                let taken = first.len().min(buffer.remaining());
                buffer.put_slice(&first[..taken]);
                end.input.drain(..taken);
                state.has_read(self.id, self.side);
                return Poll::Ready(Ok(()));
            }
            if end.fin_received {
                return Poll::Ready(Ok(()));
            }
            if end.stage == Stage::Gone {
                return Poll::Ready(Err(broken(end)));
            }
            end.reader = Some(cx.waker().clone());
            Poll::Pending
        })
    }

    fn poll_write(&self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.net.with(|state| {
            let Some(connection) = state.connections.get_mut(&self.id) else {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            };
            let end = connection.end_mut(self.side);
            if end.stage != Stage::Open || end.has_finished() {
                return Poll::Ready(Err(broken(end)));
            }
            match state.write(self.id, self.side, bytes) {
                0 if !bytes.is_empty() => {
                    if let Some(connection) = state.connections.get_mut(&self.id) {
                        let waker = cx.waker().clone();
                        connection.end_mut(self.side).writer = Some(waker);
                    }
                    Poll::Pending
                }
                taken => Poll::Ready(Ok(taken)),
            }
        })
    }

    fn finish(&self) {
        self.net.with(|state| state.finish(self.id, self.side));
    }
}

/// A connection.
pub(crate) struct TcpStream {
    held: Held,
}

impl TcpStream {
    /// Dials an address; hangs as long as the network does.
    pub(crate) async fn connect(target: SocketAddr) -> io::Result<Self> {
        let net = Net::current();
        let here = net.here().ok_or(io::ErrorKind::NetworkUnreachable)?;
        let dialled = net.with(|state| {
            let local = state.local_address(here)?;
            let owner = state.owner(target.ip());
            Some((state.dial((here, local), (owner, target)), local))
        });
        let (id, local) = dialled.ok_or(io::ErrorKind::NetworkUnreachable)?;
        let held = Held {
            net,
            id,
            side: Side::Dialler,
            local,
            peer: target,
        };
        poll_fn(|cx| held.poll_connected(cx)).await?;
        Ok(Self { held })
    }

    #[expect(clippy::unnecessary_wraps, reason = "production's may fail")]
    pub(crate) const fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.held.local)
    }

    #[expect(clippy::unnecessary_wraps, reason = "production's may fail")]
    pub(crate) const fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.held.peer)
    }

    pub(crate) fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        let held = Arc::new(self.held);
        (OwnedReadHalf(held.clone()), OwnedWriteHalf(held))
    }
}

/// Sets when a connection ends because the peer's machine is gone.
#[expect(clippy::unnecessary_wraps, reason = "production's may fail")]
pub(crate) fn tune(stream: &TcpStream, tuning: &Tuning) -> io::Result<()> {
    let held = &stream.held;
    held.net
        .with(|state| state.set_tuning(held.id, held.side, *tuning));
    Ok(())
}

/// What a connection receives.
pub(crate) struct OwnedReadHalf(Arc<Held>);

impl AsyncRead for OwnedReadHalf {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.poll_read(cx, buffer)
    }
}

/// What a connection sends; an end in order when it is dropped.
pub(crate) struct OwnedWriteHalf(Arc<Held>);

impl AsyncWrite for OwnedWriteHalf {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.finish();
        Poll::Ready(Ok(()))
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// Takes connections; ends when it is dropped.
pub(crate) struct TcpListener {
    net: Arc<Net>,
    address: SocketAddr,
    /// Which of those that listened there: a later process's is another one.
    number: u64,
}

impl TcpListener {
    /// The next connection.
    pub(crate) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    fn poll_accept(&self, cx: &Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        self.net.with(|state| {
            let listener = state.listeners.get_mut(&self.address);
            let Some(listener) = listener.filter(|l| l.number == self.number) else {
                return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
            };
            while let Some(id) = listener.queue.pop_front() {
                let Some(connection) = state.connections.get(&id) else {
                    continue;
                };
                let held = Held {
                    net: self.net.clone(),
                    id,
                    side: Side::Acceptor,
                    local: connection.acceptor.address,
                    peer: connection.dialler.address,
                };
                let from = held.peer;
                return Poll::Ready(Ok((TcpStream { held }, from)));
            }
            listener.waker = Some(cx.waker().clone());
            Poll::Pending
        })
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        self.net
            .with(|state| state.unlisten(self.address, self.number));
    }
}

/// Listens on exactly this address.
pub(crate) fn listen(target: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let net = Net::current();
    let number = net.listen(target, usize::try_from(backlog).unwrap_or(usize::MAX))?;
    Ok(TcpListener {
        net,
        address: target,
        number,
    })
}

/// The addresses of a name.
pub(crate) async fn lookup_host(
    (name, port): (&str, u16),
) -> io::Result<std::option::IntoIter<SocketAddr>> {
    let ip = Net::current().resolve(name).ok_or_else(|| {
        let text = format!("failed to lookup address information: no host `{name}`");
        io::Error::other(text)
    })?;
    Ok(Some(SocketAddr::new(ip, port)).into_iter())
}

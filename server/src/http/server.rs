//! The accept loop: connections are bounded in number and in time, and drained at the end.

use super::stall::Stalling;
use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt;

/// The most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The pause after a failed accept, e.g. without file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The two ends of a request's connection; an extension of every request.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Who asks.
    pub remote: SocketAddr,
    /// Where the server listens.
    pub bound: SocketAddr,
}

/// Bounds of the accept loop.
#[derive(Clone, Copy, Debug)]
pub struct ServeLimits {
    /// Connections at once; more wait in the kernel's queue.
    pub connections_max: usize,
    /// How long a connection may wait for a request, a head may take, and a peer may take nothing
    /// of an answer (`akka.http.server.idle-timeout`).
    pub idle_timeout: Duration,
    /// How long requests that began may go on after shutdown.
    pub drain: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            idle_timeout: Duration::from_secs(60),
            drain: Duration::from_secs(10),
        }
    }
}

/// Serves until `shutdown`, then answers what was begun, within the default limits.
///
/// # Errors
/// The listener has no address.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send,
) -> std::io::Result<()> {
    serve_with(listener, router, ServeLimits::default(), shutdown).await
}

/// Serves until `shutdown`, then answers what was begun, within these limits.
///
/// # Errors
/// The listener has no address.
pub async fn serve_with(
    listener: TcpListener,
    router: Router,
    limits: ServeLimits,
    shutdown: impl Future<Output = ()> + Send,
) -> std::io::Result<()> {
    let bound = listener.local_addr()?;
    let slots = Arc::new(Semaphore::new(limits.connections_max));
    let (closing, closed) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &slots) => accepted,
        };
        let (stream, remote, slot) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Answers are small: they must not wait for acknowledgements.
        let _ = stream.set_nodelay(true);
        let peer = Peer { remote, bound };
        let work = connection(
            stream,
            router.clone(),
            peer,
            limits.idle_timeout,
            closed.clone(),
        );
        connections.spawn(async move {
            if let Err(error) = work.await {
                tracing::debug!(%error, %remote, "a connection ended early");
            }
            drop(slot);
        });
    }
    drop(listener);
    let drained = async {
        closing.send_replace(true);
        while connections.join_next().await.is_some() {}
    };
    if tokio::time::timeout(limits.drain, drained).await.is_err() {
        tracing::warn!("requests were cut: they did not end within the drain time");
        connections.shutdown().await;
    }
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await;
    let slot = slot.map_err(std::io::Error::other)?;
    let (stream, remote) = listener.accept().await?;
    Ok((stream, remote, slot))
}

/// One connection until its end; after `closed` it answers what was begun and no more.
async fn connection(
    stream: TcpStream,
    router: Router,
    peer: Peer,
    idle: Duration,
    mut closed: watch::Receiver<bool>,
) -> hyper::Result<()> {
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.clone().oneshot(request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(idle)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(Stalling::new(stream, idle)), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        biased;
        _ = closed.wait_for(|closed| *closed) => connection.as_mut().graceful_shutdown(),
        done = connection.as_mut() => return done,
    }
    connection.await
}

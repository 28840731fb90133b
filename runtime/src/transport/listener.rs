//! Accepts connections, within bounds that a stranger cannot exceed.

use super::connection::{Connection, run, run_beats};
use super::handshake::{HANDSHAKE_TIMEOUT, accept};
use super::hello::{Failure, Lane};
use super::hub::Hub;
use super::socket::prepare;
use super::table::Direction;
use crate::platform::{TcpListener, TcpStream, sleep, spawn, timeout};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections that others made, beat lanes included: 16 servers and 100 drivers, twice over.
const INBOUND_MAX: usize = 256;
/// Those of them that have proved nothing.
const UNPROVED_MAX: usize = 64;
const ACCEPT_ERROR_PAUSE: Duration = Duration::from_millis(50);

/// Accepts until the transport ends.
pub(crate) async fn listen(hub: Arc<Hub>, listener: TcpListener) {
    let inbound = Arc::new(Semaphore::new(INBOUND_MAX));
    let unproved = Arc::new(Semaphore::new(UNPROVED_MAX));
    loop {
        let accepted = tokio::select! {
            biased;
            () = hub.closing.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely; trying again at once would spin.
                hub.quiet
                    .warn(&format!("cannot accept on the cluster port: {error}"));
                sleep(ACCEPT_ERROR_PAUSE).await;
                continue;
            }
        };
        let permits = (
            inbound.clone().try_acquire_owned(),
            unproved.clone().try_acquire_owned(),
        );
        let (Ok(inbound), Ok(unproved)) = permits else {
            hub.quiet.warn(&format!(
                "refused a connection from {from}: at most {INBOUND_MAX} connections, \
                 {UNPROVED_MAX} of them unproved"
            ));
            continue;
        };
        spawn(serve(hub.clone(), stream, from, inbound, unproved));
    }
}

async fn serve(
    hub: Arc<Hub>,
    stream: TcpStream,
    from: SocketAddr,
    _inbound: OwnedSemaphorePermit,
    unproved: OwnedSemaphorePermit,
) {
    let me = hub.me();
    let shake = async {
        prepare(&stream)?;
        accept(stream.into_split(), &me).await
    };
    let shaken = tokio::select! {
        biased;
        () = hub.root.cancelled() => return,
        shaken = timeout(HANDSHAKE_TIMEOUT, shake) => shaken,
    };
    match shaken.unwrap_or(Err(Failure::TooLate)) {
        Ok(connection) => {
            // An unproved link keeps its permit: only so many strangers are listened to.
            let _unproved = (!connection.proved).then_some(unproved);
            serve_established(&hub, connection).await;
        }
        Err(Failure::Unanswered) => {}
        // The usual way of a starting process, whose first dial may come before its first read.
        Err(failure) if failure.is_too_early() => tracing::debug!(%from, "{failure}"),
        Err(failure) => hub.quiet.warn(&format!(
            "closed a connection from {from} to the cluster port: {failure}"
        )),
    }
}

async fn serve_established(hub: &Hub, connection: Connection) {
    match connection.lane {
        Lane::Beat => run_beats(hub, connection, &hub.root).await,
        Lane::Main => {
            let (peer, proved, edition) = (
                connection.peer.clone(),
                connection.proved,
                connection.edition,
            );
            let held = hub
                .enter(&peer, Direction::Accepted, proved, edition, &hub.root)
                .await;
            if let Some(held) = held {
                run(hub, connection, held).await;
            }
        }
    }
}

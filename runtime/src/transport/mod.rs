//! Connections between members over TCP: dialled and accepted, proved, bounded (design.md 7).
//!
//! One task for each connection; none of them decides anything. Everything that is learned goes
//! into one bounded channel in the order in which it happened. A peer that does not read is
//! disconnected; a host that does not read makes the readers wait.

mod connection;
mod dialler;
mod handshake;
mod hello;
mod hub;
mod listener;
mod me;
mod proof;
mod quiet;
mod socket;
mod table;

pub(crate) use dialler::{Hint, Pause, attempt};
pub(crate) use handshake::codec;
pub(crate) use hello::Lane;
pub(crate) use me::Me;

use crate::platform::{JoinSet, spawn, watch};
use doyen_core::identity::{Address, Identity, Incarnation, Role};
use doyen_core::input::Input;
use doyen_core::output::Credentials;
use doyen_core::wire::Message;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How a transport begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportConfig {
    /// Where to listen, this host only; `None` for a driver, which listens nowhere (E9).
    pub listen: Option<Address>,
    /// The cluster's name in the configuration; peers of another one are refused.
    pub cluster_name: String,
    /// The store's id (F7); `None` while the store cannot be asked: nobody is dialled, and whoever
    /// dials is refused, until [`Transport::store_id`] says it.
    pub store_id: Option<String>,
    /// The first life.
    pub identity: Identity,
    /// What this process does.
    pub role: Role,
}

/// Something that the transport learned.
#[derive(Clone, Debug, PartialEq)]
pub struct TransportEvent {
    /// Under which life of this process: what an older life learned is not for the next one.
    pub life: Incarnation,
    /// What: a message, a beat or a link's event.
    pub input: Input,
}

/// The cluster port cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address} for the cluster: {source}; \
     set `akka.remote.netty.tcp.hostname` to an address of this machine and \
     `akka.remote.netty.tcp.port` to a free port"
)]
pub struct BindError {
    /// Which address.
    pub address: Address,
    /// Why not.
    pub source: io::Error,
}

impl BindError {
    fn new(address: &Address, source: io::Error) -> Self {
        Self {
            address: address.clone(),
            source,
        }
    }
}

/// The connections of one process. Ends all of them when it is dropped.
pub struct Transport {
    hub: Arc<hub::Hub>,
    diallers: JoinSet<()>,
}

impl Transport {
    /// Listens, if it is to, and begins. What is learned goes to `events`: its bound makes the
    /// readers wait; beats that do not fit are dropped.
    ///
    /// # Errors
    /// The address is in use or not of this machine.
    pub async fn bind(
        config: TransportConfig,
        events: mpsc::Sender<TransportEvent>,
    ) -> Result<Self, BindError> {
        let listener = match &config.listen {
            Some(address) => Some(socket::bind(address).await?),
            None => None,
        };
        let me = Me {
            edition: 0,
            cluster_name: config.cluster_name,
            store_id: config.store_id,
            identity: config.identity,
            role: config.role,
            credentials: None,
        };
        let hub = Arc::new(hub::Hub::new(me, events));
        if let Some(listener) = listener {
            spawn(listener::listen(hub.clone(), listener));
        }
        Ok(Self {
            hub,
            diallers: JoinSet::new(),
        })
    }

    /// Keeps exactly these addresses dialled. A broken connection is dialled again at once, then
    /// after 20 ms doubling to a second. Every attempt that fails is told.
    pub fn dial(&mut self, addresses: BTreeSet<Address>) {
        while self.diallers.try_join_next().is_some() {}
        for (address, token, wake) in self.hub.dialled(addresses) {
            let hub = self.hub.clone();
            self.diallers
                .spawn(dialler::keep_dialled(hub, address, token, wake));
        }
    }

    /// What to prove from now on. Links that proved something else, or nothing, are made anew.
    pub fn credentials(&self, credentials: Option<Credentials>) {
        self.hub.credentials(credentials);
    }

    /// The store was asked for its id.
    pub fn store_id(&self, id: String) {
        self.hub.change(|me| me.store_id = Some(id));
    }

    /// A new life: all links are closed and made anew, and nothing of the old ones is told under
    /// it. Credentials are forgotten; the new life says its own.
    pub fn identity(&self, identity: Identity) {
        self.hub.change(|me| {
            me.identity = identity;
            me.credentials = None;
        });
    }

    /// Sends over a live connection to that incarnation, own dialled preferred; dropped when there
    /// is none. Without proof only contacts pass. A peer that is 256 frames behind is disconnected.
    pub fn send(&self, to: &Identity, message: &Message) {
        self.hub.send(to, message);
    }

    /// Follows what this process says of itself, for the beat thread.
    pub(crate) fn me(&self) -> watch::Receiver<Arc<Me>> {
        self.hub.me.subscribe()
    }

    /// Ends in order: accepts and dials no more, sends what is queued, within `grace`.
    pub async fn close(self, grace: Duration) {
        self.hub.close(grace).await;
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        self.hub.root.cancel();
    }
}

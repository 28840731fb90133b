//! What all connections share: who this process is, where its events go, and the table of links.

use super::TransportEvent;
use super::me::Me;
use super::quiet::Quiet;
use super::table::{Direction, Link, Table, Taken};
use crate::platform::{timeout, watch};
use bytes::Bytes;
use doyen_core::identity::{Address, Identity, Incarnation};
use doyen_core::input::{Input, LinkEvent};
use doyen_core::output::Credentials;
use doyen_core::wire::codec::encode_message;
use doyen_core::wire::{FRAME_BYTES_MAX, Message};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// Frames that wait for a peer to read them. More would be stale news; a peer that is so far
/// behind is disconnected and told the state anew.
const QUEUE_FRAMES_MAX: usize = 256;
/// How long a refusal waits for the end of the peer's own connection to be seen, so that `Down`
/// comes before `Refused`.
const ORDER_WAIT: Duration = Duration::from_millis(20);

/// Shared by all tasks of a transport.
pub(crate) struct Hub {
    /// Where everything goes that is learned. Bounded by whoever made it: readers wait.
    events: mpsc::Sender<TransportEvent>,
    /// The current edition, for whoever must follow it.
    pub(crate) me: watch::Sender<Arc<Me>>,
    table: Mutex<Table>,
    /// A link went.
    gone: Notify,
    /// Links that run.
    running: AtomicUsize,
    /// Ends accepting and dialling.
    pub(crate) closing: CancellationToken,
    /// Ends every task.
    pub(crate) root: CancellationToken,
    /// Warnings about garbage, refusals and caps.
    pub(crate) quiet: Quiet,
}

/// A link in the table, held by the task that runs it.
pub(crate) struct Held {
    id: u64,
    /// Who is there.
    pub(crate) peer: Identity,
    /// The life of this process that made it.
    pub(crate) life: Incarnation,
    /// Whether membership was proved.
    pub(crate) proved: bool,
    /// What to send.
    pub(crate) queue: mpsc::Receiver<Bytes>,
    /// Ends the link.
    pub(crate) token: CancellationToken,
}

/// Whether a message may pass on a link without proof (design.md 7).
pub(crate) const fn passes_unproved(message: &Message) -> bool {
    matches!(
        message,
        Message::Contact { .. } | Message::ContactNack { .. }
    )
}

impl Hub {
    pub(crate) fn new(me: Me, events: mpsc::Sender<TransportEvent>) -> Self {
        let root = CancellationToken::new();
        Self {
            events,
            me: watch::Sender::new(Arc::new(me)),
            table: Mutex::new(Table::default()),
            gone: Notify::new(),
            running: AtomicUsize::new(0),
            closing: root.child_token(),
            root,
            quiet: Quiet::default(),
        }
    }

    pub(crate) fn me(&self) -> Arc<Me> {
        self.me.borrow().clone()
    }

    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells what was learned; waits for room. An event of an older life is dropped by the host.
    pub(crate) async fn tell(&self, life: Incarnation, input: Input) {
        // The receiver is gone only when the host is, and then nobody wants to know.
        let _ = self.events.send(TransportEvent { life, input }).await;
    }

    /// Tells a beat, if there is room: beats never wait and never make anybody wait.
    pub(crate) fn tell_beat(&self, life: Incarnation, input: Input) {
        let _ = self.events.try_send(TransportEvent { life, input });
    }

    /// Enters a new link; `None` if what it was made with has changed since, or all is over.
    pub(crate) async fn enter(
        &self,
        peer: &Identity,
        direction: Direction,
        proved: bool,
        edition: u64,
        parent: &CancellationToken,
    ) -> Option<Held> {
        // Reserved before the table is locked and used while it is: events have the table's order.
        let permit = self.events.reserve().await.ok()?;
        let mut table = self.table();
        let me = self.me();
        let over = parent.is_cancelled() || self.closing.is_cancelled();
        if me.edition != edition || over {
            return None;
        }
        let (sender, queue) = mpsc::channel(QUEUE_FRAMES_MAX);
        let token = parent.child_token();
        let link = Link {
            direction,
            proved,
            queue: sender,
            token: token.clone(),
        };
        self.running.fetch_add(1, Ordering::SeqCst);
        let Taken { id, first } = table.enter(peer, link);
        let life = me.identity.incarnation;
        if first {
            permit.send(TransportEvent {
                life,
                input: Input::Link(LinkEvent::Up { peer: peer.clone() }),
            });
        }
        if direction == Direction::Accepted {
            table.wake(&peer.address);
        }
        Some(Held {
            id,
            peer: peer.clone(),
            life,
            proved,
            queue,
            token,
        })
    }

    /// Takes a link out of the table after it ended.
    pub(crate) async fn leave(&self, held: Held) {
        held.token.cancel();
        self.running.fetch_sub(1, Ordering::SeqCst);
        self.gone.notify_waiters();
        let permit = self.events.reserve().await;
        let mut table = self.table();
        // A link of an older life is not in the table any more, and its end is no event.
        let last = table.leave(&held.peer, held.id);
        if let (true, Ok(permit)) = (last, permit) {
            permit.send(TransportEvent {
                life: held.life,
                input: Input::Link(LinkEvent::Down { peer: held.peer }),
            });
        }
        drop(table);
        self.gone.notify_waiters();
    }

    /// Waits until no link to a life of this address is left, a little while at most.
    pub(crate) async fn wait_until_gone(&self, address: &Address) {
        let gone = async {
            loop {
                let notified = self.gone.notified();
                tokio::pin!(notified);
                notified.as_mut().enable();
                if !self.table().has_link_to(address) {
                    return;
                }
                notified.await;
            }
        };
        let _ = timeout(ORDER_WAIT, gone).await;
    }

    /// Accepts and dials no more, and lets every link end once its queue is empty.
    pub(crate) async fn close(&self, grace: Duration) {
        self.closing.cancel();
        self.table().drain();
        let gone = async {
            loop {
                let notified = self.gone.notified();
                tokio::pin!(notified);
                notified.as_mut().enable();
                if self.running.load(Ordering::SeqCst) == 0 {
                    return;
                }
                notified.await;
            }
        };
        let _ = timeout(grace, gone).await;
        self.root.cancel();
    }

    /// Sends over the best link to that incarnation; drops the message when there is none.
    pub(crate) fn send(&self, to: &Identity, message: &Message) {
        let free = passes_unproved(message);
        let Some((queue, token)) = self.table().best(to, free) else {
            tracing::trace!(%to, "no connection: message dropped");
            return;
        };
        let frame = encode_message(message);
        if frame.len() > FRAME_BYTES_MAX {
            tracing::error!(%to, bytes = frame.len(), max = FRAME_BYTES_MAX, "message too long");
            return;
        }
        match queue.try_send(Bytes::from(frame)) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                tracing::warn!(%to, frames = QUEUE_FRAMES_MAX, "peer does not read: disconnected");
                token.cancel();
            }
        }
    }

    /// Changes what this process says of itself. All links that said the old are closed.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Me)) {
        let mut table = self.table();
        let old = self.me();
        let mut new = Me::clone(&old);
        change(&mut new);
        if new == *old {
            return;
        }
        new.edition = old.edition.saturating_add(1);
        let same_life = new.identity == old.identity;
        self.me.send_replace(Arc::new(new));
        table.close_links(same_life);
        table.wake_all();
    }

    pub(crate) fn credentials(&self, credentials: Option<Credentials>) {
        self.change(|me| me.credentials = credentials);
    }

    /// Makes the set of dialled addresses this one; gives those that need a new task.
    pub(crate) fn dialled(
        &self,
        mut addresses: BTreeSet<Address>,
    ) -> Vec<(Address, CancellationToken, Arc<Notify>)> {
        addresses.remove(&self.me().identity.address);
        self.table().dialled(&addresses, &self.root)
    }
}

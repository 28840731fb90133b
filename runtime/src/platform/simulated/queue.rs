//! What is going to happen, in a total order: by time, then by the order in which it was planned.

use super::tcp::{ConnectionId, Side};
use std::collections::BTreeMap;
use std::task::Waker;

/// When, and as which plan.
pub(super) type Key = (u64, u64);

/// Something that is going to happen.
#[derive(Debug)]
pub(super) enum Event {
    /// A timer of a task.
    Wake(Waker),
    /// A question for a connection reaches the machine that was dialled.
    Syn(ConnectionId),
    /// The dialler's kernel asks again, for the n-th time.
    SynAgain(ConnectionId, u32),
    /// The answer reaches the dialler: it is connected.
    SynAck(ConnectionId),
    /// A refusal reaches the dialler.
    Refused(ConnectionId),
    /// Bytes reach one side of a connection.
    Segment {
        /// Of which connection.
        id: ConnectionId,
        /// Who receives.
        to: Side,
        /// Of the receiver's bytes the first one.
        first: u64,
        /// How many.
        bytes: u64,
        /// Whether these are the last.
        fin: bool,
    },
    /// A reset reaches one side.
    Reset(ConnectionId, Side),
    /// One side looks at what is not acknowledged yet.
    Retry(ConnectionId, Side),
    /// One side asks its idle peer for a sign of life.
    Keepalive(ConnectionId, Side),
}

/// Planned events.
#[derive(Debug)]
pub(super) struct Queue {
    events: BTreeMap<Key, Event>,
    planned: u64,
}

impl Queue {
    pub(super) const fn new() -> Self {
        Self {
            events: BTreeMap::new(),
            planned: 0,
        }
    }

    /// Plans an event; the key takes it back.
    pub(super) fn push(&mut self, at: u64, event: Event) -> Key {
        self.planned += 1;
        let key = (at, self.planned);
        self.events.insert(key, event);
        key
    }

    /// Takes an event back; one that has happened is gone already.
    pub(super) fn remove(&mut self, key: Key) -> Option<Event> {
        self.events.remove(&key)
    }

    /// Changes whom a timer wakes.
    pub(super) fn rewake(&mut self, key: Key, waker: &Waker) -> bool {
        match self.events.get_mut(&key) {
            Some(Event::Wake(old)) => {
                old.clone_from(waker);
                true
            }
            _ => false,
        }
    }

    /// When the next event happens.
    pub(super) fn next(&self) -> Option<u64> {
        self.events.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the next event that happens at `now` or before.
    pub(super) fn pop(&mut self, now: u64) -> Option<Event> {
        let entry = self.events.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }
}

//! One connection over TCP: two ends that learn of each other only by packets.

use super::events::Life;
use doyen_core::identity::Identity;
use doyen_core::time::Time;
use doyen_core::wire::{Beat, Message};
use std::collections::VecDeque;
use std::rc::Rc;

/// Names a connection of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnId(pub(crate) u32);

/// What a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// Messages, both ways.
    Main,
    /// Beats, from the dialler.
    Beat,
}

/// What is sent over a connection.
#[derive(Clone, Debug)]
pub(crate) enum Frame {
    /// On the main lane.
    Message(Message),
    /// On the beat lane.
    Beat(Beat),
}

/// The dialler's end.
pub(crate) const DIALLER: usize = 0;
/// The acceptor's end.
pub(crate) const ACCEPTOR: usize = 1;

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct End {
    /// Whose.
    pub(crate) life: Life,
    /// As its handshake said.
    pub(crate) identity: Rc<Identity>,
    /// Its process holds it.
    pub(crate) is_open: bool,
    /// Its kernel does: false once it was given up, reset or closed there.
    pub(crate) is_alive: bool,
    /// What it sent and did not arrive yet, in order.
    pub(crate) sent: VecDeque<Frame>,
    /// When the last of it arrives: nothing overtakes on one connection.
    pub(crate) arrives: Time,
    /// When something last came from the other end.
    pub(crate) heard: Time,
    /// Since when something that it sent is not acknowledged.
    pub(crate) unacknowledged: Option<Time>,
    /// What it sent does not get through now.
    pub(crate) is_blocked: bool,
}

impl End {
    pub(crate) fn new(life: Life, identity: Rc<Identity>, now: Time) -> Self {
        Self {
            life,
            identity,
            is_open: true,
            is_alive: true,
            sent: VecDeque::new(),
            arrives: now,
            heard: now,
            unacknowledged: None,
            is_blocked: false,
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Conn {
    /// What it carries.
    pub(crate) lane: Lane,
    /// Whether membership was proved on it.
    pub(crate) proved: bool,
    /// Dialler and acceptor.
    pub(crate) ends: [End; 2],
}

impl Conn {
    /// Whether neither end needs it any more.
    pub(crate) fn is_over(&self) -> bool {
        self.ends.iter().all(|end| !end.is_alive && !end.is_open)
    }
}

/// A connection as a process's table of links holds it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    /// Who is at the other end.
    pub(crate) peer: Life,
    /// Which connection.
    pub(crate) conn: ConnId,
    /// Which end of it is this process's.
    pub(crate) end: usize,
    /// Whether membership was proved.
    pub(crate) proved: bool,
}
